"""Nats of each site: they sum to the score, in every head, and of a mixture each has its share."""

import math

import pytest
import torch

from pixkit.errors import UsageError
from pixkit.image import Batch, ImageSpec
from pixkit.models.autoregressive import mutated
from pixkit.models.field import field_of
from pixkit.models.mixed import mixed, mixed_sites
from pixkit.testing import every_image, named, random_images, randomise

SMALL = {"type": "pixelcnn", "width": 6, "layers": 0, "first_kernel": 3, "output_layers": 1}
HEADS = [("softmax", 3, 5), ({"type": "softmax", "independent": True}, 3, 5), ("bernoulli", 1, 2),
         ("logistic_mixture", 3, 256), ("normal_mixture", 3, 16)]  # fmt: skip


def batch(x, labels=None):
    return Batch(x, labels, torch.arange(len(x)))


@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize(("head", "channels", "levels"), HEADS)
def test_sites_sum_to_the_score_and_are_those_of_one_pass(head, channels, levels, dtype, within):
    spec = ImageSpec(channels, 3, 4, levels)
    model = named("model", "autoregressive", backbone=SMALL, head=head).build(spec, None).eval().to(dtype)
    randomise(model, seed=1)
    x = random_images(spec, 3)
    with torch.no_grad():
        sites, figures = model.nll_map(x, batch_size=2), model.assess_sites(batch(x))
        assert tuple(sites.shape) == (3, 3, 4) and model.mapped
        assert torch.allclose(sites.flatten(1).sum(1), -model.log_prob(x), rtol=within, atol=0)
        assert torch.equal(figures[0]["nats"], model.score(batch(x))), "what eval says, bit for bit"
        assert torch.allclose(figures[1], sites, rtol=within)
    assert tuple(model.nll_map(x[:0]).shape) == (0, 3, 4)


def test_a_site_has_what_its_colours_cost_given_the_sites_before():
    spec = ImageSpec(1, 2, 2, 2)
    model = named("model", "autoregressive", backbone=SMALL).build(spec, None).eval().double()
    randomise(model, seed=2)
    every = every_image(spec)
    with torch.no_grad():
        log_probs, sites = model.log_prob(every), model.nll_map(every)
    x = every[5]
    first = [row for row, image in enumerate(every) if torch.equal(image.flatten()[:2], x.flatten()[:2])]
    before = [row for row, image in enumerate(every) if torch.equal(image.flatten()[:1], x.flatten()[:1])]
    given = log_probs[first].logsumexp(0) - log_probs[before].logsumexp(0)
    assert float(sites[5, 0, 1]) == pytest.approx(-float(given), rel=1e-10)


def test_an_ensembles_sites_sum_to_its_score_and_its_spread_is_told():
    spec = ImageSpec(1, 2, 3, 3)
    local = {"type": "local_pixelcnn", "width": 4, "blocks": 1, "stages": 1, "norm": "none"}
    orderings = ["raster", {"type": "raster", "flip_vertical": True}, {"type": "snake", "transpose": True}]
    model = named("model", "order_agnostic", backbone=local, orderings=orderings).build(spec, None).eval().double()
    randomise(model, seed=3)
    x = random_images(spec, 4)
    with torch.no_grad():
        figures, sites = model.assess_sites(batch(x))
        each = model.ordering_log_probs(x)
    assert torch.allclose(sites, model.nll_map(x), rtol=1e-12)
    assert torch.allclose(sites.flatten(1).sum(1), -model.log_prob(x), rtol=1e-12)
    known = model.assess(batch(x))
    assert {name: value.tolist() for name, value in known.items()} == {
        name: value.tolist() for name, value in figures.items() if name != "spread"
    }
    assert figures["spread"].tolist() == pytest.approx(each.numpy().std(0).tolist(), rel=1e-12)


def test_a_mixtures_sites():
    """Of two equal halves each site has its own; of one that is certain, its sites and ln 2 spread evenly."""
    sites = torch.tensor([[1.0, 3.0], [2.0, 2.0]], dtype=torch.float64)[:, None, None, :]
    assert mixed_sites(-sites.sum((2, 3)), sites).flatten().tolist() == [1.5, 2.5]
    far = sites + torch.tensor([0.0, 400.0], dtype=torch.float64).view(2, 1, 1, 1)
    half = math.log(2) / 2
    assert mixed_sites(-far.sum((2, 3)), far).flatten().tolist() == pytest.approx([1 + half, 3 + half], rel=1e-12)
    assert mixed(-far.sum((2, 3))).tolist() == pytest.approx([-4 - math.log(2)], rel=1e-12)


def test_a_latent_models_sites_sum_to_the_reconstruction_of_the_same_draw():
    spec = ImageSpec(1, 4, 4, 3)
    options = {"latent": 2, "features": 4, "encoder": {"width": 2, "hidden": 4}}
    model = named("model", "pixelvae", backbone=SMALL, **options).build(spec, None).eval().double()
    randomise(model, seed=4)
    x = random_images(spec, 3)
    with torch.no_grad():
        torch.manual_seed(7)
        figures, sites = model.assess_sites(batch(x))
        torch.manual_seed(7)
        assert {name: value.tolist() for name, value in model.assess(batch(x)).items()} == {
            name: value.tolist() for name, value in figures.items()
        }
        torch.manual_seed(7)
        assert torch.equal(model.nll_map(x), sites)
    assert torch.allclose(sites.flatten(1).sum(1), figures["reconstruction"], rtol=1e-12)
    assert (figures["nats"] > figures["reconstruction"]).all()


def test_a_model_without_sites_says_so():
    spec = ImageSpec(1, 4, 4, 2)
    model = named("model", "pixelgan", backbone=SMALL, gaussian=2).build(spec, None).eval()
    for call in (lambda: model.nll_map(random_images(spec, 1)), lambda: model.assess_sites(None)):
        with pytest.raises(UsageError, match="each site's share of its score"):
            call()


def test_what_has_no_network_has_no_receptive_field():
    with pytest.raises(UsageError, match=r"no autoregressive network\n  found: Linear"):
        field_of(torch.nn.Linear(1, 1), None)


def test_mutated_images_keep_the_levels_that_chance_leaves():
    torch.manual_seed(0)
    x = torch.full((200, 1, 8, 8), 3)
    assert torch.equal(mutated(x, 4, 0.0), x)
    found = mutated(x, 4, 0.5)
    assert float((found != 3).double().mean()) == pytest.approx(0.5 * 3 / 4, abs=0.02)
    assert found.unique().tolist() == [0, 1, 2, 3]


def test_mutation_is_of_training_alone():
    spec = ImageSpec(1, 4, 4, 4)
    models = [named("model", "autoregressive", backbone=SMALL, mutation=rate).build(spec, None) for rate in (0, 0.9)]
    x = random_images(spec, 8)
    for model in models:
        randomise(model, seed=5)
    assert torch.equal(*[model.eval().score(batch(x)) for model in models])
    plain, changed = (model.train().phases()[0].loss(batch(x), 0)["nats"] for model in models)
    assert float(plain) != float(changed)
