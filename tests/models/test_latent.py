"""What latent models have in common: encoders, the ways a code enters, sparsity, errors."""

import math

import pytest
import torch

from pixkit.backbones.encodings import InputConfig
from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.models.codes import CodeMaps, CodeVector
from pixkit.models.encoder import Encoder, EncoderConfig, SparsityConfig, halved, halvings_to, split_gaussian
from pixkit.noise import Noise
from pixkit.samplers import Ancestral, Cached, Known
from pixkit.testing import named

SMALL = {"type": "pixelcnn", "width": 4, "layers": 0, "first_kernel": 3, "output_layers": 1}
SPEC = ImageSpec(1, 6, 6, 2)
TINY = EncoderConfig(width=2, hidden=3)


def model_of(spec=SPEC, **config):
    torch.manual_seed(0)
    options = {"backbone": SMALL, "latent": 2, "features": 4, "encoder": {"width": 2, "hidden": 4}, **config}
    model = named("model", "pixelvae", **options).build(spec, None).double().eval()
    with torch.no_grad():
        for parameter in model.network.projection.parameters():
            parameter.normal_()
    return model


def test_halving():
    assert [halvings_to(side, 4) for side in (1, 4, 5, 8, 9, 28, 32)] == [0, 0, 1, 1, 2, 3, 3]
    assert [halved(28, times) for times in range(5)] == [28, 14, 7, 4, 2]


@pytest.mark.parametrize("spec", [ImageSpec(1, 28, 28, 2), ImageSpec(3, 5, 9, 4), ImageSpec(1, 1, 1, 2)], ids=str)
@pytest.mark.parametrize("kind", ["scaled", "one_hot", "embedded"])
def test_encoders_give_vectors_and_grids_of_any_size(spec, kind):
    x = torch.randint(spec.levels, (3, *spec.shape))
    outputs, hidden = Encoder(spec, InputConfig(type=kind), TINY, 5)(x)
    assert (tuple(outputs.shape), tuple(hidden.shape)) == ((3, 5), (3, 3))
    grid = (halved(spec.height, 2), halved(spec.width, 2))
    outputs, hidden = Encoder(spec, InputConfig(type=kind), TINY, 5, halvings=2)(x)
    assert (tuple(outputs.shape), tuple(hidden.shape)) == ((3, 5, *grid), (3, 3, *grid))


@pytest.mark.parametrize("grid", [(28, 28), (5, 9), (1, 1), (16, 3)])
def test_codes_become_maps_of_the_images_size(grid):
    maps = CodeMaps((4,), 6, grid)
    assert tuple(maps(torch.randn(2, 4)).shape) == (2, 6, *grid)
    small = tuple(halved(side, 2) for side in grid)
    maps = CodeMaps((4, *small), 6, grid, halvings=2)
    z = torch.randn(2, 4, *small, requires_grad=True)
    out = maps(z)
    assert tuple(out.shape) == (2, 6, *grid)
    out.square().sum().backward()
    assert (z.grad != 0).all(), "every number of the code reaches the image"
    assert tuple(CodeVector(4, 6)(torch.randn(2, 4)).shape) == (2, 6, 1, 1)


@pytest.mark.parametrize("code", [torch.zeros(2, 5), torch.zeros(2, 4, 1), torch.zeros(2, 4, dtype=torch.int64)])
def test_what_is_no_code_is_refused(code):
    with pytest.raises(UsageError, match="not codes of this model"):
        CodeVector(4, 6).check(code)


def test_decode_refuses_codes_of_another_model_or_number():
    model = model_of(latent=4)
    for code in (torch.zeros(2, 5), torch.zeros(3, 4)):
        with pytest.raises(UsageError):
            model.decode(code, Noise(0, range(2)))


def test_gaussians_of_outputs():
    outputs = torch.tensor([[1.0, -2.0, 3.0, 0.5, 0.0, 100.0, -100.0, 6.9]])
    q = split_gaussian(outputs)
    assert q.mean.tolist() == [[1.0, -2.0, 3.0, 0.5]]
    assert q.stddev[0].tolist() == pytest.approx([1.0, math.exp(7), math.exp(-7), math.exp(6.9)])
    assert split_gaussian(outputs.bfloat16()).mean.dtype == torch.float32


def test_l1_penalty_by_hand():
    activations = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    assert float(SparsityConfig(type="l1", weight=0.5).penalty(activations)) == pytest.approx(0.5 * (4 + 2) / 2)
    grid = activations[:, :, None, None].expand(2, 2, 3, 5)
    assert float(SparsityConfig(type="l1", weight=0.5).penalty(grid)) == pytest.approx(1.5)


def test_kl_penalty_by_hand():
    config = SparsityConfig(type="kl", weight=2.0, target=0.1)
    activations = torch.tensor([[0.1, 0.3], [0.1, 0.7]])
    expected = 2 * (0.1 * math.log(0.1 / 0.5) + 0.9 * math.log(0.9 / 0.5))
    assert float(config.penalty(activations)) == pytest.approx(expected, rel=1e-5)
    for rate, activation in ((1e-6, 0.0), (1 - 1e-6, 1.0), (1e-5, 1e-5)):
        expected = 2 * (0.1 * math.log(0.1 / rate) + 0.9 * math.log(0.9 / (1 - rate)))
        assert float(config.penalty(torch.full((2, 1, 3), activation))) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("kind", "low", "high"), [("l1", 0, math.inf), ("kl", 0, 1), (None, -1, math.inf)])
def test_the_penalty_looks_at_activations_of_its_kind(kind, low, high):
    sparsity = None if kind is None else SparsityConfig(type=kind)
    encoder = Encoder(SPEC, InputConfig(), EncoderConfig(width=2, hidden=64, sparsity=sparsity), 3)
    hidden = encoder(torch.randint(2, (8, *SPEC.shape)))[1].detach()
    assert low <= float(hidden.min()) <= float(hidden.max()) <= high
    assert (float(hidden.min()) < 0) == (kind is None)


def test_pixel_noise_and_codes_are_independent():
    model = model_of()
    noise = Noise(3, range(4000))
    z = model.latents([noise])
    pixels = torch.special.ndtri(noise.uniforms(1, SPEC)).flatten(1)[:, :2]
    both = torch.corrcoef(torch.cat([z, pixels.to(z)], 1).T) - torch.eye(4)
    assert float(both.abs().max()) < 0.08
    assert abs(float(z.mean())) < 0.05 and abs(float(z.std()) - 1) < 0.05


def test_what_depends_on_the_code_alone_is_computed_once():
    """Cached sampling runs the conditioner once a batch, and once more to trace; ancestral sampling once a step."""
    model, calls = model_of(), []
    model.network.conditioner.body[0].register_forward_hook(lambda *call: calls.append(len(call[1][0])))
    noise, z = Noise(0, range(6)), torch.randn(6, 2, dtype=torch.float64)
    drawn = model.decode(z, noise, batch_size=3, sampler=Cached(Cached.Config()))
    cached = len(calls)
    assert cached <= 7, "four times to trace, once to compare, once for each of two batches"
    again = model.decode(z, noise, sampler=Ancestral(Ancestral.Config()))
    assert len(calls) - cached == SPEC.sites
    assert torch.equal(drawn, again)


def test_active_units_are_those_whose_mean_varies():
    model, x = model_of(latent=3), torch.randint(2, (50, *SPEC.shape))
    last = model.encoders[0].last
    with torch.no_grad():
        last.weight.zero_()
        assert model.active_units(x) == [(0, 3)]
        last.weight[1] = 5.0
    assert model.active_units(x) == [(1, 3)]
    assert torch.equal(model.encode(x)[:, 0], last.bias[0].expand(50))


@pytest.mark.parametrize(("apart", "active"), [(0.09, 0), (0.11, 3)])
def test_a_unit_is_active_above_a_variance_of_a_hundredth(apart, active, monkeypatch):
    """Over images, all that there are: of two that lie 2 * `apart` from each other, apart ** 2."""
    model = model_of(latent=3)
    means = torch.tensor([-1.0, 1.0]).view(2, 1).expand(2, 3) * apart
    monkeypatch.setattr(type(model), "means", lambda self, x: [means.float()])
    assert model.active_units(torch.zeros(2, *SPEC.shape, dtype=torch.int64)) == [(active, 3)]


def test_no_images_are_drawn_of_no_code():
    assert tuple(model_of().sample(0).shape) == (0, *SPEC.shape)


@pytest.mark.parametrize(("options", "text"), [
    ({"known": Known(torch.zeros(SPEC.shape) > 0, torch.zeros(1, *SPEC.shape).long())}, "in part"),
    ({"guidance": 1.0}, "without a label"), ({"context": torch.zeros(2, dtype=torch.int64)}, "no categorical code"),
])  # fmt: skip
def test_what_a_latent_model_cannot_draw_is_refused(options, text):
    with pytest.raises(UsageError, match=text):
        model_of().sample(2, **options)
