"""The plain autoregressive model: units, batches, errors, and the sanity gate of an untrained network."""

import math

import pytest
import torch

from pixkit.errors import CausalityError, DataError, RecipeError, UsageError
from pixkit.image import Batch, ImageSpec
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.samplers import Ancestral, Known
from pixkit.testing import named

SMALL = {"type": "pixelcnn", "width": 12, "layers": 1, "output_layers": 1}
SPEC = ImageSpec(3, 4, 5, 4)


def model_of(spec=SPEC, seed=0, trained=True, **config):
    torch.manual_seed(seed)
    model = named("model", "autoregressive", **{"backbone": SMALL, **config}).build(spec, None).double().eval()
    if trained:
        with torch.no_grad():
            for parameter in model.network.projection.parameters():
                parameter.normal_()
    return model


def some_images(count, spec=SPEC, seed=0):
    return torch.randint(spec.levels, (count, *spec.shape), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("ordering", ["raster", "hilbert"])
def test_sanity_gate(ordering):
    """An untrained 28x28 binary model scores 784 ln 2 = 543.43 nats, whatever the image."""
    spec = ImageSpec(1, 28, 28, 2)
    model = named("model", "autoregressive", backbone=SMALL, ordering=ordering).build(spec, None).eval()
    nats = -model.log_prob(some_images(3, spec))
    assert nats.tolist() == pytest.approx([784 * math.log(2)] * 3, rel=1e-5)
    assert nats.tolist()[0] == pytest.approx(543.43, abs=0.01)
    assert spec.bits_per_dim(nats.tolist()[0]) == pytest.approx(1.0, rel=1e-5)


def test_log_prob_is_the_sum_of_conditionals():
    model = model_of()
    x = some_images(3)
    with torch.no_grad():
        logits = model.network(x).unflatten(1, (4, 3)).log_softmax(1)
    by_hand = sum(logits[:, :, c, h, w].gather(1, x[:, c, h, w, None])[:, 0]
                  for c in range(3) for h in range(4) for w in range(5))  # fmt: skip
    assert torch.allclose(model.log_prob(x), by_hand, rtol=1e-12)
    assert torch.equal(model.score(Batch(x, None, torch.arange(3))), -model.log_prob(x))


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_log_prob_in_batches_equals_the_whole(batch_size):
    model, x = model_of(), some_images(7)
    assert torch.allclose(model.log_prob(x, batch_size=batch_size), model.log_prob(x), rtol=1e-12)


def test_log_prob_takes_any_integers_and_no_image_at_all():
    model, x = model_of(), some_images(2)
    for dtype in (torch.uint8, torch.int32):
        assert torch.equal(model.log_prob(x.to(dtype)), model.log_prob(x))
    model.network.forward = None
    assert tuple(model.log_prob(x[:0]).shape) == (0,), "no network is asked, which may not take a batch of none"


@pytest.mark.parametrize(("x", "text"), [
    (some_images(2)[:, :2], "shape"),
    (some_images(2)[0], "shape"),
    (some_images(2).double(), "integers"),
    (some_images(2) + 1, "out of range"),
    (some_images(2) - 1, "out of range"),
])  # fmt: skip
def test_log_prob_refuses_what_is_no_image(x, text):
    with pytest.raises(DataError, match=text):
        model_of().log_prob(x)


def test_samples_belong_to_seed_and_number():
    model = model_of(ordering="snake")
    whole = model.sample(7, seed=3)
    assert torch.equal(model.sample(7, seed=3, batch_size=2), whole)
    assert torch.equal(model.sample(3, seed=3, first=2, batch_size=2), whole[2:5])
    assert not torch.equal(model.sample(7, seed=4), whole)
    assert tuple(whole.shape) == (7, *SPEC.shape)
    reference = Ancestral(Ancestral.Config()).sample(model.network, Noise(3, range(7)))
    assert torch.equal(whole, reference)


def test_no_samples():
    drawn = model_of().sample(0)
    assert tuple(drawn.shape) == (0, *SPEC.shape)
    assert drawn.dtype == torch.int64


def test_known_values_follow_their_images_through_the_batches():
    model = model_of()
    mask = torch.zeros(SPEC.shape, dtype=torch.bool)
    mask[:, :2] = True
    known = Known(mask, some_images(5))
    whole = model.sample(5, known=known)
    assert torch.equal(whole[:, mask], known.values[:, mask])
    assert torch.equal(model.sample(5, known=known, batch_size=2), whole)
    single = model.sample(5, known=Known(mask, known.values[:1]), batch_size=2)
    assert torch.equal(single[:, mask], known.values[:1, mask].expand(5, -1))


@pytest.mark.parametrize(("n", "values", "batch_size"), [(3, 2, 64), (2, 3, 64), (4, 3, 2), (3, 4, 2)])
def test_known_values_must_fit_the_number_of_images(n, values, batch_size):
    known = Known(torch.ones(SPEC.shape, dtype=torch.bool), some_images(values))
    with pytest.raises(UsageError, match="number of images") as error:
        model_of().sample(n, known=known, batch_size=batch_size)
    assert f"1 or {n}" in str(error.value)


def test_temperature_reaches_the_sampler():
    model = model_of()
    cold = model.sample(3, temperature=1e-6)
    assert torch.equal(cold, cold[:1].expand_as(cold))
    assert torch.equal(model.network.distribution(cold).mode, cold)


def test_progress_over_batches_ends_complete_and_never_falls():
    calls = []
    model_of().sample(5, batch_size=2, progress=lambda done, total: calls.append((done, total)))
    shares = [done / total for done, total in calls]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert shares.count(1.0) == 1


def test_one_phase_whose_loss_is_nats_per_dimension():
    model, x = model_of(), some_images(6)
    (phase,) = model.phases()
    assert phase.name == "likelihood"
    assert {id(p) for p in phase.parameters} == {id(p) for p in model.parameters()}
    losses = phase.loss(Batch(x, None, torch.arange(6)), 0)
    assert float(losses["nats"]) == pytest.approx(-float(model.log_prob(x).mean()))
    assert float(losses["loss"].detach()) == pytest.approx(float(losses["nats"]) / SPEC.dims)
    losses["loss"].backward()
    assert model.network.projection.weight.grad.abs().sum() > 0
    assert not losses["nats"].requires_grad
    assert model.score_kind == "exact"


def test_verify_passes_a_causal_model_and_names_a_leak():
    model = model_of()
    model.verify()
    inner = model.network.backbone

    class Peek(type(inner)):
        def forward(self, x):
            return super().forward(x) + x.mean((1, 2, 3), keepdim=True)

    inner.__class__ = Peek
    with pytest.raises(CausalityError, match="Peek") as error:
        model.verify()
    assert "row" in str(error.value) and "step" in str(error.value)


@pytest.mark.parametrize(("ordering", "head", "groups"), [
    ("auto", {"type": "softmax"}, 3),
    ("sequential", {"type": "softmax"}, 3),
    ("auto", {"type": "softmax", "independent": True}, 1),
    ("sequential", {"type": "softmax", "independent": True}, 3),
    ("joint", {"type": "softmax", "independent": True}, 1),
])  # fmt: skip
def test_colours_as_the_head_draws_them(ordering, head, groups):
    model = model_of(ordering={"type": "raster", "colours": ordering}, head=head)
    assert isinstance(model.network, Autoregressive)
    assert model.network.ordering.groups == groups


def test_a_conflict_about_colours_is_an_error_with_a_way_out():
    with pytest.raises(RecipeError, match="softmax") as error:
        model_of(ordering={"type": "raster", "colours": "joint"})
    assert "independent" in str(error.value)
    grey = model_of(ImageSpec(1, 3, 3, 4), ordering={"type": "raster", "colours": "joint"})
    assert grey.network.ordering.groups == 1, "one channel has no colours to be drawn in turn"


@pytest.mark.parametrize(("encoding", "maps"), [("scaled", 3), ("one_hot", 12), ("embedded", 15)])
def test_input_encodings(encoding, maps):
    model = model_of(input={"type": encoding, "size": 5})
    encoded = model.network.encoding(some_images(2))
    assert tuple(encoded.shape) == (2, maps, 4, 5)
    assert encoded.dtype == torch.float64
    model.verify()
