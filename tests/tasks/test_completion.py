"""Completions: masks, conditional nats by hand, frequencies by enumeration, and what is called exact."""

import itertools
import math

import pytest
import torch

from pixkit.errors import DataError, UsageError
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.samplers import Cached, Drawn, Known
from pixkit.tasks.complete import complete, complete_each, conditional_nats
from pixkit.tasks.masks import hide_box, hide_random, keep_edge
from pixkit.testing import component, every_image, named, plain_backbone, randomise

GREY, COLOUR = ImageSpec(1, 2, 4, 2), ImageSpec(3, 2, 2, 2)


def model(spec, ordering=None, classes=None, **config):
    if classes is not None:
        config["context"] = {"type": "label", "size": 3}
        config["backbone"] = {"type": "gated_pixelcnn", "width": 6, "layers": 1, "first_kernel": 3}
    config.setdefault("backbone", plain_backbone())
    built = named("model", "autoregressive", ordering=ordering or "raster", **config).build(spec, classes)
    built = built.double().eval()
    randomise(built, seed=1)
    return built


def agreeing(spec, image, known):
    """Every image whose known part is the image's, and which of them the image is."""
    images = every_image(spec)
    images = images[(images == image)[:, known].all(1)]
    return images, int((images == image).flatten(1).all(1).nonzero())


@pytest.mark.parametrize(("spec", "config"), [
    (GREY, {}), (GREY, {"ordering": {"type": "hilbert"}}), (COLOUR, {}),
    (COLOUR, {"head": {"type": "softmax", "independent": True}, "ordering": {"type": "raster", "colours": "joint"}}),
    (COLOUR, {"head": {"type": "logistic_mixture", "components": 2}}),
], ids=str)  # fmt: skip
def test_nats_are_those_of_the_conditional_distribution_by_enumeration(spec, config):
    built = model(spec, **config)
    image = every_image(spec)[torch.tensor([77])]
    order = built.network.ordering.steps
    for last in range(1, int(order.max()), 2):
        known = order <= last
        images, own = agreeing(spec, image, known)
        with torch.no_grad():
            expected = -built.network.log_prob(images).log_softmax(0)[own]
        found = complete(built, image, known, n=2)
        assert found.exact
        assert found.nats == pytest.approx(float(expected), abs=1e-9)
        missing = int((~known).sum())
        assert found.bits_per_dim == pytest.approx(found.nats / missing / math.log(2))
        told = {"kind": "exact", "nats": found.nats, "entropy": found.entropy, "missing": missing, "n": 2}
        assert told.items() <= found.dump().items()


def test_completions_follow_the_conditional_distribution_and_their_entropy_is_its():
    """Chi-square over the 16 continuations of a row, and the mean of -log p over draws against sum of -p log p."""
    built = model(GREY)
    image, known = every_image(GREY)[torch.tensor([201])], keep_edge(GREY.shape, "top", 1)
    images, _ = agreeing(GREY, image, known)
    with torch.no_grad():
        truth = built.network.log_prob(images).softmax(0)
    found = complete(built, image, known, n=3000, seed=4, batch_size=1000)
    assert (found.samples == image)[:, known].all()
    codes = (found.samples[:, 0, 1] * torch.tensor([8, 4, 2, 1])).sum(1)
    observed = torch.bincount(codes, minlength=16)
    expected = truth * 3000
    assert float(((observed - expected) ** 2 / expected.clamp(min=1e-9)).sum()) < 50, "15 degrees of freedom"
    assert found.entropy == pytest.approx(float(torch.special.entr(truth).sum()), abs=0.05)
    assert float(found.uncertainty.sum()) == pytest.approx(found.entropy)
    assert not found.uncertainty[0].any()


def test_uncertainty_is_the_mean_entropy_along_the_completions():
    """By hand for one completion: each level probability from ratios of sums over all images."""
    built = model(COLOUR)
    image, known = every_image(COLOUR)[torch.tensor([1234])], keep_edge(COLOUR.shape, "top", 1)
    found = complete(built, image, known, n=1, seed=2)
    images = every_image(COLOUR)
    with torch.no_grad():
        weights = built.network.log_prob(images).exp()
    steps = built.network.ordering.steps
    drawn = found.samples[0]
    for row, column in itertools.product(range(2), range(2)):
        total = 0.0
        for colour in range(3):
            before = steps < steps[colour, row, column]
            same = (images == drawn)[:, before].all(1)
            shares = [float(weights[same & (images[:, colour, row, column] == level)].sum()) for level in range(2)]
            total -= sum(p / sum(shares) * math.log(p / sum(shares)) for p in shares)
        expected = 0.0 if row == 0 else total / 3
        assert float(found.uncertainty[row, column]) == pytest.approx(expected, abs=1e-8)


def test_clamped_completions_are_labelled_and_have_no_nats():
    built = model(GREY)
    image, known = every_image(GREY)[torch.tensor([37])], keep_edge(GREY.shape, "bottom", 1)
    found = complete(built, image, known, n=4)
    assert (found.exact, found.nats, found.entropy) == (False, None, None)
    assert (found.samples == image)[:, known].all()
    assert found.uncertainty[0].any()
    both = complete_each(built, torch.cat([image, image]), known, n=1)
    assert [one.name for one in both] == ["", ""] and torch.equal(both[1].samples, found.samples[:1])
    with pytest.raises(UsageError, match="known sub-pixels after missing ones"):
        conditional_nats(built.network, image, known)
    built = model(GREY, {"type": "raster", "flip_vertical": True})
    turned = complete(built, image, known, n=4)
    assert (turned.exact, turned.nats) == (True, conditional_nats(built.network, image, known))


def test_half_of_the_colours_of_a_joint_site_are_not_given_first():
    built = model(COLOUR, head={"type": "logistic_mixture", "components": 1})
    known = torch.zeros(COLOUR.shape, dtype=torch.bool)
    known[0] = True
    assert not complete(built, every_image(COLOUR)[:1], known, n=1).exact


def test_masks_are_of_sides_rows_and_columns_that_there_are():
    shape = GREY.shape
    for side in ("up", "Top", None):
        with pytest.raises(UsageError, match="no such side") as caught:
            keep_edge(shape, side, 1)
        assert (caught.value.found, caught.value.expected) == (repr(side), "top, bottom, left, right")
    for count in (1.0, -1, shape[1] + 1):
        with pytest.raises(UsageError, match="that many rows"):
            keep_edge(shape, "top", count)
    for box in (
        (0.0, 0, 1, 1),
        (0, 0, 1, 1.5),
        (0, 0, shape[1] + 1, 1),
        (0, 0, 1, shape[2] + 1),
        (0, -1, 1, 1),
        (0, 0, 0, 1),
    ):
        with pytest.raises(UsageError, match="not within the image"):
            hide_box(shape, *box)
    assert not hide_box(shape, 0, 0, shape[1], shape[2]).any()


def test_nothing_known_is_the_whole_likelihood():
    built = model(GREY)
    image = every_image(GREY)[torch.tensor([99])]
    found = complete(built, image, torch.zeros(GREY.shape, dtype=torch.bool), n=1)
    assert found.nats == pytest.approx(-float(built.log_prob(image)))


def test_labels_count():
    built = model(GREY, classes=3)
    image, known = every_image(GREY)[torch.tensor([201])], keep_edge(GREY.shape, "top", 1)
    nats = []
    for label in range(3):
        images, own = agreeing(GREY, image, known)
        labels = torch.full((len(images),), label)
        with torch.no_grad():
            expected = -built.network.log_prob(images, labels).log_softmax(0)[own]
        found = complete(built, image, known, n=2, label=torch.tensor([label]))
        assert found.nats == pytest.approx(float(expected), abs=1e-9)
        nats.append(found.nats)
    assert len(set(nats)) == 3


@pytest.mark.parametrize(
    ("label", "found"), [("all", "all"), ("0,2", "0,2"), (torch.tensor([0, 2]), r"\(2,\)"), (torch.tensor(1), r"\(\)")]
)
def test_an_image_has_one_label(label, found):
    image, known = every_image(GREY)[torch.tensor([201])], keep_edge(GREY.shape, "top", 1)
    with pytest.raises(UsageError, match=rf"(?s)one label.*found: .*{found}.*expected: a") as caught:
        complete(model(GREY, classes=3), image, known, n=2, label=label)
    assert caught.value.where == "label"


@pytest.mark.parametrize(("change", "error", "text"), [
    ({"known": torch.ones(GREY.shape, dtype=torch.bool)}, UsageError, "nothing is missing"),
    ({"known": torch.zeros(1, 4, 2, dtype=torch.bool)}, UsageError, "does not fit"),
    ({"image": torch.full((1, *GREY.shape), 2)}, DataError, "(?s)the image to complete.*out of range"),
    ({"label": torch.tensor([1])}, UsageError, "not conditional"),
    ({"known": None}, UsageError, "known: this is no mask"),
    ({"sampler": Cached}, UsageError, "sampler: not a sampler"),  # the class
], ids=["whole", "shape", "levels", "label", "no mask", "no sampler"])  # fmt: skip
def test_what_does_not_fit_is_refused(change, error, text):
    given = {"image": torch.zeros(1, *GREY.shape, dtype=torch.int64), "known": keep_edge(GREY.shape, "top", 1)}
    with pytest.raises(error, match=text):
        complete(model(GREY), n=1, **(given | change))


def test_models_that_cannot_continue_images_say_so():
    class Other(Model):
        """Draws whole images alone."""

        score_kind = "none"

        def phases(self):
            return []

        def draw(self, request):
            return Drawn(torch.zeros(len(request), *self.spec.shape, dtype=torch.int64))

    with pytest.raises(UsageError, match="cannot continue an image"):
        complete(
            component("model", Other).build(GREY), torch.zeros(1, *GREY.shape).long(), keep_edge(GREY.shape, "top", 1)
        )


@pytest.mark.parametrize("name", ["raster", "snake", "checkerboard", "hilbert"])
def test_late_counts_the_pairs_that_are_the_wrong_way_about(name):
    spec = ImageSpec(2, 3, 4, 2)
    ordering = named("ordering", name).build(spec, "sequential")
    for seed in range(5):
        known = torch.rand(spec.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
        part = Known(known, torch.zeros(1, *spec.shape, dtype=torch.int64))
        given, missing = ordering.steps[known].tolist(), ordering.steps[~known].tolist()
        assert part.late(ordering) == sum(a >= b for a in given for b in missing)
    for count in range(4):
        first = Known(keep_edge(spec.shape, "top", count), torch.zeros(1, *spec.shape, dtype=torch.int64))
        assert (first.late(ordering) == 0) is first.precede(ordering)


def test_masks():
    shape = (3, 4, 6)
    for side, rows in (("top", slice(0, 1)), ("bottom", slice(3, 4))):
        known = keep_edge(shape, side, 1)
        assert known[:, rows].all()
        assert int(known.sum()) == 18
    for side, columns in (("left", slice(0, 2)), ("right", slice(4, 6))):
        known = keep_edge(shape, side, 2)
        assert known[:, :, columns].all()
        assert int(known.sum()) == 24
    boxed = hide_box(shape, 1, 2, 3, 4)
    assert not boxed[:, 1:4, 2:6].any()
    assert int((~boxed).sum()) == 36
    for top, left, height, width in ((0, 0, 1, 1), (3, 0, 1, 6), (0, 5, 4, 1), (0, 0, 4, 6)):
        hidden = ~hide_box(shape, top, left, height, width)
        assert int(hidden.sum()) == 3 * height * width and hidden[:, top, left].all()
    scattered = hide_random(shape, 0.25, seed=3)
    assert (~scattered[0]).flatten().nonzero().flatten().tolist() == [1, 7, 10, 13, 15, 21]
    assert int((~scattered).sum()) == 18
    assert torch.equal(scattered, scattered[:1].expand(3, -1, -1)), "whole pixels"
    assert torch.equal(scattered, hide_random(shape, 0.25, seed=3))
    assert not torch.equal(scattered, hide_random(shape, 0.25, seed=4))
    assert int((~hide_random(shape, 1e-6, seed=0)).sum()) == 3
    assert not hide_random(shape, 1.0, seed=0).any()
    for side, length in (("top", 4), ("right", 6)):
        assert not keep_edge(shape, side, 0).any() and keep_edge(shape, side, length).all()


@pytest.mark.parametrize(("make", "text"), [
    (lambda: keep_edge((1, 4, 6), "top", 5), "rows"), (lambda: keep_edge((1, 4, 6), "left", 7), "columns"),
    (lambda: hide_box((1, 4, 6), 2, 0, 3, 1), "within"), (lambda: hide_box((1, 4, 6), 0, -1, 1, 1), "within"),
    (lambda: hide_box((1, 4, 6), 0, 0, 0, 1), "within"), (lambda: hide_random((1, 4, 6), 0.0, 0), "share"),
    (lambda: hide_box((1, 4, 6), 0, 5, 1, 2), "within"), (lambda: hide_box((1, 4, 6), -1, 0, 1, 1), "within"),
    (lambda: hide_box((1, 4, 6), 0, 0, 1, 0), "within"), (lambda: hide_random((1, 4, 6), 1.001, 0), "share"),
    (lambda: keep_edge((1, 4, 6), "right", -1), "columns"),
])  # fmt: skip
def test_masks_that_are_none_are_refused(make, text):
    with pytest.raises(UsageError, match=text):
        make()
