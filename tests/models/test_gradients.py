"""Scores of a model can be differentiated, and cost no memory for that where nobody asks."""

import pytest
import torch

from pixkit.errors import DataError, UsageError
from pixkit.image import Batch, ImageSpec
from pixkit.testing import named, random_images, randomise

SPEC = ImageSpec(1, 4, 4, 3)
SMALL = {"type": "pixelcnn", "width": 4, "layers": 0, "first_kernel": 3, "output_layers": 1}
LATENT = {"backbone": SMALL, "latent": 2, "features": 4, "encoder": {"width": 2, "hidden": 4}}
MODELS = {
    "autoregressive": {"backbone": SMALL},
    "labelled": {"type": "autoregressive", "backbone": {"type": "gated_pixelcnn", "width": 4, "layers": 1},
                 "context": {"type": "label", "size": 2, "dropout": 0.1}},
    "order_agnostic": {"backbone": {"type": "local_pixelcnn", "width": 4, "blocks": 1, "stages": 1},
                       "orderings": ["snake", "raster"]},
    "pixelvae": LATENT,
}  # fmt: skip


def model_of(name, dtype=torch.float64):
    options = dict(MODELS[name])
    torch.manual_seed(0)
    classes = 2 if "context" in options else None
    model = named("model", options.pop("type", name), **options).build(SPEC, classes).to(dtype).eval()
    randomise(model, seed=1)
    return model


def batch_of(model, images=3):
    return Batch(random_images(SPEC, images), torch.arange(images) % 2, torch.arange(images))


def gradients(model, nats):
    """Of the mean, by parameter, those that take no part left out."""
    model.zero_grad()
    nats.mean().backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def scores_of(model, batch):
    """Every way of asking a model for nats, by name; what draws draws the same."""
    ways = {"score": lambda: model.score(batch), "assess": lambda: model.assess(batch)["nats"]}
    if model.score_kind == "bound":
        ways |= {"bound": lambda: -model.bound(batch.x)}
    else:
        labels = batch.labels if model.labelled else None
        ways |= {"log_prob": lambda: -model.log_prob(batch.x, labels),
                 "in batches": lambda: -model.log_prob(batch.x, labels, batch_size=2)}  # fmt: skip
    return ways


@pytest.mark.parametrize("name", MODELS)
def test_every_score_has_the_gradient_of_its_finite_differences(name):
    model = model_of(name)
    batch, parameters = batch_of(model), [p for p in model.network.projection.parameters() if p.numel() > 1]
    ways = scores_of(model, batch)
    assert {"score", "assess"} < set(ways)
    for way, score in ways.items():
        torch.manual_seed(5)
        found = gradients(model, score())
        assert {"network" in one for one in found} == {True} | ({False} if name == "pixelvae" else set()), way
        (place, parameter) = next((n, p) for n, p in model.named_parameters() if p is parameters[0])
        direction, small = torch.randn_like(parameter), 1e-6
        moved = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * small * direction
                torch.manual_seed(5)
                moved.append(float(score().mean()))
                parameter -= sign * small * direction
        expected = (moved[0] - moved[1]) / (2 * small)
        assert float((found[place] * direction).sum()) == pytest.approx(expected, rel=1e-6, abs=1e-8), way


def test_the_encoder_learns_from_the_bound_from_importance_weights_and_from_codes():
    model = model_of("pixelvae")
    batch = batch_of(model)
    for nats in (model.bound(batch.x), model.importance_log_prob(batch.x, 3), model.encode(batch.x)):
        found = gradients(model, nats)
        assert any(one.startswith("encoders") and bool((value != 0).any()) for one, value in found.items())


def passes(model, work):
    """How many images each forward pass of the network was given."""
    seen = []
    handle = model.network.encoding.register_forward_hook(lambda module, given, found: seen.append(len(given[0])))
    work()
    handle.remove()
    return seen


@pytest.mark.parametrize(("name", "method", "most", "more"), [
    ("autoregressive", "log_prob", 256, ()), ("order_agnostic", "log_prob", 256, ()), ("pixelvae", "bound", 256, ()),
    ("pixelvae", "importance_log_prob", 64, (1,)),
])  # fmt: skip
def test_images_are_put_through_in_batches_unless_a_gradient_is_recorded(name, method, most, more):
    model, x = model_of(name, torch.float32), random_images(SPEC, most + 4)
    given = lambda **options: passes(model, lambda: getattr(model, method)(x, *more, **options))  # noqa: E731
    assert given() == [most + 4]
    assert given(batch_size=most - 4) == [most - 4, 8]
    with torch.no_grad():
        assert given() == [most, 4]
    with torch.inference_mode():
        assert given() == [most, 4]
    model.network.encoding.requires_grad_(False)
    next(model.network.backbone.parameters()).requires_grad_(False)
    assert given() == [most + 4], "some can be trained"
    model.requires_grad_(False)
    assert given() == [most, 4]
    with pytest.raises(UsageError, match="batch_size"):
        given(batch_size=0)


@pytest.mark.parametrize("name", ["autoregressive", "pixelvae"])
def test_a_call_of_a_model_puts_all_images_through_at_once(name):
    model, x = model_of(name, torch.float32), random_images(SPEC, 3)
    with torch.no_grad():
        assert passes(model, lambda: model(x)) == [3]
        assert tuple(model(x[:0]).shape) == (0,)


def test_losses_that_are_means_over_images_say_so():
    others = {"any_order": {"backbone": MODELS["order_agnostic"]["backbone"]},
              "pixelgan": {"backbone": SMALL, "gaussian": 2}}  # fmt: skip
    built = [named("model", name, **config).build(SPEC, None) for name, config in others.items()]
    said = [{phase.name: phase.mean for phase in model.phases()} for model in (*map(model_of, MODELS), *built)]
    adversarial = dict.fromkeys(("reconstruction", "discriminator", "adversarial"), False)
    assert said == [{"likelihood": True}] * 3 + [{"bound": True}, {"likelihood": True}, adversarial]


def test_gradients_are_the_same_in_batches():
    model, x = model_of("autoregressive"), random_images(SPEC, 7)
    whole, parts = (gradients(model, model.log_prob(x, batch_size=size)) for size in (None, 3))
    assert set(whole) == set(parts) == {name for name, _ in model.named_parameters()}
    for name, value in whole.items():
        assert torch.allclose(parts[name], value, rtol=1e-10), name


def test_the_natural_loop_lowers_the_loss():
    model = model_of("autoregressive", torch.float32).train()
    optimizer, x, losses = torch.optim.Adam(model.parameters(), 0.05), random_images(SPEC, 8), []
    for _ in range(20):
        loss = -model.log_prob(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(("x", "text"), [
    (random_images(SPEC, 2).double(), "levels must be integers"),
    (random_images(SPEC, 2) + 1, "out of range"),
    (random_images(SPEC, 2) - 1, "out of range"),
    (random_images(SPEC, 2)[:, :, :3], "wrong shape"),
    (random_images(SPEC, 2)[:, :, :, :3], "wrong shape"),
    (random_images(SPEC, 2)[0], "wrong shape"),
    (random_images(SPEC, 2).numpy(), "numpy.ndarray"),
    (random_images(SPEC, 2).tolist(), "builtins.list"),
    ((random_images(SPEC, 2) + 1).to(torch.uint16), "out of range"),
    ((random_images(SPEC, 2) - 1).to(torch.uint64), f"found: 0..{2**64 - 1}\n"),
], ids=["floats", "beyond", "below", "height", "width", "single", "array", "list", "uint16", "uint64"])  # fmt: skip
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_a_network_refuses_what_is_no_image(x, text, training):
    network = model_of("autoregressive").network.train(training)
    for method in (network.log_prob, network.distribution):
        with pytest.raises(DataError, match=text):
            method(x)


def test_a_network_takes_any_integers():
    network, x = model_of("autoregressive").network, random_images(SPEC, 2)
    for dtype in (torch.uint8, torch.int32, torch.uint16, torch.uint32, torch.uint64):
        assert torch.equal(network.log_prob(x.to(dtype)), network.log_prob(x))
