"""PixelVAE against its contract and against quadrature over its latent."""

import itertools
import json
import math

import pytest
import torch

from pixkit.errors import DataError, RecipeError, UsageError
from pixkit.image import Batch, ImageSpec
from pixkit.noise import Noise
from pixkit.recipe import load_recipe
from pixkit.testing import check_latent_model, every_image, named, plain_backbone, randomise
from pixkit.training.build import build
from pixkit.training.watch import Reporter

SMALL = {"type": "pixelcnn", "width": 6, "layers": 0, "first_kernel": 3, "output_layers": 1}
ENCODER = {"width": 2, "hidden": 6}
SPATIAL = {"maps": 2, "halvings": 1, "width": 4}


def component(**config):
    return named("model", "pixelvae", **{"backbone": SMALL, "latent": 3, "features": 6, "encoder": ENCODER, **config})


@pytest.mark.parametrize("options", [
    {},
    {"condition": "vector", "warmup": 3, "free_bits": 0.1},
    {"backbone": {"type": "gated_pixelcnn", "width": 6, "layers": 1, "first_kernel": 3}},
    {"spatial": SPATIAL, "encoder": {**ENCODER, "sparsity": {"type": "l1"}}},
    {"spatial": {**SPATIAL, "ordering": "raster"}, "encoder": {**ENCODER, "sparsity": {"type": "kl"}}},
    {"ordering": "at_once", "head": {"type": "softmax", "independent": True}},
], ids=str)  # fmt: skip
def test_contract(options):
    check_latent_model(component(**options))


SPEC = ImageSpec(1, 2, 2, 2)
GRID = ImageSpec(1, 1, 2, 3)


def quadrature(dims, reach, points):
    """Standard normals by the trapezoid rule, exact to rounding: numbers [N, dims], log weights [N]."""
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64)
    log_weight = -axis.square() / 2 - 0.5 * math.log(2 * math.pi) + math.log(float(axis[1] - axis[0]))
    grid = torch.cartesian_prod(*[axis] * dims).view(-1, dims)
    return grid, torch.cartesian_prod(*[log_weight] * dims).view(-1, dims).sum(1)


def tiny(spec, seed=1, gain=1.0, **config):
    """A float64 model with random weights, small enough for quadrature."""
    model = component(**config).build(spec, None).double().eval()
    randomise(model, seed, gain)
    return model


def moderate(model):
    """Make each q(z | x) a little wider than the prior, so that importance weights are bounded."""
    with torch.no_grad():
        for encoder in model.encoders:
            mean, log_scale = encoder.last.bias.chunk(2)
            encoder.last.weight.mul_(0.1)
            mean.mul_(0.3)
            log_scale.fill_(0.3)
        if model.prior is not None:
            model.prior.body[-1].weight.mul_(0.2)
            model.prior.body[-1].bias.mul_(0.2)
    return model


MODELS = {
    "one latent": (SPEC, {"latent": 1}, (9.0, 401)),
    "two latents": (SPEC, {"latent": 2, "condition": "vector"}, (8.0, 81)),
    "pixels at once": (SPEC, {"latent": 1, "ordering": "at_once"}, (9.0, 401)),
    "a grid": (GRID, {"latent": 1, "spatial": {"maps": 1, "halvings": 0, "width": 3}}, (7.0, 33)),
    "an ordered grid": (
        GRID,
        {"latent": 1, "spatial": {"maps": 1, "halvings": 0, "width": 3, "ordering": "raster"}},
        (7.0, 33),
    ),
}


@pytest.fixture(params=MODELS, scope="module")
def exact(request):
    """(model, every image, log p of each by quadrature over the prior's noise)."""
    spec, config, rule = MODELS[request.param]
    model = moderate(tiny(spec, **config))
    images, shape = every_image(spec), None if model.prior is None else model.prior.shape
    below = 0 if shape is None else math.prod(shape)
    noise, weights = quadrature(config["latent"] + below, *rule)
    with torch.no_grad():
        z = noise[:, below:]
        if model.prior is not None:
            z = model.prior.sample(z, noise[:, :below].view(-1, *shape))
        total = [torch.logsumexp(model.network.log_prob(x.expand(len(z), -1, -1, -1), z) + weights, 0) for x in images]
    return model, images, torch.stack(total)


def rule_of(model):
    """Reach and points of each axis."""
    return (9.0, 401) if model.levels == 1 and model.config.latent == 1 else (8.0, 37)


def posterior_grid(posteriors, image, rule):
    """Draws of q(z | x) of one image by quadrature: each level's [N, ...], and log weights [N]."""
    sizes = [one.mean[image].numel() for one in posteriors]
    noise, weights = quadrature(sum(sizes), *rule)
    parts = noise.split(sizes, 1)
    drawn = [
        one.mean[image] + one.stddev[image] * part.view(-1, *one.mean.shape[1:])
        for one, part in zip(posteriors, parts, strict=True)
    ]
    return drawn, weights


def some_of(posteriors, image, count):
    """The posteriors of one image, `count` times."""
    return [
        torch.distributions.Normal(*(value[image].expand(count, *value.shape[1:]) for value in (one.mean, one.stddev)))
        for one in posteriors
    ]


def test_probabilities_sum_to_one(exact):
    _, _, log_p = exact
    assert float(log_p.logsumexp(0)) == pytest.approx(0, abs=1e-7)


def test_importance_weights_average_to_the_probability(exact):
    """Exactly, by quadrature over q; and by chance, within 6 standard errors of many draws."""
    model, images, log_p = exact
    with torch.no_grad():
        posteriors, _ = model._encode(images)
        for image in (0, len(images) - 1):
            x = images[image : image + 1]
            drawn, weights = posterior_grid(posteriors, image, rule_of(model))
            found = model.log_weights(x, some_of(posteriors, image, 1), [z[:, None] for z in drawn])[:, 0]
            assert float((found + weights).logsumexp(0)) == pytest.approx(float(log_p[image]), abs=1e-3)
        torch.manual_seed(0)
        draws = [one.sample(torch.Size([4000])) for one in posteriors]
        ratio = (model.log_weights(images, posteriors, draws) - log_p).exp()
    error = ratio.std(0) / 4000**0.5
    assert float(error.median()) < 0.1
    assert ((ratio.mean(0) - 1).abs() < 6 * error + 1e-3).double().mean() >= 0.9


def test_the_bound_is_what_quadrature_gives(exact):
    """E over q of the terms equals E over q of log q(z | x) - log p(x, z), level by level and in all."""
    model, images, log_p = exact
    with torch.no_grad():
        posteriors, _ = model._encode(images)
        for image in (0, 3):
            drawn, weights = posterior_grid(posteriors, image, rule_of(model))
            count = len(weights)
            own = some_of(posteriors, image, count)
            x = images[image].expand(count, -1, -1, -1)
            terms = {name: float((part * weights.exp()).sum()) for name, part in model.terms(x, own, drawn).items()}
            priors = model._priors(drawn)
            for level, (q, p, z) in enumerate(zip(own, priors, drawn, strict=True), 1):
                kl = (q.log_prob(z) - p.log_prob(z)).flatten(1).sum(1)
                assert terms[f"kl_{level}"] == pytest.approx(float((kl * weights.exp()).sum()), abs=1e-6)
            ratio = model.log_weights(
                images[image : image + 1], some_of(posteriors, image, 1), [z[:, None] for z in drawn]
            )
            assert sum(terms.values()) == pytest.approx(float((-ratio[:, 0] * weights.exp()).sum()), abs=1e-6)
            assert -sum(terms.values()) <= float(log_p[image])


def test_log_mean_is_at_least_mean_log_on_the_same_draws(exact):
    model, images, _ = exact
    torch.manual_seed(3)
    estimate = model.importance_log_prob(images, 50, batch_size=len(images))
    torch.manual_seed(3)
    with torch.no_grad():
        posteriors, _ = model._encode(images)
        weights = model.log_weights(images, posteriors, [one.sample(torch.Size([50])) for one in posteriors])
    assert torch.allclose(estimate, weights.logsumexp(0) - math.log(50))
    assert (estimate >= weights.mean(0)).all() and (estimate > weights.mean(0)).any()


def test_importance_in_parts_counts_every_draw(monkeypatch):
    model, x = tiny(SPEC, latent=1), every_image(SPEC)
    calls = []
    monkeypatch.setattr("pixkit_plugins.pixelvae.SITES", 3 * SPEC.sites * len(x))
    batch = Batch(x, None, torch.arange(len(x)))
    torch.manual_seed(0)
    split = model.importance(batch, 7, lambda *call: calls.append(call))
    assert calls == [(3, 7), (6, 7), (7, 7)]
    torch.manual_seed(0)
    posteriors, _ = model._encode(x)
    draws = [torch.cat([posteriors[0].sample(torch.Size([size])) for size in (3, 3, 1)])]
    assert torch.allclose(-split, model.log_weights(x, posteriors, draws).logsumexp(0) - math.log(7))
    monkeypatch.setattr("pixkit_plugins.pixelvae.SITES", 1)
    model.importance(batch, 2, lambda *call: calls.append(call))
    assert calls[3:] == [(1, 2), (2, 2)], "one at a time where all images are too many"
    assert len(model.importance(Batch(x[:0], None, torch.arange(0)), 2)) == 0


def test_kl_by_hand():
    """KL(N(m, s) || N(0, 1)) = (m^2 + s^2 - 1) / 2 - log s, summed over entries."""
    model, x = tiny(SPEC, latent=2), every_image(SPEC)
    with torch.no_grad():
        (q,), _ = model._encode(x)
        kl = model.terms(x, [q], [q.sample()])["kl_1"]
    assert torch.allclose(kl, ((q.mean**2 + q.stddev**2 - 1) / 2 - q.stddev.log()).sum(1))


def test_the_ordered_prior_sees_what_is_before_alone_and_draws_site_by_site():
    model = tiny(ImageSpec(1, 4, 6, 2), gain=2.0, spatial={**SPATIAL, "ordering": "raster"})
    prior, (maps, height, width) = model.prior, model.prior.shape
    z_1 = torch.randn(2, maps, height, width, dtype=torch.float64, requires_grad=True)
    z_2 = torch.randn(2, 3, dtype=torch.float64)
    given = prior(z_1, z_2)
    sites = list(itertools.product(range(height), range(width)))
    for number, (row, column) in enumerate(sites):
        told = given.mean[0, :, row, column].sum() + given.stddev[0, :, row, column].sum()
        (gradient,) = torch.autograd.grad(told, z_1, retain_graph=True)
        seen = (gradient[0] != 0).any(0).flatten()
        assert not seen[number:].any()
        assert seen[:number].any() == (number > 0)
        assert not gradient[1].any()
    normals = torch.randn_like(z_1)
    by_site = torch.zeros_like(normals)
    with torch.no_grad():
        for row, column in sites:
            now = prior(by_site, z_2)
            by_site[:, :, row, column] = (now.mean + now.stddev * normals)[:, :, row, column]
        assert torch.allclose(prior.sample(z_2, normals), by_site, rtol=0, atol=1e-12)


def test_a_prior_at_once_ignores_the_grid():
    model = tiny(ImageSpec(1, 4, 6, 2), spatial=SPATIAL)
    z_1 = torch.randn(2, *model.prior.shape, dtype=torch.float64)
    z_2 = torch.randn(2, 3, dtype=torch.float64)
    given, other = model.prior(z_1, z_2), model.prior(torch.zeros_like(z_1), z_2)
    assert torch.equal(given.mean, other.mean)
    assert not torch.equal(given.mean[0], given.mean[1])


def test_under_at_once_no_pixel_sees_another_and_one_step_draws_all():
    model = tiny(ImageSpec(1, 3, 4, 2), ordering="at_once")
    x, z = torch.randint(2, (2, 1, 3, 4)), torch.randn(2, 3, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(model.network(x, z), model.network(1 - x, z))
        assert not torch.equal(model.network(x, z), model.network(x, z.flip(0)))
    assert model.network.ordering.count == 1


def batch_of(spec, count=6):
    x = torch.randint(spec.levels, (count, *spec.shape), generator=torch.Generator().manual_seed(0))
    return Batch(x, None, torch.arange(count))


@pytest.mark.parametrize(("step", "beta"), [(0, 0.0), (5, 0.5), (10, 1.0), (99, 1.0)])
@pytest.mark.parametrize("free_bits", [0.0, 1e3])
def test_warmup_and_free_bits_change_the_loss_and_not_the_bound(step, beta, free_bits):
    model, batch = tiny(SPEC, spatial=SPATIAL, warmup=10, free_bits=free_bits), batch_of(SPEC)
    torch.manual_seed(0)
    losses = {name: value.detach() for name, value in model.phases()[0].loss(batch, step).items()}
    kls = [max(float(losses[f"kl_{level}"]), free_bits) for level in (1, 2)]
    expected = float(losses["reconstruction"]) + beta * sum(kls)
    assert float(losses["loss"]) * SPEC.dims == pytest.approx(expected)
    torch.manual_seed(0)
    assert float(losses["nats"]) == pytest.approx(float(model.score(batch).mean()))
    assert float(losses["beta"]) == beta


def test_without_warmup_beta_is_one_and_free_bits_cut_the_gradient():
    model, batch = tiny(SPEC, free_bits=1e3), batch_of(SPEC)
    with torch.no_grad():
        for parameter in model.network.conditioner.parameters():
            parameter.zero_()
    torch.manual_seed(0)
    losses = model.phases()[0].loss(batch, 0)
    assert float(losses["beta"]) == 1.0
    losses["loss"].backward()
    assert all(not parameter.grad.any() for parameter in model.encoders.parameters()), "neither z nor its KL counts"


def test_sparsity_is_in_the_loss_and_in_no_bound():
    dense, batch = tiny(SPEC, encoder={**ENCODER, "sparsity": {"type": "l1", "weight": 0.0}}), batch_of(SPEC)
    sparse = tiny(SPEC, encoder={**ENCODER, "sparsity": {"type": "l1", "weight": 3.0}})
    torch.manual_seed(0)
    without = dense.phases()[0].loss(batch, 1)
    torch.manual_seed(0)
    with_penalty = sparse.phases()[0].loss(batch, 1)
    assert float(with_penalty["nats"]) == float(without["nats"])
    assert float(with_penalty["sparsity"]) > 0
    gap = float((with_penalty["loss"] - without["loss"]).detach()) * SPEC.dims
    assert gap == pytest.approx(float(with_penalty["sparsity"]))
    assert "sparsity" not in tiny(SPEC).phases()[0].loss(batch, 1)


def test_collapse_is_remarked_on_after_warmup():
    model = tiny(SPEC, spatial=SPATIAL, warmup=10)
    parts = {"reconstruction": 2.0, "kl_1": 3.0, "kl_2": 0.001}
    assert model.remarks(parts, 5) == []
    for step in (10, None):
        (remark,) = model.remarks(parts, step)
        assert "collapse" in remark and "z_2" in remark and "0.0010" in remark
    for kl in (0.5, 0.01):
        assert model.remarks({**parts, "kl_2": kl}) == []
    assert len(model.remarks({"reconstruction": 2.0, "kl_1": 0.0, "kl_2": 0.0099})) == 2
    assert len(tiny(SPEC, latent=1).remarks({"kl_1": 0.0}, 0)) == 1, "without warm-up from the first step on"


@pytest.mark.parametrize(("config", "mean"), [
    ({}, True), ({"free_bits": 0.1}, False), ({"encoder": {**ENCODER, "sparsity": {"type": "l1"}}}, False),
], ids=str)  # fmt: skip
def test_the_loss_is_a_mean_over_images_unless_something_of_the_batch_is_in_it(config, mean):
    (phase,) = component(**config).build(SPEC, None).phases()
    assert phase.mean is mean


def test_bounds_go_by_their_name():
    model, x = tiny(SPEC, latent=1), every_image(SPEC)
    with pytest.raises(UsageError, match="integral"):
        model.log_prob(x)
    torch.manual_seed(0)
    bound = model.bound(x, batch_size=100)
    torch.manual_seed(0)
    assert torch.equal(bound, -model.score(Batch(x, None, torch.arange(len(x)))))
    assert tuple(model.importance_log_prob(x, 3, batch_size=5).shape) == (16,)
    for method in (model.bound, lambda x: model.importance_log_prob(x, 2), model.encode):
        with pytest.raises(DataError):
            method(x + 1)


def test_a_grid_is_no_vector():
    with pytest.raises(RecipeError, match="not a vector"):
        component(spatial=SPATIAL, condition="vector").build(SPEC, None)


def test_a_backbone_without_context_is_refused():
    with pytest.raises(RecipeError, match="takes no context"):
        component(backbone=plain_backbone()).build(SPEC, None)


def test_training_uses_the_latent_and_lowers_the_bound():
    """Two kinds of images, all black or all white, which pixels drawn at once can only know of by z."""
    spec = ImageSpec(1, 4, 4, 2)
    torch.manual_seed(0)
    model = component(ordering="at_once", latent=1, warmup=50).build(spec, None)
    x = (torch.arange(32) % 2)[:, None, None, None].expand(-1, *spec.shape).contiguous()
    batch = Batch(x, None, torch.arange(32))
    before = float(model.score(batch).mean())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for step in range(150):
        optimizer.zero_grad()
        model.phases()[0].loss(batch, step)["loss"].backward()
        optimizer.step()
    parts = {name: float(value.mean()) for name, value in model.eval().assess(batch).items()}
    assert before == pytest.approx(spec.dims * math.log(2), rel=0.1)
    assert parts["nats"] < 3.0, "one bit would be 0.69 nats"
    assert parts["kl_1"] > 0.5
    drawn = model.sample(40, seed=1).flatten(1).double().mean(1)
    assert ((drawn < 0.2) | (drawn > 0.8)).double().mean() > 0.6
    assert drawn.round().unique().tolist() == [0.0, 1.0]


def test_levels_have_noise_of_their_own():
    model = tiny(ImageSpec(1, 4, 6, 2), spatial=SPATIAL)
    fixed, varied = Noise(0, [0] * 3), Noise(0, range(3))
    below, above = model.latents([varied, fixed]), model.latents([fixed, varied])
    assert torch.equal(below[0], above[0])
    assert len(below.unique(dim=0)) == len(above.unique(dim=0)) == 3


RECIPE = """
pixkit: 1
name: tiny
data: {source: digits, validation: 0.02, limit_train: 64, limit_test: 8}
model:
  type: pixelvae
  backbone: {type: pixelcnn, width: 4, layers: 0, first_kernel: 3, output_layers: 1}
  latent: 2
  spatial: {maps: 1, width: 4}
  features: 4
  encoder: {width: 2, hidden: 4}
  warmup: 5
train: {steps: 6, batch_size: 8, eval_every: 3, checkpoint_every: 3}
sample: {count: 1}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_resumed_in_the_middle_of_warmup_it_is_bit_identical(recipe, tmp_path):
    whole = build(load_recipe(recipe), tmp_path / "whole", device="cpu").run
    build(load_recipe(recipe, ["train.steps=3"]), tmp_path / "parts", device="cpu")
    parts = build(load_recipe(recipe), tmp_path / "parts", device="cpu", resume=True).run
    for name in ("model", "ema", "optimizer"):
        file = f"{name}.safetensors"
        assert (whole.checkpoint("last") / file).read_bytes() == (parts.checkpoint("last") / file).read_bytes(), name
    assert json.loads(whole.scores.read_text()) == json.loads(parts.scores.read_text())


class Heard(Reporter):
    def __init__(self):
        self.step_now, self.remarks = 0, []

    def step(self, step, metrics):
        self.step_now = step

    def message(self, text):
        if "collapse" in text:
            self.remarks.append((self.step_now, text[:40]))


def test_a_collapse_reaches_the_user_and_the_table(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("pixkit_plugins.pixelvae.COLLAPSED", 1e9)
    heard = Heard()
    run = build(load_recipe(recipe), tmp_path / "run", device="cpu", reporter=heard).run
    assert [step for step, _ in heard.remarks] == [6, 6], "one for each level, and none while beta rises"
    notes = json.loads(run.scores.read_text())["notes"]
    assert any(note.startswith("test, ema weights: posterior collapse: the KL of z_2") for note in notes)
