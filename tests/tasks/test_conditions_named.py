"""Conditions by name: from files and arrays, one for each image, and as pictures beside those that are drawn."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click import UsageError as UsageFault
from PIL import Image

from pixkit.cli.drawing import conditions_given
from pixkit.context import ContextSpec, shrunk
from pixkit.errors import DataError, PluginError, UsageError
from pixkit.image import ImageSpec
from pixkit.tasks import beside, pictured
from pixkit.tasks.beside import Conditioning, rows_in_turn
from pixkit.tasks.decoded import decoded
from pixkit.tasks.masks import hide_box, hide_random, keep_edge
from pixkit.tasks.pictured import beside_each, pictures_of

GRID = ContextSpec("grid", (2, 3), 4)
VECTOR = ContextSpec("vector", (2,))


class Stand:
    """For a list of conditions: it gives back what it is asked for."""

    def __init__(self, *arrays, label=None):
        self.conditioners = [SimpleNamespace(spec=SimpleNamespace(array=each)) for each in arrays]
        self.beside = sum(each.size for each in arrays)
        self.names, self.label, self._arrays = tuple(each.name for each in arrays), label, arrays

    def by_name(self, rows):
        parts = rows.split([each.size for each in self._arrays], 1)
        return {each.name: part.reshape(-1, *each.shape) for each, part in zip(self._arrays, parts, strict=True)}

    def given(self, given, count, x=None):
        return given, count

    def rows(self, labels, context):
        return labels, context


@pytest.fixture
def stand(monkeypatch):
    """stand(arrays...): a model of images [1, 4, 6] of 8 levels, given these."""

    def made(*arrays, label=None, channels=1):
        for module in (beside, pictured):
            monkeypatch.setattr(module, "conditions_of", lambda model: Stand(*arrays, label=label))
        return SimpleNamespace(spec=ImageSpec(channels, 4, 6, 8, context=arrays), labelled=label is not None)

    return made


def test_codes_are_shown_as_levels_of_grey_each_as_a_block(stand):
    model = stand(VECTOR, GRID)
    rows = torch.tensor([[9.0, 0.5, 0.5, 0, 1, 2, 3, 3, 0]])  # what comes before is a label's
    (picture,) = pictures_of(model, rows)
    assert picture.dtype == torch.int64
    assert picture[0].tolist() == [[0, 0, 2, 2, 4, 4]] * 2 + [[6, 6, 6, 6, 0, 0]] * 2
    assert pictures_of(stand(VECTOR), rows[:, :2]) is None


def test_floats_are_shown_by_their_range_and_colours_as_the_model_has_them(stand):
    floats = ContextSpec("floats", (1, 2, 2))
    (picture,) = pictures_of(stand(floats), torch.tensor([[-1.0, -0.4, 0.0, 1.0]]))
    assert picture[0, ::2, ::3].tolist() == [[0, 2], [4, 7]]
    assert pictures_of(stand(floats), torch.full((1, 4), -3.0)).unique().tolist() == [0], "of values that are all equal"
    assert pictures_of(stand(floats), torch.zeros(0, 4)) is None
    colours = ContextSpec("colours", (3, 2, 2), 256)
    rows = torch.tensor([[255.0] * 4 + [0.0] * 4 + [128.0] * 4])
    assert pictures_of(stand(colours, channels=3), rows)[0, :, 0, 0].tolist() == [7, 0, 4]
    assert pictures_of(stand(colours), rows).unique().tolist() == [7]
    assert pictures_of(stand(GRID, channels=3), torch.full((2, 6), 3.0)).shape == (2, 3, 4, 6)


def test_the_picture_of_a_condition_is_the_first_grids_or_the_one_that_is_asked_for(stand):
    model = stand(VECTOR, GRID, ContextSpec("other", (2, 3), 2))
    rows = torch.tensor([[0.0, 0.0, *[1] * 6, *[1] * 6]])  # of 4 and of 2 values: 2 and 4 of 8 levels
    first, second = ({}, {"of": "grid"}, {"but": "other"}), ({"of": "other"}, {"but": "grid"})
    for asked, level in (*((each, 2) for each in first), *((each, 4) for each in second)):
        assert pictures_of(model, rows, **asked).unique().tolist() == [level]
    for asked in ({"of": "vector"}, {"of": "missing"}, {"of": "grid", "but": "grid"}):
        assert pictures_of(model, rows, **asked) is None


def test_conditions_in_turn_begin_again_at_the_end(stand):
    class Data:
        def __init__(self, validation, test, train):
            self.sizes = {"validation": validation, "test": test, "train": train}

        def size(self, split):
            return self.sizes[split]

        def batch(self, split, numbers):
            return SimpleNamespace(labels=numbers.tolist(), context=split)

    model = stand(GRID)
    assert rows_in_turn(model, Data(0, 3, 9), 5) == ([0, 1, 2, 0, 1], "test")
    assert rows_in_turn(model, Data(2, 3, 9), 2) == ([0, 1], "validation")
    assert rows_in_turn(model, Data(0, 0, 1), 2) == ([0, 0], "train")


def test_a_picture_stands_before_so_many_images():
    images, pictures = torch.arange(6).view(6, 1), torch.tensor([[100], [200]])
    assert beside_each(images, pictures, 3).flatten().tolist() == [100, 0, 1, 2, 200, 3, 4, 5]


def test_each_condition_is_drawn_with_each_label(stand, monkeypatch):
    monkeypatch.setattr(beside, "repeat_labels", lambda model, labels, each: torch.tensor(labels).repeat(each))
    label = ContextSpec("label", (), 9)
    asked = {"vector": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "grid": torch.zeros(1, 2, 3, dtype=torch.int64)}
    found, count = Conditioning(stand(VECTOR, GRID, label=label), None).rows(asked, [5, 6, 7])
    assert count == 6 and found["label"].tolist() == [5, 6, 7, 5, 6, 7] and len(found["grid"]) == 1
    assert found["vector"][:, 0].tolist() == [1, 1, 1, 3, 3, 3]
    found, count = Conditioning(stand(VECTOR, GRID, label=label), None).rows({**asked, "label": [4, 3]})
    assert count == 2 and found["label"].tolist() == [4, 3] and torch.equal(found["vector"], asked["vector"])
    assert Conditioning(stand(VECTOR), None).rows({})[1] == 1


def test_arrays_come_from_files(stand, tmp_path):
    asked = Conditioning(stand(VECTOR, GRID), None)
    np.save(tmp_path / "one.npy", np.array([1.0, 2.0]))
    np.savez(tmp_path / "some.npz", any=np.array([[1.0, 2.0], [3.0, 4.0]]))
    np.savez(tmp_path / "two.npz", a=np.zeros(2), b=np.zeros(2))
    assert asked.value("vector", tmp_path / "one.npy").tolist() == [[1.0, 2.0]]
    assert asked.value("vector", str(tmp_path / "some.npz")).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    with pytest.raises(DataError, match="the file has several arrays") as caught:
        asked.value("vector", tmp_path / "two.npz")
    assert (caught.value.where, caught.value.found) == (str(tmp_path / "two.npz"), "a, b")
    assert caught.value.hint == f"vector={tmp_path / 'two.npz'}:a"
    assert asked.value("vector", f"{tmp_path / 'two.npz'}:b").tolist() == [[0.0, 0.0]]
    with pytest.raises(DataError, match="no such array"):
        asked.value("vector", f"{tmp_path / 'two.npz'}:c")
    np.save(tmp_path / "none.npy", np.zeros((0, 2)))
    with pytest.raises(DataError, match="the array is empty"):
        asked.value("vector", tmp_path / "none.npy")
    with pytest.raises(DataError, match="several files match"):
        asked.value("vector", str(tmp_path / "*.npy"))
    for name in ("test:3", ["test:3", "test:4"]):
        with pytest.raises(UsageError, match="not opened with its run") as refused:
            asked.rows(name)
        assert (refused.value.where, refused.value.found) == ("context", "test:3")
    with pytest.raises(UsageError, match="conditions come from the run's images") as refused:
        asked.rows(["test:3", "a.png"])
    assert (refused.value.found, refused.value.expected) == (
        "test:3, a.png", "test:5, or one of vector=FILE, grid=FILE",
    )  # fmt: skip


def test_several_numbers_are_several_values_of_a_number(stand):
    asked = Conditioning(stand(VECTOR, ContextSpec("age", ()), ContextSpec("kind", (1,), 4)), None)
    assert asked.value("age", "3,-0.5").tolist() == [3.0, -0.5]
    assert asked.value("kind", "3,0").tolist() == [[3], [0]]
    assert asked.value("vector", "3,0").tolist() == [[3.0, 0.0]]
    with pytest.raises(UsageError, match="another number of entries"):
        asked.value("vector", "3,0,1,2")
    with pytest.raises(DataError, match="no such file") as caught:
        asked.value("kind", "red")
    assert caught.value.expected == "kind=FILE, an array of kind 1, K = 4, kind=test:5, kind=3"


def test_codes_come_from_a_picture_that_has_them_as_its_levels(stand, tmp_path):
    asked, codes = Conditioning(stand(GRID), None), np.array([[0, 1, 2], [3, 0, 1]], np.uint8)
    Image.fromarray(codes).save(tmp_path / "codes.png")
    assert asked.value("grid", tmp_path / "codes.png").tolist() == [codes.tolist()]
    for wrong, message in ((codes + 1, "values|levels"), (codes[:, :2], "size")):
        Image.fromarray(np.ascontiguousarray(wrong)).save(tmp_path / "wrong.png")
        with pytest.raises(DataError, match=message):
            asked.value("grid", tmp_path / "wrong.png")
    two, mask = Conditioning(stand(ContextSpec("mask", (2, 3), 2)), None), codes % 2
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert two.value("mask", tmp_path / "mask.png").tolist() == [mask.tolist()]


def test_a_picture_is_read_in_the_levels_of_an_image_as_a_condition(stand, tmp_path):
    asked = Conditioning(stand(ContextSpec("small", (1, 2, 3), 17)), None)
    Image.fromarray(np.array([[0, 255, 128], [0, 0, 255]], np.uint8)).save(tmp_path / "small.png")
    assert asked.value("small", tmp_path / "small.png").tolist() == [[[[0, 16, 8], [0, 0, 16]]]]
    two = Conditioning(stand(ContextSpec("small", (1, 2, 3), 2)), None)
    assert two.value("small", tmp_path / "small.png").tolist() == [[[[0, 1, 1], [0, 0, 1]]]]


def test_a_single_array_needs_no_axis_for_it(stand):
    colour = ContextSpec("colour", (3, 2, 2))
    asked = Conditioning(stand(VECTOR, GRID, colour, ContextSpec("kind", (1,), 4)), None)
    assert asked.value("vector", [3, 0.5]).tolist() == [[3.0, 0.5]]
    assert asked.value("grid", np.ones((2, 3), int)).shape == (1, 2, 3)
    assert asked.value("colour", torch.zeros(3, 2, 2)).shape == (1, 3, 2, 2)
    assert asked.value("kind", [3]).tolist() == [[3]] and asked.value("kind", 3).tolist() == [[3]]
    with pytest.raises(DataError, match="wrong shape"):
        asked.value("vector", [3, 0.5, 1])


@pytest.mark.parametrize("by", ["every", "average"])
def test_whole_images_in_place_of_smaller_ones_are_told_how_to_shrink(by):
    small, x = ContextSpec("small", (1, 2, 3), 17, 2, by), torch.arange(48).view(2, 1, 4, 6) % 17
    with pytest.raises(DataError, match="wrong shape") as caught:
        small.check(x, "context, small")
    how = caught.value.hint.removesuffix(", of whole images x")
    assert torch.equal(eval(how), shrunk(x, 2, by))
    with pytest.raises(DataError, match="wrong shape") as caught:
        VECTOR.check(x, "context, vector")
    assert caught.value.hint is None


@pytest.mark.parametrize(("levels", "expected"), [(4, "0..3"), (None, f"0..{2**63 - 1}")])
def test_numbers_beyond_signed_ones_are_refused_as_they_are(levels, expected):
    number = ContextSpec("number", (), levels)
    for kind in (np.array, lambda *given: torch.from_numpy(np.array(*given))):
        with pytest.raises(DataError, match="there: values out of range") as caught:
            number.check(kind([1, 2**63], np.uint64), "there")
        assert (caught.value.found, caught.value.expected) == (f"1..{2**63}", expected)
        assert number.check(kind([1, 3], np.uint64), "there").tolist() == [1, 3]
    assert ContextSpec("number", ()).check(np.array([2**63 - 1], np.uint64), "there").tolist() == [2**63 - 1]


@pytest.mark.parametrize(("given", "found"), [(5, "int"), (torch.zeros(1, 4), "Tensor"), (["test:0", 5], "int")])
def test_what_is_no_condition(stand, given, found):
    with pytest.raises(UsageError, match="neither images nor arrays by name") as caught:
        Conditioning(stand(VECTOR, GRID), None).rows(given)
    assert (caught.value.found, caught.value.expected) == (
        f"of type {found}", "test:5, or a mapping with vector, grid",
    )  # fmt: skip


def test_an_empty_value_is_none(stand):
    label = ContextSpec("label", (), 9)
    asked = Conditioning(stand(VECTOR, GRID, label=label), None)
    for name, expected in (
        ("vector", "vector=FILE, an array of vector 2, vector=test:5, vector=0.5,0.5"),
        ("grid", "grid=FILE, an array or a picture of grid 2x3, K = 4, grid=test:5"),
        ("label", "label=CLASS"),
    ):
        for text in ("", " "):
            with pytest.raises(UsageError, match="no value is given") as caught:
                asked.value(name, text)
            assert (caught.value.where, caught.value.found, caught.value.expected) == (
                f"context, {name}", f"{name}=", expected,
            )  # fmt: skip


def test_arrays_are_taken_however_numpy_stores_them(stand, tmp_path):
    image = ContextSpec("image", (3, 2, 4))
    asked = Conditioning(stand(VECTOR, GRID, image), None)
    np.save(tmp_path / "big.npy", np.array([[1.0, 2.0]], ">f4"))
    np.save(tmp_path / "unsigned.npy", np.array([[[0, 1, 2], [3, 0, 1]]], np.uint16))
    np.save(tmp_path / "channels_last.npy", np.arange(48.0).reshape(2, 2, 4, 3))
    assert asked.value("vector", tmp_path / "big.npy").tolist() == [[1.0, 2.0]]
    assert asked.value("grid", tmp_path / "unsigned.npy").tolist() == [[[0, 1, 2], [3, 0, 1]]]
    last = asked.value("image", tmp_path / "channels_last.npy")
    assert last.shape == (2, 3, 2, 4) and last[1, 2, 1, 3] == 47 and last[0, 1, 0, 0] == 1
    assert VECTOR.check(np.array([[1.0, 2.0], [3.0, 4.0]])[::-1], "").tolist() == [[3.0, 4.0], [1.0, 2.0]]
    with pytest.raises(DataError, match="values out of range"):
        GRID.check(np.full((1, 2, 3), 4, np.uint32), "")
    for strange in (torch.zeros(1, 2, dtype=torch.complex64), torch.zeros(1, 2).to_sparse()):
        with pytest.raises(DataError, match="not an array of numbers") as caught:
            VECTOR.check(strange, "")
        assert caught.value.found == f"{strange.dtype}, {strange.layout}"


@pytest.mark.parametrize(("given", "found"), [(3, [3]), ([3, 1], [3, 1]), (np.array([[3], [1]]), [3, 1])])
def test_numbers_are_one_for_each_image(stand, given, found):
    asked = Conditioning(stand(label=ContextSpec("label", (), 10)), None)
    assert asked.value("label", given).tolist() == found
    for wrong in (None, [None], 3.5, 10, [[3, 1]]):
        with pytest.raises(DataError):
            asked.value("label", wrong)


@pytest.mark.parametrize("label", [[0], [1, 0]])
def test_no_label_takes_away_an_images_own(stand, monkeypatch, label):
    asked = Conditioning(stand(VECTOR, label=ContextSpec("label", (), 10)), None)
    own = {"label": torch.tensor(label), "vector": torch.ones(len(label), 2)}
    monkeypatch.setattr(asked, "_of_images", lambda names: dict(own))
    assert list(asked.rows("test:5", "none")[0]) == ["vector"]
    assert list(asked.rows({"vector": own["vector"], "label": "none"})[0]) == ["vector"]
    assert list(asked.rows("test:5")[0]) == ["label", "vector"]


def test_a_condition_is_given_once():
    assert conditions_given(["a=x.npy", "b=test:1"]) == [{"a": "x.npy", "b": "test:1"}]
    with pytest.raises(UsageFault, match="names a more than once"):
        conditions_given(["a=x.npy", "b=test:1", "a=y.npy"])
    assert conditions_given(["a", "/x=1.png"]) == ["a", "/x=1.png"] and conditions_given([]) == []
    assert conditions_given(["a=x.npy", "test:1", "test:2"]) == ["test:1", "test:2", {"a": "x.npy"}]


def test_a_decoder_gives_pictures_of_256_levels():
    codes, model = torch.zeros(2, 1, 2, 2, dtype=torch.int64), None
    good = torch.tensor([0, 255, 7, 9]).view(1, 1, 2, 2).repeat(2, 3, 1, 1)
    assert torch.equal(decoded(lambda codes, rows: good.byte(), model, codes, None), good)
    assert decoded(lambda codes, rows: good[:0], model, codes[:0], None).shape == (0, 3, 2, 2)
    for wrong in (good.double(), good[0], good[:1], good[:, :2]):
        with pytest.raises(PluginError, match="the decoder does not give pictures") as caught:
            decoded(lambda codes, rows, wrong=wrong: wrong, model, codes, None)
        assert caught.value.found == f"{wrong.dtype} {tuple(wrong.shape)}"
        assert caught.value.expected == "integers (2, 1 or 3, H, W)"
    for wrong, found in ((good + 1, "1..256"), (good - 1, "-1..254")):
        with pytest.raises(PluginError, match="other levels") as caught:
            decoded(lambda codes, rows, wrong=wrong: wrong, model, codes, None)
        assert (caught.value.found, caught.value.expected) == (found, "0..255")


@pytest.mark.parametrize(("side", "count", "known"), [
    ("top", 1, [[1, 1, 1], [0, 0, 0]]), ("bottom", 1, [[0, 0, 0], [1, 1, 1]]), ("left", 2, [[1, 1, 0]] * 2),
    ("right", 2, [[0, 1, 1]] * 2), ("right", 0, [[0, 0, 0]] * 2), ("top", 2, [[1, 1, 1]] * 2),
])  # fmt: skip
def test_an_edge_is_known(side, count, known):
    assert keep_edge((2, 2, 3), side, count).tolist() == [[[bool(each) for each in row] for row in known]] * 2


@pytest.mark.parametrize(("side", "count", "what", "most"), [
    ("top", 3, "rows", 2), ("left", 4, "columns", 3), ("right", -1, "columns", 3), ("bottom", -1, "rows", 2),
])  # fmt: skip
def test_an_edge_that_an_image_does_not_have(side, count, what, most):
    with pytest.raises(UsageError, match=f"that many {what}") as caught:
        keep_edge((1, 2, 3), side, count)
    assert (caught.value.found, caught.value.expected) == (str(count), f"0..{most}")


def test_a_box_lies_within_the_image():
    assert hide_box((2, 2, 3), 0, 1, 2, 2).tolist() == [[[True, False, False]] * 2] * 2
    assert not hide_box((1, 2, 3), 0, 0, 2, 3).any() and hide_box((1, 2, 3), 1, 2, 1, 1).sum() == 5
    for wrong in ((-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0), (1, 0, 2, 1), (0, 1, 1, 3)):
        with pytest.raises(UsageError, match="not within the image") as caught:
            hide_box((1, 2, 3), *wrong)
        assert caught.value.expected == "0 <= top, left; 1 <= height, width; top + height <= 2, left + width <= 3"


def test_a_share_of_the_sites_is_hidden_the_same_for_each_colour():
    for share, hidden in ((0.001, 1), (0.25, 3), (0.5, 6), (1, 12)):
        known = hide_random((2, 3, 4), share, 5)
        assert torch.equal(known[0], known[1]) and int((~known[0]).sum()) == hidden
    assert torch.equal(hide_random((1, 3, 4), 0.5, 5)[0], hide_random((2, 3, 4), 0.5, 5)[0])
    assert not torch.equal(hide_random((1, 3, 4), 0.5, 5), hide_random((1, 3, 4), 0.5, 6))
    for wrong in (0, -0.1, 1.01):
        with pytest.raises(UsageError, match="not a share of the pixels"):
            hide_random((1, 3, 4), wrong, 5)
