"""What is asked of a model for each wish: which codes, which noise, which labels, how many, and how grids show it."""

from types import SimpleNamespace

import pytest
import torch

from pixkit.errors import UsageError
from pixkit.figures.grids import Titles
from pixkit.tasks import latents
from pixkit.tasks.labels import class_titles, labelled_for, one_label, repeat_codes, repeat_labels
from pixkit.tasks.sample import _request, incompatible
from pixkit.tasks.sampled import titled


class Stand:
    """For a model: of three classes and four codes, or of fewer."""

    levels = 2
    spec = SimpleNamespace(shape=(1, 3, 2))

    def __init__(self, names=("ant", "bee", "cat"), labelled=True, codes=4):
        self.class_names, self.labelled, self.codes = names, labelled, codes
        self.classes = 3 if labelled else None

    def require(self, capability, where):
        if not getattr(self, capability):
            raise UsageError("it has none", where=where)

    def no_label(self):
        return torch.tensor([-1])

    def latents(self, noises):
        return [(noise.seed, list(noise.images)) for noise in noises]

    def encode(self, images):
        return images.double().flatten(1)


@pytest.mark.parametrize(("what", "codes", "pixels"), [
    ("pixels", ["fixed", "fixed"], "varied"), ("latent", ["varied", "varied"], "fixed"),
    ("latent1", ["varied", "fixed"], "fixed"), ("latent2", ["fixed", "varied"], "fixed"),
])  # fmt: skip
def test_of_codes_and_pixels_one_is_that_of_the_first_image_throughout(what, codes, pixels):
    images = {"fixed": [0, 0, 0], "varied": [0, 1, 2]}
    found, noise = latents.vary(Stand(), what, 3, 9)
    assert found == [(9, images[kind]) for kind in codes]
    assert (noise.seed, list(noise.images)) == (9, images[pixels])


@pytest.mark.parametrize("what", ["latent3", "latent0", "latent11", "code"])
def test_a_level_that_there_is_not_is_refused_with_those_that_there_are(what):
    with pytest.raises(UsageError, match="no such latent level") as caught:
        latents.vary(Stand(), what, 3, 9)
    assert caught.value.expected == "pixels, latent, latent1, latent2"


def test_codes_between_two_lie_on_a_line_at_equal_distances_under_one_noise():
    found, noise = latents.interpolate(Stand(), torch.tensor([[[1, 8]], [[5, 0]]]), 5, 9)
    assert found.tolist() == [[1, 8], [2, 6], [3, 4], [4, 2], [5, 0]]
    assert (noise.seed, list(noise.images)) == (9, [0] * 5)


def test_images_stand_above_those_of_their_codes_and_missing_places_are_black():
    x, again = torch.arange(1, 6).view(5, 1, 1, 1), torch.arange(11, 16).view(5, 1, 1, 1)
    assert latents.paired_rows(x, again, 3).flatten().tolist() == [1, 2, 3, 11, 12, 13, 4, 5, 0, 14, 15, 0]
    assert latents.paired_rows(x[:4], again[:4], 2).flatten().tolist() == [1, 2, 11, 12, 3, 4, 13, 14]


@pytest.mark.parametrize(("labels", "found"), [
    ("all", [0, 0, 1, 1, 2, 2]), ("none", [-1, -1]), ("bee", [1, 1]), ("cat, ant", [2, 2, 0, 0]), ("2", [2, 2]),
    (["bee", 0], [1, 1, 0, 0]), (1, [1, 1]), (torch.tensor([[2, 1]]), [2, 2, 1, 1]),
], ids=str)  # fmt: skip
def test_labels_are_named_numbered_or_all(labels, found):
    assert repeat_labels(Stand(), labels, 2).tolist() == found


@pytest.mark.parametrize(("model", "labels", "said", "expected"), [
    (Stand(), "dog", "dog", "ant, bee, cat, several of these, or all"), (Stand(), 3, "3", "0..2"),
    (Stand(names=None), "dog", "dog", "0..2, several of these, or all"), (Stand(names=None), -1, "-1", "0..2"),
    (Stand(), torch.tensor([2**64 - 1], dtype=torch.uint64), str(2**64 - 1), "0..2"),
    (Stand(), 2**63, str(2**63), "0..2"),
    (Stand(names=("0", "1", "2")), "x", "x", "0..2, several of these, or all"),
])  # fmt: skip
def test_classes_that_there_are_not_are_refused_with_those_that_there_are(model, labels, said, expected):
    with pytest.raises(UsageError, match="there: no such class") as caught:
        repeat_labels(model, labels, 2, where="there")
    assert (caught.value.found, caught.value.expected) == (said, expected)


def test_codes_are_numbered_or_all():
    assert repeat_codes(Stand(), "all", 2).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert repeat_codes(Stand(), [3, 0], 1).tolist() == [3, 0]
    for codes, expected in (("none", "0..3, or all"), ("ant", "0..3, several of these, or all"), (4, "0..3")):
        with pytest.raises(UsageError) as caught:
            repeat_codes(Stand(), codes, 2)
        assert caught.value.where == "codes" and caught.value.expected == expected
    for call in (lambda: repeat_codes(Stand(codes=0), 1, 2), lambda: repeat_labels(Stand(labelled=False), 1, 2)):
        with pytest.raises(UsageError, match="it has none"):
            call()


def test_an_image_has_a_label_or_none():
    assert one_label(Stand(), None).tolist() == [-1] and one_label(Stand(labelled=False), None) is None
    assert one_label(Stand(), "cat").tolist() == [2] and one_label(Stand(), torch.tensor([7])).tolist() == [7]


def test_rows_and_columns_are_titled_by_classes_that_have_names():
    titles = Titles("rows", ("ant", "bee", "cat"))
    assert class_titles(Stand(), "rows") == titles
    for model in (Stand(labelled=False), Stand(names=None), Stand(names=("0", "1", "2"))):
        assert class_titles(model, "rows") is None
    assert titled(Stand(), None, None) == (3, Titles("columns", titles.names))
    assert titled(Stand(), 5, "all") == (5, Titles("rows", ["ant", "bee", "cat"]))
    assert titled(Stand(), 5, [2, "ant"]) == (5, Titles("rows", ["cat", "ant"]))
    for model, columns, labels in ((Stand(), 5, None), (Stand(), 5, "none"), (Stand(names=None), 5, "all")):
        assert titled(model, columns, labels) == (columns, None)
    assert titled(Stand(names=None), None, None) == (None, None)


def test_what_goes_together():
    together = [["labels"], ["labels", "guidance"], ["labels", "given"], ["vary"], [], ["codes", "guidance"]]
    alone = [["labels", "codes"], ["vary", "guidance"], ["interpolate", "vary"], ["interpolate", "given"]]
    assert not any(map(incompatible, together)) and all(map(incompatible, alone))


def asked(given=None, **wishes):
    drawer = SimpleNamespace(model=Stand(), images=lambda images, where: images)
    wishes = {"labels": None, "codes": None, "context": None, "rows": None, "guidance": 0.5, **wishes}
    return _request(drawer, 2, given=given, **wishes)


def test_a_request_is_for_so_many_of_each():
    assert asked() == {"n": 2, "guidance": 0.5}
    labelled = asked(labels=[2, 1])
    assert labelled.pop("context").tolist() == [2, 2, 1, 1] and labelled == {"n": 4, "guidance": 0.5}
    assert asked(codes=3)["context"].tolist() == [3, 3]
    images = torch.arange(6).view(1, 1, 3, 2)
    one = asked(images, rows=2)
    assert one["n"] == 2 and torch.equal(one["known"].values, images)
    assert one["known"].mask.tolist() == [[[True, True], [True, True], [False, False]]]
    several = asked(torch.cat([images, images + 1]), rows=1)
    assert several["n"] == 4 and several["known"].values[:, 0, 0, 0].tolist() == [0, 0, 1, 1]
    assert asked(images, rows=1, labels=[0])["context"].tolist() == [0, 0]
    each = asked(torch.cat([images, images + 1]), rows=1, labels=[0, 2])
    assert each["n"] == 8 and each["context"].tolist() == 2 * [0, 0, 2, 2]
    assert each["known"].values[:, 0, 0, 0].tolist() == 4 * [0] + 4 * [1]


@pytest.mark.parametrize(("labelled", "classes"), [(False, 3), (False, None), (True, None)])
def test_images_stay_as_they_are_for_a_model_that_reads_no_labels(labelled, classes):
    """As one that was trained on labelled images without a context, which has classes and does not look at them."""
    images = SimpleNamespace(classes=None, name="unlabelled")
    assert labelled_for(SimpleNamespace(labelled=labelled, classes=classes), images) is images
