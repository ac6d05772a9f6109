"""Small functions that models share, by tables of known values at their bounds."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.models import request
from pixkit.models.batches import batches
from pixkit.models.capabilities import lacking
from pixkit.models.drawn import no_nats
from pixkit.models.encoder import SparsityConfig, draw_by_number, halved, halvings_to, split_gaussian
from pixkit.models.mixed import mixed, mixed_sites
from pixkit.models.order_agnostic import _others, _share_of
from pixkit.noise import Noise
from pixkit.samplers import Known, sampler_for

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(("images", "size", "recording", "expected"), [
    (0, None, False, [0]), (0, None, True, [0]), (1, None, False, [1]), (4, None, False, [4]), (5, None, False, [4, 1]),
    (5, None, True, [5]), (5, 2, True, [2, 2, 1]), (5, 5, False, [5]), (4, 1, False, [1] * 4),
    (1, 1, False, [1]), (0, 1, True, [0]),
])  # fmt: skip
def test_how_images_are_divided(images, size, recording, expected):
    module = nn.Linear(1, 1).requires_grad_(recording)
    slices = [*batches(module, images, size, 4)]
    numbers = torch.arange(images)
    assert [len(numbers[some]) for some in slices] == expected
    assert torch.equal(torch.cat([numbers[some] for some in slices]), numbers)
    with torch.no_grad():
        assert len([*batches(module, 5, None, 4)]) == 2
    module.bias.requires_grad_(False)
    assert len([*batches(module, 5, None, 4)]) == (1 if recording else 2), "some parameters are trained"
    assert next(batches(module.requires_grad_(False), 9999, None)) == slice(0, 256)
    with pytest.raises(UsageError, match="batch_size"):
        next(batches(module, 5, 0, 4))


def test_sides_are_halved():
    sides = [(28, 2, 7), (5, 1, 3), (5, 3, 1), (1, 3, 1), (8, 0, 8), (9, 1, 5)]
    assert [halved(side, times) for side, times, _ in sides] == [left for *_, left in sides]
    halvings = [(4, 4, 0), (5, 4, 1), (8, 4, 1), (9, 4, 2), (1, 4, 0), (28, 7, 2), (29, 7, 3), (7, 7, 0)]
    assert [halvings_to(side, most) for side, most, _ in halvings] == [times for *_, times in halvings]


def test_a_gaussian_has_a_bounded_scale():
    outputs = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, -9.0, -7.0, 0.0, 7.0, 9.0]])
    found = split_gaussian(outputs)
    assert found.mean.tolist() == [[1, 2, 3, 4, 5]] and found.stddev.log().tolist()[0] == pytest.approx(
        [-7, -7, 0, 7, 7]
    )


def test_images_of_one_number_have_one_draw():
    posterior = split_gaussian(torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0], [3.0, 2.0]], dtype=torch.float64))
    for numbers, alike in (([7, 7, 5, 7], [[0, 1, 3], [2]]), ([1, 1, 1, 1], [[0, 1, 2, 3]])):
        torch.manual_seed(0)
        units = (draw_by_number(posterior, torch.tensor(numbers)) - posterior.mean) / posterior.stddev
        assert all(torch.allclose(units[group], units[group[:1]]) for group in alike)
        assert len(units.round(decimals=9).unique()) == len(alike) and units.abs().max() > 0
        torch.manual_seed(0)
        noise = torch.empty(len(alike), 1, dtype=torch.float64).normal_()
        assert torch.allclose(units[[group[0] for group in reversed(alike)]], noise), "in the order of numbers"
    torch.manual_seed(0)
    drawn = draw_by_number(posterior, torch.arange(4))
    torch.manual_seed(0)
    assert torch.equal(drawn, posterior.rsample())


def test_a_penalty_is_finite_at_both_ends():
    kl = SparsityConfig(type="kl", weight=2.0, target=0.25)
    for rate in (0.0, 1.0):
        near = 1e-6 if rate == 0 else 1 - 1e-6
        expected = 0.25 * math.log(0.25 / near) + 0.75 * math.log(0.75 / (1 - near))
        assert float(kl.penalty(torch.full((2, 3), rate))) == pytest.approx(2 * 3 * expected, rel=1e-2)
    assert float(kl.penalty(torch.full((2, 3), 0.25))) == pytest.approx(0, abs=1e-6)
    l1 = SparsityConfig(type="l1", weight=2.0)
    assert float(l1.penalty(torch.tensor([[1.0, -2.0], [3.0, 0.0]]))) == 2 * (2 + 1)
    assert float(l1.penalty(torch.tensor([[[1.0, -3.0]], [[2.0, 2.0]]]))) == 2 * 2


def test_mixtures():
    each = torch.tensor([[-1.0, -2.0], [-3.0, -2.0]], dtype=torch.float64)
    expected = torch.tensor([math.log((math.exp(-1) + math.exp(-3)) / 2), -2.0], dtype=torch.float64)
    assert torch.allclose(mixed(each), expected, rtol=1e-12)
    sites = torch.tensor([[1.0, 0.0], [0.5, 1.5]], dtype=torch.float64).view(1, 2, 1, 2).expand(2, -1, -1, -1).clone()
    sites[1, 0] += 1
    shares = mixed_sites(each, sites)
    assert torch.allclose(shares.flatten(1).sum(1), -expected, rtol=1e-12)
    assert torch.allclose(shares[1, 0], sites[0, 1, 0]), "of equal ones no information belongs to the image"


@pytest.mark.parametrize(("n", "seed", "first", "wrong"), [
    (0, 0, 0, None), (5, 2**64 - 1, 2**64 - 5, None), (-1, 0, 0, "n"), (1.0, 0, 0, "n"), (1, -1, 0, "seed"),
    (1, 2**64, 0, "seed"), (1, 0, -1, "first"), (5, 0, 2**64 - 4, "first"), (0, 0, 2**64 + 1, "first"),
])  # fmt: skip
def test_which_counts_there_are(n, seed, first, wrong):
    found = None
    try:
        request.check_counts(n, seed, first)
    except UsageError as error:
        found = error.where
    assert found == wrong


def test_the_room_that_images_take(monkeypatch):
    asked = []
    monkeypatch.setattr(request, "check_fits", lambda needed, *rest, **more: asked.append((needed, rest[1], more)))
    request.check_room(5, ImageSpec(3, 4, 5, 2), where="count", hint="fewer")
    assert asked == [(2 * 8 * 5 * 60, "5 images of 60 sub-pixels", {"where": "count", "hint": "fewer"})]


def asking(**changed):
    given = {"classes": 3, "labelled": True, "conditions": ("label",), "device": torch.device("cpu"), **changed}
    return SimpleNamespace(**given)


def test_the_context_of_each_image():
    noise, of = Noise(0, [2, 3, 7]), request.context_for
    assert of(asking(), noise, None).tolist() == [2, 0, 1] and of(asking(), noise, None).dtype == torch.int64
    assert of(asking(classes=None), noise, None).tolist() == [0, 0, 0]
    assert of(asking(labelled=False), noise, None) is None
    assert of(asking(), noise, [1, 1, 2]).tolist() == [1, 1, 2]
    for model, context, found in (
        (asking(conditions=()), [0, 0, 0], "a context"), (asking(), [0, 0], "2"), (asking(), "abc", "str"),
    ):  # fmt: skip
        with pytest.raises(UsageError) as caught:
            of(model, noise, context)
        assert caught.value.found == found


@pytest.mark.parametrize("values", [1, 3])
def test_a_part_of_a_request(values):
    known = Known(torch.ones(1, 1, 2).bool(), torch.arange(2 * values).view(values, 1, 1, 2))
    whole = request.SampleRequest(
        Noise(5, [4, 6, 9]), sampler_for("auto"), known=known, context=torch.tensor([7, 8, 9])
    )
    part = whole.part([2, 0])
    assert len(whole) == 3 and len(part) == 2 and part.noise.images == [9, 4] and part.noise.seed == 5
    assert part.context.tolist() == [9, 7]
    assert part.known.values.flatten().tolist() == ([0, 1] if values == 1 else [4, 5, 0, 1])
    pair = request.SampleRequest(
        Noise(5, [4, 6]), sampler_for("auto"), known=Known(known.mask, torch.arange(4).view(2, 1, 1, 2))
    )
    assert pair.part([1]).context is None and pair.part([1]).known.values.flatten().tolist() == [2, 3]


def test_progress_of_a_part_is_that_of_all():
    told = []
    share = _share_of(lambda done, total: told.append((done, total)), 2, 3, 10)
    share(0, 4), share(1, 4), share(4, 4)
    assert told == [(8, 40), (11, 40), (20, 40)] and _share_of(None, 2, 3, 10) is None


def test_which_tensors_are_other_networks():
    names = ["networks.0.a", "networks.1.a", "networks.10.a", "network.1.a", "x.networks.1.a"]
    assert [_others(name, "") for name in names] == [False, True, True, False, False]
    assert [_others(name, "x.") for name in names] == [False, False, False, False, True]


def test_no_images_have_no_scores_in_single_precision_at_least():
    for kind, expected in (
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        module = nn.ParameterList([torch.zeros(1, dtype=torch.complex64), torch.zeros(1, dtype=kind)])
        found = no_nats(module)
        assert found.shape == (0,) and found.dtype == expected


@pytest.mark.parametrize(("capability", "model", "said"), [
    ("labelled", {}, ("the model takes no labels", "Model", "Model", None)),
    ("codes", {}, ("the model has no categorical code", "Model", "Model", None)),
    ("guidable", {"labelled": True}, ("the model knows no images without a label", "Model", "no label",
                                      "a label for each image")),
    ("guidable", {}, ("guidance is towards a label, and the model only knows images without a label", "Model",
                      "a model without labels", None)),
    ("completes", {}, ("the model cannot continue an image that is given in part", "Model", None,
                       "a model of pixels only, which draws some of them given others")),
    ("has_latent", {}, ("the model has no latent code", "Model", "Model", None)),
    ("mapped", {}, ("the model does not give each site's share of its score", "Model", "Model",
                    "a model that is `mapped`")),
    ("importance_sampled", {}, ("importance sampling is for models whose score is a bound", None,
                                "Model, whose likelihood is exact already", None)),
    ("importance_sampled", {"score_kind": "none"}, ("importance sampling is for models whose score is a bound", None,
                                                    "Model, which gives no likelihood", None)),
    ("scorable", {}, ("the model gives no likelihood, nor a bound", None, "Model", None)),
])  # fmt: skip
def test_what_a_model_lacks(capability, model, said):
    class Model:
        labelled, has_latent, score_kind, conditions = False, False, "exact", ()

    for name, value in model.items():
        setattr(Model, name, value)
    error = lacking(Model(), capability)
    assert (error.message, error.where, error.found, error.expected) == said
    assert lacking(Model(), capability, "--key").where == "--key"
    if capability == "guidable":
        assert ("dropout=0.1" in error.hint) is Model.labelled
    if capability == "completes":
        Model.has_latent = True
        assert "a latent model, which cannot continue an image" in lacking(Model(), capability).found
