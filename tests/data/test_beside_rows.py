"""Which row belongs to which image, and what kind of array it is: `data.context` read for made-up images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pixkit.data import Arrays, DataConfig, ImageSet, SourceImages
from pixkit.data.beside import EXPECTED, Beside, read_beside
from pixkit.data.context_config import ContextConfig
from pixkit.errors import DataError, RecipeError
from pixkit.image import ImageSpec, Palette

SPEC = ImageSpec(1, 6, 9, 4)
NONE = "not vectors [N, D], codes [N, h, w] or images [N, H, W, C]"


def images(*, validation=2, rows=None):
    def part(count):
        return ImageSet(torch.zeros(count, 1, 6, 9, dtype=torch.uint8))

    if rows is not None:
        pixels = part(8).pixels
        return SourceImages(*(ImageSet(pixels, rows=torch.tensor(each)) for each in rows), levels=4)
    return SourceImages(part(5), part(3), levels=4, validation=part(validation) if validation else None)


@pytest.fixture
def read(tmp_path):
    """read(what, own=images(), arrays...): with each array in a file of its name."""

    def reading(context, own=None, spec=SPEC, config=DataConfig, **arrays):
        for name, array in arrays.items():
            np.save(tmp_path / f"{name}.npy", array)
        one = isinstance(context, str) or not {*context}.isdisjoint(ContextConfig.model_fields)
        given = config(context={"n": context} if one else context)
        return read_beside(given, own or images(), spec, lambda path: tmp_path / path, "made")

    return reading


def refused(error, call):
    with pytest.raises(DataError) as caught:
        call()
    assert caught.value.message == error and caught.value.where == "data.context.n"
    return caught.value.found, caught.value.expected


def test_rows_of_all_images_are_split_in_the_order_train_validation_test(read):
    found = read("a.npy", a=np.arange(10.0))
    assert {split: rows[:, 0].tolist() for split, rows in found.rows.items()} == {
        "train": [0, 1, 2, 3, 4], "validation": [5, 6], "test": [7, 8, 9],
    }  # fmt: skip
    assert found.of("test", torch.tensor([2, 0])).tolist() == [[9.0], [7.0]]
    found = read("a.npy", images(validation=0), a=np.arange(8.0))
    assert {split: len(rows) for split, rows in found.rows.items()} == {"train": 5, "test": 3}
    for wrong, said in ((np.arange(9.0), "9 rows"), (np.arange(11.0), "11 rows"), (np.float64(3), "a single number")):
        told = refused("not one row per image", lambda wrong=wrong: read("a.npy", a=wrong))
        assert told == (said, "10, images of made, train and validation and test")


def test_rows_of_images_that_are_held_out_go_with_their_numbers(read):
    own = images(rows=([6, 1, 4], [0, 7]))
    found = read("a.npy", own, a=np.arange(8.0))
    assert {split: rows[:, 0].tolist() for split, rows in found.rows.items()} == {"train": [6, 1, 4], "test": [0, 7]}
    told = refused("not one row per image", lambda: read("a.npy", own, a=np.arange(5.0)))
    assert told == ("5 rows", "8, images of made, of which some are held out")
    with pytest.raises(DataError, match="held out from 8: one array of as many rows is for all"):
        read({"train": "a.npy", "test": "b.npy"}, own, a=np.arange(6.0), b=np.arange(2.0))
    own.test.__dict__["rows"] = None
    assert read("a.npy", own, a=np.arange(8.0)).rows["test"][:, 0].tolist() == list(range(8))


def test_rows_by_split_are_for_every_split_that_the_source_has(read):
    arrays = {"a": np.arange(5.0), "b": np.arange(3.0) + 5, "c": np.arange(2.0) + 8}
    by_split = {"train": "a.npy", "test": "b.npy", "validation": "c.npy"}
    assert read(by_split, **arrays).rows["validation"].tolist() == [[8.0], [9.0]]
    del by_split["validation"]
    lacking = "the source has images of its own for validation"
    assert refused(lacking, lambda: read(by_split, **arrays)) == (None, EXPECTED)
    assert set(read(by_split, images(validation=0), **arrays).rows) == {"train", "test"}
    told = refused("not one row per image", lambda: read(by_split, images(validation=0), a=arrays["b"], b=arrays["b"]))
    assert told == ("3 rows", "5, made's train images")


@pytest.mark.parametrize(
    ("array", "values", "shape", "levels", "kind"),
    [
        (np.zeros(10), None, (), None, torch.float32),
        (np.full(10, 5), None, (), 6, torch.uint8),
        (np.full((10, 1), 5), None, (1,), 6, torch.int32),
        (np.full((10, 1), 5), 6, (1,), 6, torch.uint8),
        (np.full(10, -5), None, (), None, torch.int32),
        (np.full((10, 1), -5), None, (1,), None, torch.int32),
        (np.full((10, 2), 300), None, (2,), None, torch.int32),
        (np.full((10, 2), 3), 4, (2,), 4, torch.uint8),
        (np.full((10, 2), -3), None, (2,), None, torch.int32),
        (np.full((10, 2, 1), 255), None, (2, 1), 256, torch.uint8),
        (np.full((10, 2, 1), 256), None, (2, 1), 257, torch.int32),
        (np.full((10, 2, 1), True), None, (2, 1), 2, torch.uint8),
        (np.full((10, 2, 1), 5, np.uint8), None, (2, 1), 6, torch.uint8),
        (np.full((10, 2, 1), 5), 300, (2, 1), 300, torch.int32),
        (np.zeros((10, 2, 1, 3), np.uint8), None, (3, 2, 1), 256, torch.uint8),
        (np.full((10, 2, 1, 3), 7), None, (3, 2, 1), 8, torch.uint8),
        (np.full((10, 2, 1, 3), 0.5), None, (3, 2, 1), None, torch.float32),
        (np.full((10, 2), 2**24 - 1), None, (2,), None, torch.int32),
    ],
)
def test_what_an_array_is_said_to_be(read, array, values, shape, levels, kind):
    found = read({"file": "a.npy", **({} if values is None else {"values": values})}, a=array)
    (spec,) = found.specs
    assert (spec.name, spec.shape, spec.levels, spec.shrink) == ("n", shape, levels, None)
    assert found.rows["train"].dtype == kind and found.rows["train"].shape == (5, spec.size)
    assert found.rows["test"].double().eq(float(array.flat[0])).all()


@pytest.mark.parametrize(
    ("array", "values", "message", "said"),
    [
        (np.array([[0, 2**24]] * 10), None, "integers too large to be exact", (None, "below 16777216")),
        (np.array([[0, -(2**24)]] * 10), None, "integers too large to be exact", (None, "below 16777216")),
        (np.zeros((10, 2)), 3, "values is only for integers", ("float64", None)),
        (np.full((10, 2), 3), 3, "values out of range", ("3..3", "0..2")),
        (np.full((10, 2, 1), -1), None, "values out of range", ("-1..-1", "0..-1")),
    ],
)
def test_values_that_an_array_may_not_have(read, array, values, message, said):
    context = {"file": "a.npy", **({} if values is None else {"values": values})}
    assert refused(message, lambda: read(context, a=array)) == said


@pytest.mark.parametrize("one", [(2, 0), (1, 1, 1, 1)])
def test_shapes_that_are_none_of_an_array(read, one):
    shapes = [(count, *one) for count in (5, 2, 3)]
    told = refused(NONE, lambda: read("a.npy", a=np.zeros((10, *one))))
    splits = zip(("train", "validation", "test"), shapes, strict=True)
    assert told[0] == ", ".join(f"{split}: {shape}" for split, shape in splits)


def test_every_split_has_arrays_of_one_shape(read):
    told = refused(
        NONE,
        lambda: read({"train": "a.npy", "test": "b.npy"}, images(validation=0), a=np.zeros((5, 2)), b=np.zeros((3, 3))),
    )
    assert told[0] == "train: (5, 2), test: (3, 3)"


def test_integers_beside_floats_of_another_split_are_floats(read):
    found = read({"train": "a.npy", "test": "b.npy"}, images(validation=0), a=np.arange(5), b=np.full(3, 0.5))
    assert found.specs[0].levels is None and found.rows["train"].dtype == torch.float32
    assert found.rows["test"].flatten().tolist() == [0.5] * 3


def test_several_arrays_stand_side_by_side_in_their_order(read):
    found = read({"b": "b.npy", "s": {"shrink": 3}, "a": "a.npy"}, a=np.arange(10.0), b=np.ones((10, 2)))
    assert [spec.name for spec in found.specs] == ["b", "s", "a"]
    assert found.rows["validation"].tolist() == [[1, 1, 5], [1, 1, 6]] and len(found.digest) == 64
    assert read({"s": {"shrink": 3}}) == Beside(found.specs[1:2]) == Beside(found.specs[1:2], None, "")
    assert Beside().of("train", torch.arange(2)) is None


@pytest.mark.parametrize(
    ("size", "factor", "by", "small"),
    [
        ((6, 9), 3, "average", (2, 3)), ((7, 9), 3, "average", None), ((6, 8), 3, "average", None),
        ((6, 9), 4, "every", (2, 3)), ((6, 9), 3, "every", (2, 3)), ((7, 10), 3, "every", (3, 4)),
        ((6, 9), 10, "every", (1, 1)),
    ],
)  # fmt: skip
def test_how_large_a_smaller_image_is(read, size, factor, by, small):
    spec = ImageSpec(1, *size, 4)
    if small is not None:
        (found,) = read({"shrink": factor, "by": by}, spec=spec).specs
        assert (found.shape, found.levels, found.shrink, found.by) == ((1, *small), 4, factor, by)
        return
    with pytest.raises(RecipeError, match="the blocks do not fill the image") as caught:
        read({"shrink": factor, "by": by}, spec=spec)
    assert caught.value.where == "data.context.n.shrink" and caught.value.found == f"{factor} of images {spec}"


def test_tokens_have_no_average(read):
    tokens = ImageSpec(1, 6, 9, 2, palette=Palette(bytes([0, 0, 0, 9, 9, 9])))
    assert read({"shrink": 3, "by": "every"}, spec=tokens).specs[0].shape == (1, 2, 3)
    with pytest.raises(RecipeError, match="tokens of a palette have no average"):
        read({"shrink": 3}, spec=tokens)


def test_which_file_and_which_array_is_meant(read, tmp_path):
    np.savez(tmp_path / "two.npz", x=np.arange(10.0), y=np.arange(10.0) + 1)
    assert read("two.npz:y").rows["train"][0].tolist() == [1.0]
    told = refused("the file has several arrays", lambda: read("two.npz"))
    assert told == (f"{tmp_path / 'two.npz'}: x, y", "two.npz:NAME, or arrays named train and test")
    np.savez(tmp_path / "one.npz", any=np.arange(10.0))
    assert read("one.npz").rows["train"][4].tolist() == [4.0]
    np.savez(tmp_path / "only.npz", train=np.arange(10.0), other=0)
    assert refused("the file has several arrays", lambda: read("only.npz"))[0].endswith("only.npz: train, other")
    for text in ("o*.npz:x", "words"):
        assert refused("not one file of arrays", lambda text=text: read(text)) == (text, EXPECTED)


def test_the_limit_of_a_source_holds_for_what_stands_beside_its_images(read):
    def limited(most):
        return lambda context: Arrays.Config(context=context, max_bytes=most)

    assert len(read("a.npy", config=limited(80), a=np.arange(10.0)).rows["train"]) == 5
    with pytest.raises(DataError, match="too large an array"):
        read("a.npy", config=limited(79), a=np.arange(10.0))


@pytest.mark.parametrize(
    ("keys", "fits"),
    [
        ({"file": "a"}, True), ({"file": "a", "values": 1}, True), ({"train": "a", "test": "b"}, True),
        ({"train": "a", "test": "b", "validation": "c"}, True), ({"shrink": 2}, True), ({"shrink": 4096}, True),
        ({}, False), ({"file": "a", "train": "a", "test": "b"}, False), ({"file": "a", "shrink": 2}, False),
        ({"train": "a"}, False), ({"test": "a"}, False), ({"validation": "a"}, False),
        ({"train": "a", "test": "b", "shrink": 2}, False), ({"shrink": 2, "values": 3}, False),
        ({"shrink": 1}, False), ({"shrink": 4097}, False), ({"file": "a", "values": 0}, False),
        ({"file": "a", "values": 2**24}, True), ({"file": "a", "values": 2**24 + 1}, False),
    ],
)  # fmt: skip
def test_one_origin_is_given(keys, fits):
    if fits:
        assert ContextConfig(**keys).model_dump(exclude_none=True) == {"by": "average", **keys}
        return
    with pytest.raises(ValidationError):
        ContextConfig(**keys)


def test_a_path_is_resolved_as_the_recipe_says(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(10.0))
    asked = []

    def resolve(path):
        asked.append(path)
        return Path(tmp_path / path)

    read_beside(DataConfig(context={"n": "a.npy"}), images(), SPEC, resolve, "made")
    assert set(asked) == {"a.npy"}
