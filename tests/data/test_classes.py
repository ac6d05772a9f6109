from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from pixkit.data import SOURCES, SourceImages, classes
from pixkit.data.base import ImageSet
from pixkit.data.classes import (
    MOST,
    by_value,
    how_to_label,
    in_order,
    number_of,
    renamed,
    renumbered,
    table_of,
    with_names,
)
from pixkit.data.former import numbered_as_before
from pixkit.errors import DataError, RecipeError
from tests.data.test_arrays import NHWC


def images(*names, train=(0, 1), test=()):
    def part(labels):
        return ImageSet(torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), torch.tensor(labels, dtype=torch.int64))

    return SourceImages(part(list(train)), part(list(test)), levels=256, classes=len(names), class_names=names)


def test_names_that_are_numbers_are_in_the_order_of_numbers():
    assert in_order(["10", "9", "2", "02"]) == ["02", "2", "9", "10"]
    assert in_order(["10", "9", "a"]) == ["10", "9", "a"]
    assert in_order(["²", "10", "9"]) == ["10", "9", "²"]


def test_folders_with_numbers_as_names(make, tmp_path):
    for name in ("2", "10", "1"):
        for number in range(4):
            path = tmp_path / "pictures" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (3, 3), int(name)).save(path)
    data = make("images", path="pictures", labels=True, test_fraction=0.0, validation=0.0)
    assert data.class_names == ("1", "2", "10") and data.notes == ("classes: 1, 2, 10",)
    batch = data.batch("train", torch.arange(12))
    levels = batch.x[:, 0, 0, 0].tolist()
    assert [data.class_names[label] for label in batch.labels.tolist()] == list(map(str, levels))
    other = make("images", path="pictures", labels=True, class_names=["10", "2", "1", "0"], validation=0.0)
    assert (other.classes, other.class_names) == (4, ("10", "2", "1", "0"))
    batch = other.batch("train", torch.arange(10))
    assert [other.class_names[label] for label in batch.labels.tolist()] == list(map(str, batch.x[:, 0, 0, 0].tolist()))


@pytest.mark.parametrize("values", [range(1, 11), [0, 2], [7, 300, 2**30]])
def test_labels_of_arrays_are_their_distinct_values(make, tmp_path, values):
    values = list(values)
    labels = np.array([values[number % len(values)] for number in range(20)])
    np.savez(tmp_path / "a.npz", train=NHWC, test=NHWC[:5], y=labels, z=labels[:5])
    data = make("arrays", path="a.npz", train_labels="y", test_labels="z", validation=0.0)
    assert data.classes == len(values) and data.class_names == tuple(map(str, values))
    assert [int(data.class_names[label]) for label in data.labels("train").tolist()] == labels.tolist()
    assert [int(data.class_names[label]) for label in data.labels("test").tolist()] == labels[:5].tolist()
    held = make("arrays", path="a.npz", test=None, train_labels="y", test_fraction=0.5)
    assert held.class_names == data.class_names


def test_a_test_label_that_no_training_image_has_is_refused(make, tmp_path):
    np.savez(tmp_path / "a.npz", train=NHWC, test=NHWC[:5], y=np.arange(20) % 3, z=np.array([0, 1, 2, 3, 9]))
    with pytest.raises(DataError, match="no training image has") as caught:
        make("arrays", path="a.npz", train_labels="y", test_labels="z")
    assert (caught.value.found, caught.value.expected) == ("3, 9", "among 0, 1, 2")
    assert "data.classes" in caught.value.hint
    assert make("arrays", path="a.npz", train_labels="y", test_labels="z", classes=10).classes == 10


def test_by_value_numbers_the_values_of_the_first_array():
    (first, second), names = by_value(np.array([5, 2, 9]), np.array([9, 5]))
    assert (first.tolist(), second.tolist(), names) == ([1, 0, 2], [2, 1], ("2", "5", "9"))


def test_numbers_are_named_by_the_recipe(make):
    names = [f"the {word}" for word in ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]]
    plain, data = make("digits"), make("digits", class_names=names)
    assert plain.class_names == tuple("0123456789") and plain.notes == ()
    assert data.class_names == tuple(names) and torch.equal(data.labels("train"), plain.labels("train"))
    with pytest.raises(RecipeError, match="classes that differ") as caught:
        make("digits", class_names=names[:9])
    assert caught.value.where == "data.class_names" and caught.value.exit_code == 2
    with pytest.raises(RecipeError, match="no labels"):
        make("synthetic", class_names=names)


def test_recipes_names_are_matched_with_those_of_the_data():
    assert renamed(images("ant", "bee"), ["bee", "cat", "ant"]).train.labels.tolist() == [2, 0]
    for names in (("ant", "bee"), ("0", "bee"), ("0", "²")):
        with pytest.raises(RecipeError, match="classes that differ") as caught:
            renamed(images(*names), ["ant", "cat"])
        assert caught.value.expected == ", ".join(names)
    same = images("ant", "bee")
    assert renamed(same, ["ant", "bee"]) is same
    assert renamed(images("0", "1"), ["b", "a"]).train.labels.tolist() == [0, 1]
    with pytest.raises(RecipeError, match="classes that differ"):
        renamed(images("0", "1"), ["a", "b", "c"])
    with pytest.raises(RecipeError, match="classes that differ") as caught:
        renamed(replace(same, class_names=None), ["a", "b", "c"])
    assert caught.value.expected == "2 names"


def test_names_that_no_run_could_keep_are_not_kept(monkeypatch):
    many = SourceImages(images("a").train, images("a").test, levels=256, classes=2**24)
    assert with_names(many).class_names is None
    assert len(with_names(SourceImages(many.train, many.test, levels=256, classes=1000)).class_names) == 1000
    assert with_names(images("x" * MOST, "y")).class_names is None
    monkeypatch.setattr(classes, "MOST", 2 * 16 + 5)
    assert with_names(images("abc", "de")).class_names == ("abc", "de")
    assert with_names(images("abc", "def")).class_names is None
    assert with_names(SourceImages(many.train, many.test, levels=256, classes=2)).class_names == ("0", "1")


def test_the_keys_that_read_labels_are_named():
    configs = {name: SOURCES[name].Config for name in ("arrays", "images", "digits")}
    given = {"images": {"path": "x"}}
    assert {name: how_to_label(config(**given.get(name, {}))) for name, config in configs.items()} == {
        "arrays": "data.train_labels=NAME data.test_labels=NAME",
        "images": "data.labels=true",
        "digits": None,
    }


@pytest.mark.parametrize(
    ("text", "names", "number"),
    [
        ("bee", ("ant", "bee"), 1),
        ("1", ("ant", "bee"), 1),
        ("1", ("0", "bee"), None),
        ("2", ("ant", "bee"), None),
        ("cat", ("ant", "bee"), None),
        ("1", ("1", "2"), 0),
        ("0", ("1", "2"), None),
        ("3", tuple("0123"), 3),
        ("03", tuple("0123"), 3),
        ("1", None, 1),
        ("9", None, None),
        ("all", ("all", "x"), 0),
        ("name:x", ("all", "x"), 1),
        ("name:x", ("x", "name:x"), 1),
        ("name:b", ("a", "b c"), None),
        ("name:1", ("a", "b"), None),
        ("name:1", None, None),
        ("000000001", None, 1),
        ("0000000001", None, None),
        ("2", None, None),
    ],
)
def test_a_class_is_found_by_name_and_by_number_where_none_is_named_so(text, names, number):
    assert number_of(text, 2 if names is None else len(names), names) == number


def test_numbers_of_classes_as_0_1_had_them():
    folders = numbered_as_before("images", images("2", "10", train=(0, 1, 1)))
    assert folders.class_names == ("10", "2") and folders.train.labels.tolist() == [1, 0, 0]
    arrays = numbered_as_before("arrays", images("1", "3", train=(0, 1, 1), test=(1,)))
    assert (arrays.classes, arrays.train.labels.tolist(), arrays.test.labels.tolist()) == (4, [1, 3, 3], [3])
    for source, names in (("digits", ("2", "10")), ("arrays", ("3", "x")), ("arrays", ("0", "1", "2"))):
        same = images(*names)
        assert numbered_as_before(source, same) is same
    nameless = replace(images("a"), class_names=None)
    assert numbered_as_before("images", nameless) is nameless


def test_data_are_matched_with_a_models_classes_by_name(make):
    data = make("digits", class_names=list("jihgfedcba"))
    turned = data.labelled_for(11, tuple("xabcdefghij"))
    assert torch.equal(turned.labels("test"), 10 - data.labels("test")) and turned.classes == 11
    assert turned.batch("test", torch.arange(3)).labels.tolist() == (10 - data.labels("test")[:3]).tolist()
    assert turned.hashes() == data.hashes() and turned.hashes() and turned.values == data.values != ""
    assert data.labelled_for(10, tuple("jihgfedcba")) is data
    plain = make("synthetic")
    assert plain.labelled_for(10, None) is plain
    with pytest.raises(DataError, match="not trained on") as caught:
        data.labelled_for(3, ("a", "b", "c"))
    assert caught.value.found == "j, i, h, g, f, e, d"
    assert data.labelled_for(10, None) is data
    with pytest.raises(DataError, match="known only by number"):
        data.labelled_for(9, None)


def test_images_without_names_are_as_they_are():
    for given in (replace(images(), classes=2, class_names=None), replace(images(), classes=None, class_names=None)):
        assert renumbered(given, ("ant", "bee", "cat")) is given


def said_of(kind, call, *given):
    with pytest.raises(kind) as caught:
        call(*given)
    error = caught.value
    return error.message, error.where, error.found, error.expected, error.hint


def test_a_models_numbers_for_classes_are_by_name_where_both_have_names():
    assert table_of(("a", "b"), 2, ("a", "b"), 2, "x") is table_of(None, 2, ("a", "b"), 2, "x") is None
    assert table_of(("a", "b"), 2, None, 2, "x") is None
    assert table_of(("b", "a"), 2, ("a", "x", "b"), 3, "x").tolist() == [2, 0]
    assert said_of(DataError, table_of, ("c", "a", "d"), 3, ("a", "b"), 2, "x") == (
        "classes that the model was not trained on", "x", "c, d", "among a, b",
        "leave their images out; data.class_names=[...] renames classes that are the same",
    )  # fmt: skip
    for names, wanted, found in ((None, ("a", "b"), "3"), (("a", "b", "c"), None, "3: a, b, c")):
        assert said_of(DataError, table_of, names, 3, wanted, 2, "x") == (
            "the number of classes differs from that of the model, whose classes are known only by number", "x", found,
            "2", "data.class_names=[...] gives the model's classes in the order of their numbers",
        )  # fmt: skip


def test_names_that_a_recipe_cannot_give_are_told():
    nameless = replace(images(), classes=None, class_names=None)
    assert said_of(RecipeError, renamed, nameless, ["a", "b"]) == (
        "these images have no labels to be named", "data.class_names", "a, b", None,
        "a key of the source says where labels are: data.labels, data.train_labels",
    )  # fmt: skip
    assert said_of(RecipeError, renamed, images("ant", "bee"), ["ant", "cat"]) == (
        "classes that differ from those of the data", "data.class_names", "ant, cat", "ant, bee", None
    )  # fmt: skip


def test_labels_of_each_split_are_renumbered_and_a_split_without_stays_so():
    given = images("ant", "bee", train=(0, 1, 1), test=(1, 0))
    found = renumbered(replace(given, validation=images(train=(1,)).train), ("bee", "cat", "ant"))
    parts = (found.train, found.test, found.validation)
    assert [part.labels.tolist() for part in parts] == [[2, 0, 0], [0, 2], [0]]
    assert (found.classes, found.class_names) == (3, ("bee", "cat", "ant"))
    bare = replace(given, validation=replace(given.test, labels=None))
    assert renumbered(bare, ("bee", "ant")).validation is bare.validation
    assert renumbered(given, ("bee", "ant")).validation is None
