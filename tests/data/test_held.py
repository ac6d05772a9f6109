"""What a source, or a program, gives that cannot be meant: said whole, with the place and what was expected."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pixkit.data.base import ImageSet, SourceImages
from pixkit.data.held import Seen, check, look_through
from pixkit.data.memory import Memory, given_images, levels_given
from pixkit.errors import DataError
from pixkit.image import ImageSpec

X = torch.arange(40, dtype=torch.uint8).view(4, 1, 2, 5) % 5
LABELS = torch.tensor([0, 2, 1, 2])
PLAIN = SourceImages(ImageSet(X), ImageSet(X[:1]), 5)
LABELLED = SourceImages(ImageSet(X, LABELS), ImageSet(X[:1], LABELS[:1]), 5, 3, class_names=("a", "b", "c"))
PAIR = "x, train images"


def said_of(call):
    with pytest.raises(DataError) as caught:
        call()
    error = caught.value
    return tuple(each for each in (error.message, error.where, error.found, error.expected, error.hint) if each)


def train(**changes):
    return replace(PLAIN, train=replace(PLAIN.train, **changes))


def labelled(labels, **changes):
    return replace(LABELLED, train=ImageSet(X, labels), **changes)


AXES = "pixels[:, None] of grey images, pixels.permute(0, 3, 1, 2) of [N, H, W, C]"
NUMBERS = "torch.int64 (n,)"
WRONG = [
    ((1, 2), ("the result of `load` is not of type SourceImages", "x", "tuple",
              "SourceImages(train=ImageSet(pixels), ...)")),
    (replace(PLAIN, levels=4.0), ("levels must be a number", "x", "levels = 4.0", "an int")),
    (replace(PLAIN, levels=True), ("levels must be a number", "x", "levels = True", "an int")),
    (replace(PLAIN, test=None), ("test is not of type ImageSet", "x", "NoneType",
                                 "ImageSet(pixels, labels), without pixels if there are no images")),
    (replace(PLAIN, validation=X), ("validation is not of type ImageSet", "x", "Tensor",
                                    "ImageSet(pixels, labels), without pixels if there are no images")),
    (train(pixels=X.numpy()), ("pixels is not of type Tensor", "x, pixels of the train images", "ndarray",
                               "torch.as_tensor(...) of it")),
    (train(pixels=X.to("meta")), ("data must be on the CPU", "x, pixels of the train images", "meta", "pixels.cpu()")),
    (train(rows=LABELS.int()), ("rows must be whole numbers, one per image", "x, rows of the train images",
                                "torch.int32 (4,)", NUMBERS)),
    (train(groups=LABELS[None]), ("groups must be whole numbers, one per image", "x, groups of the train images",
                                  "torch.int64 (1, 4)", NUMBERS)),
    (train(rows=torch.tensor([0, 4])), ("rows must be indices of pixels", "x, rows of the train images", "0..4",
                                        "0..3")),
    (train(rows=torch.tensor([-1, 3])), ("rows must be indices of pixels", "x, rows of the train images", "-1..3",
                                         "0..3")),
    (train(pixels=X[:0]), ("there are no training images", "x")),
    (train(pixels=X[:, 0]), ("images must have the shape [N, C, H, W]", PAIR, "3 axes", AXES)),
    (replace(PLAIN, test=ImageSet(X[:1, :, :1])), ("images of different shapes", "x, test images", "(1, 1, 1, 5)",
                                                   "(n, *(1, 2, 5))")),
    (labelled(None), ("labels and the number of classes go together", PAIR, "classes = 3")),
    (replace(PLAIN, train=ImageSet(X, LABELS)), ("labels and the number of classes go together", PAIR,
                                                 "classes = None")),
    (labelled(LABELS.int()), ("labels do not match the images", PAIR, "torch.int32 (4,)", "torch.int64 (4,)")),
    (labelled(LABELS[:3]), ("labels do not match the images", PAIR, "torch.int64 (3,)", "torch.int64 (4,)")),
    (labelled(LABELS + 1), ("labels out of range", PAIR, "1..3", "0..2")),
    (labelled(LABELS - 1), ("labels out of range", PAIR, "-1..1", "0..2")),
    (replace(LABELLED, class_names=("a", "b")), ("classes must have one name each", "x", "a, b",
                                                 "3 names, all different")),
    (replace(LABELLED, class_names=("a", "b", "a")), ("classes must have one name each", "x", "a, b, a",
                                                      "3 names, all different")),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "said"), WRONG)
def test_a_source_that_does_not_keep_its_promise_is_told_which(wrong, said):
    assert said_of(lambda: check(wrong, "x")) == said


@pytest.mark.parametrize("images", [
    PLAIN, LABELLED, train(rows=torch.tensor([0, 3]), groups=torch.tensor([1, 1])),
    replace(PLAIN, test=ImageSet(X, rows=LABELS[:0])),
    replace(LABELLED, test=ImageSet(X[:0], LABELS[:0]), class_names=None),
    replace(PLAIN, validation=ImageSet(X[1:2])), replace(PLAIN, levels=np.int64(5)),
])  # fmt: skip
def test_what_a_source_may_give_is_taken(images):
    check(images, "x")


def test_levels_are_those_that_occur_in_a_split_and_within_the_sources():
    images = replace(PLAIN, test=ImageSet(X[:0]), validation=ImageSet(X, rows=torch.tensor([0])))
    seen = look_through(replace(images, train=ImageSet(X.clamp(1, 3))), "x")
    assert {split: (each.low, each.high) for split, each in seen.items()} == {
        "train": (1, 3), "test": (0, 0), "validation": (0, 4)
    }  # fmt: skip
    assert all(type(each) is Seen and len(each.digest) == 64 for each in seen.values())
    with pytest.raises(DataError, match="out of range") as caught:
        look_through(replace(images, levels=4), "x")
    assert caught.value.where == PAIR


WHOLE = ("labels must be a whole number for each image", "labels")
FOUR = "integers, (4,)"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros((4, 1), int), ("int64 (4, 1)", FOUR, "labels[:, 0]")),
        (np.zeros((4, 3), int), ("int64 (4, 3)", FOUR, "labels.argmax(1), if they are one-hot")),
        (np.zeros((3, 3), int), ("int64 (3, 3)", FOUR)),
        (np.zeros(3, int), ("int64 (3,)", FOUR)),
        (np.zeros(4), ("float64 (4,)", FOUR, "labels.astype(int), or .long() of a tensor, if they are whole")),
        (np.array(list("abca")), ("<U1 (4,)", FOUR, "the number of each one's class: "
                                  "numpy.unique(labels, return_inverse=True)[1], or by a model's class_names")),
    ],
)  # fmt: skip
def test_labels_of_a_program_that_are_none_are_told_how_to_become_some(labels, said):
    assert said_of(lambda: given_images(X, labels, levels=5)) == (*WHOLE, *said)
    assert said_of(lambda: given_images(X, LABELS, test_images=X, test_labels=labels, levels=5))[1] == "test_labels"


def test_labels_of_a_program_are_below_2_to_the_63rd():
    labels = np.array([7, 2**63, 9, 7], np.uint64)
    expected = ("values out of range", "labels", f"7..{2**63}", f"below {2**63}")
    assert said_of(lambda: given_images(X, labels, levels=5)) == expected
    assert given_images(X, labels - np.uint64(7), levels=5).class_names == ("0", "2", str(2**63 - 7))


def test_images_of_a_program_have_labels_in_both_sets_or_in_none():
    apart = ("labels are given for one of images and test_images only", "labels")
    assert said_of(lambda: given_images(X, LABELS, test_images=X, levels=5)) == apart
    assert said_of(lambda: given_images(X, test_images=X, test_labels=LABELS, levels=5)) == apart
    found = given_images(X, LABELS * 3, test_images=X[:2], test_labels=[6, 0], levels=5)
    assert (found.test.labels.tolist(), found.class_names, found.classes) == ([2, 0], ("0", "3", "6"), 3)
    assert len(given_images(X, levels=5).test) == 0 and given_images(X, levels=5).classes is None
    with pytest.raises(DataError) as caught:
        given_images(X, LABELS, test_images=X[:2], test_labels=[5, 0], levels=5)
    assert caught.value.where == "test_labels"


def test_levels_of_a_program_are_one_split_and_their_labels_are_the_models_classes():
    spec, known = ImageSpec(1, 2, 5, 5), {"classes": 3, "class_names": ("a", "b", "c"), "split": "validation"}
    data = levels_given(X, LABELS, spec=spec, **known)
    assert [data.size(split) for split in data.SPLITS] == [0, 4, 0]
    assert (data.classes, data.class_names, data.labels("validation").tolist()) == (3, ("a", "b", "c"), [0, 2, 1, 2])
    assert len(data.labels("train")) == 0 and data.description == "levels passed by a program"
    assert torch.equal(data.batch("validation", torch.arange(4)).x, X.long())
    plain = levels_given(X, None, spec=spec, **known)
    assert (plain.classes, plain.class_names, plain.labels("test")) == (None, None, None)
    for labels, span in ((LABELS + 1, "1..3"), (LABELS - 1, "-1..1")):
        said = ("the model has no such classes", "labels", span, "0..2", "these are numbers of a, b, c")
        assert said_of(lambda labels=labels: levels_given(X, labels, spec=spec, **known)) == said
    none = {"classes": None, "class_names": None, "split": "test"}
    said = ("the model has no classes", "labels", "labels", "none")
    assert said_of(lambda: levels_given(X, LABELS, spec=spec, **none)) == said


def test_images_of_a_program_cannot_be_loaded_again_and_say_how_to_give_them():
    said = said_of(Memory(Memory.Config(), Path()).load)
    assert said[:3] == ("these images were passed by a program and are not stored", "data.source", "memory")
    assert said[3].startswith("pixkit.train(recipe, images=x)")


def test_sources_and_data_sets_are_shown_with_what_is_stated_of_them():
    assert repr(Memory(Memory.Config(source_levels=5, validation=0.25), Path())) == (
        "<Memory data, validation=0.25, source_levels=5>"
    )
    spec, known = ImageSpec(1, 2, 5, 5), {"classes": 3, "class_names": ("a", "b", "c"), "split": "test"}
    shown = f"<Dataset levels passed by a program: {spec}"
    assert repr(levels_given(X, LABELS, spec=spec, **known)) == f"{shown}, 3 classes; 0 train, 0 validation, 4 test>"
    assert repr(levels_given(X, None, spec=spec, **known)) == f"{shown}; 0 train, 0 validation, 4 test>"
