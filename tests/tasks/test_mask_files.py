"""Masks from files: which array is meant, from where on a value is white, and what is said of others."""

import numpy as np
import pytest
import torch
from PIL import Image

from pixkit.errors import DataError
from pixkit.image import ImageSpec
from pixkit.tasks.inputs import read_mask

GREY, COLOUR = ImageSpec(1, 2, 3, 4), ImageSpec(3, 2, 3, 4)
WHITE = np.array([[0, 127, 128], [255, 0, 200]])
MISSING = np.array([[0, 0, 1], [1, 0, 1]])


def saved(folder, arrays, name="mask.npz"):
    path = folder / name
    np.savez(path, **arrays) if path.suffix == ".npz" else np.save(path, arrays)
    return path


@pytest.mark.parametrize("spec", [GREY, COLOUR])
@pytest.mark.parametrize("values", [WHITE, WHITE[None], MISSING, MISSING.astype(bool)[None]], ids=str)
def test_what_is_white_is_missing(tmp_path, spec, values):
    for path in (saved(tmp_path, values, "mask.npy"), saved(tmp_path, {"any": values})):
        known = read_mask(path, spec)
        assert known.dtype == torch.bool and known.shape == spec.shape
        assert torch.equal(known, torch.from_numpy(MISSING == 0).expand(spec.shape))


def test_colours_may_be_missing_by_themselves(tmp_path):
    each = np.stack([MISSING, 0 * MISSING, 1 - MISSING])
    assert torch.equal(read_mask(saved(tmp_path, each, "mask.npy"), COLOUR), torch.from_numpy(each == 0))


@pytest.mark.parametrize("known", [MISSING, MISSING[None], 100 * MISSING], ids=str)
def test_an_array_called_known_says_what_is_known(tmp_path, known):
    for arrays in ({"known": known}, {"samples": WHITE, "known": known}):
        found = read_mask(saved(tmp_path, arrays), COLOUR)
        assert torch.equal(found, torch.from_numpy(MISSING == 1).expand(3, -1, -1))


def test_of_several_arrays_one_has_to_be_called_known(tmp_path):
    path = saved(tmp_path, {"one": WHITE, "two": WHITE})
    with pytest.raises(DataError, match="which of the arrays") as caught:
        read_mask(path, GREY)
    assert (caught.value.where, caught.value.found) == (str(path), "one, two")


@pytest.mark.parametrize(("values", "found"), [
    (WHITE.clip(2, 127), "values 2..127"), (0 * WHITE + 2, "values 2..2"), (WHITE.clip(0, 127), "values 0..127"),
], ids=str)  # fmt: skip
def test_a_mask_without_white_shows_nothing(tmp_path, values, found):
    with pytest.raises(DataError, match="marks nothing as missing") as caught:
        read_mask(saved(tmp_path, values, "mask.npy"), GREY)
    assert caught.value.found == found and caught.value.expected.startswith(
        "white where something is missing: 128..255"
    )


def test_all_may_be_known_or_missing(tmp_path):
    assert read_mask(saved(tmp_path, 0 * WHITE, "mask.npy"), GREY).all()
    for white in (1, 128, 255):
        assert not read_mask(saved(tmp_path, 0 * WHITE + white, "mask.npy"), GREY).any()


@pytest.mark.parametrize(("shape", "found"), [
    ((3, 2), "3 x 2 (height x width)"), ((1, 3, 3), "3 x 3 (height x width)"), ((2, 2, 3), "2 x 2 x 3"),
    ((1, 1, 2, 3), "1 x 1 x 2 x 3"), ((6,), "6"),
], ids=str)  # fmt: skip
def test_a_mask_of_another_size(tmp_path, shape, found):
    for arrays in ({"any": np.ones(shape, np.uint8)}, {"known": np.ones(shape, np.uint8)}):
        with pytest.raises(DataError, match="a different size from the model's") as caught:
            read_mask(saved(tmp_path, arrays), COLOUR)
        assert (caught.value.found, caught.value.expected) == (found, "2 x 3")


def test_of_a_picture_what_is_white_or_transparent_is_missing(tmp_path):
    Image.fromarray(WHITE.astype(np.uint8)).save(tmp_path / "mask.png")
    assert torch.equal(read_mask(tmp_path / "mask.png", GREY), torch.from_numpy(MISSING == 0)[None])
