"""Bringing pictures to a size, whatever Pillow is installed."""

import numpy as np
import pytest
from PIL import Image

from pixkit.data.depth import Stored
from pixkit.data.fitting import BadPicture, Form, OtherSize, _thickened, fitted, fitted_levels, own_levels


@pytest.mark.parametrize(
    ("size", "wanted", "thickened"),
    [
        ((1, 1000), (10, 10), (1, 10)),
        ((1000, 1), (10, 10), (10, 1)),
        ((3, 400), (10, 20), (1, 20)),
        ((400, 3), (20, 10), (20, 1)),
        ((1, 20), (10, 10), (1, 10)),
        ((1, 19), (10, 10), None),
        ((100, 100), (10, 10), None),
        ((2, 3), (200, 100), None),
    ],
)
def test_a_line_that_would_be_padded_away_has_a_width_of_one(size, wanted, thickened):
    """Pillow before 12 fails where a side rounds to 0; half a pixel does."""
    image = Image.new("L", size)
    found = _thickened(image, *wanted, Image.Resampling.BOX)
    assert found is image if thickened is None else found.size == thickened


@pytest.mark.parametrize(
    ("most", "values", "levels", "said"),
    [
        (255, [0, 1], 2, None),
        (255, [1, 2], 2, ("levels beyond the given number", "1..2", "0..1, as stored in the file", "256 and 65536")),
        (4095, [0, 256], 257, None),
        (256, [0, 256], 257, None),
        (255, [0, 3], 255, None),
        (255, [0, 3], 257, ("too few bits for the given number of levels", "values up to 255",
                            "a file that can hold 0..256", "data.source_levels=65536")),
        (4095, [0, 257], 257, ("levels beyond the given number", "0..257", "0..256, as stored in the file", "256")),
    ],
)  # fmt: skip
def test_levels_as_stored_are_those_given_or_refused(most, values, levels, said):
    stored = Stored(np.array(values).reshape(1, 2, 1), most, np.array([[0, most]]), premultiplied=True)
    form = Form(1, None, "exact", "box", 100, levels)
    if said is None:
        found = own_levels(stored, ("raw", None, 0, ""), form, "a.png")
        assert found.values.ravel().tolist() == values and (found.most, found.premultiplied) == (levels - 1, True)
        assert found.opacity.tolist() == [[0, levels - 1]]
        return
    with pytest.raises(BadPicture) as caught:
        own_levels(stored, ("raw", None, 0, ""), form, "a.png")
    error = caught.value
    assert (error.message, error.where, error.found, error.expected) == (said[0], "a.png", *said[1:3])
    assert said[3] in error.hint


def test_levels_of_a_portable_map_are_those_of_its_header():
    """Pillow stretches 0..5 to 0..255."""
    stored = Stored(np.array([[[0], [51], [255]]]), 255)
    found = own_levels(stored, ("ppm", None, 0, ("L", 5)), Form(1, None, "exact", "box", 100, 6), "a.pgm")
    assert found.values.ravel().tolist() == [0, 1, 5] and found.opacity is None


def test_another_size_than_an_exact_one_is_said_whole():
    form = Form(1, (3, 4), "exact", "box", 100)
    assert fitted(Image.new("L", (4, 3)), form, "a.png").size == (4, 3)
    with pytest.raises(OtherSize) as caught:
        fitted(Image.new("L", (3, 5)), form, "a.png")
    error = caught.value
    assert (error.where, error.found, error.expected) == ("a.png", "5 x 3 (height x width)", "3 x 4")
    assert error.message == "the image has a different size" and "data.size=N, or [HEIGHT, WIDTH]" in error.hint


def test_levels_of_any_number_are_fitted_rounded_and_stay_within():
    levels = np.stack([np.array([[0, 3, 700, 1000]] * 2), np.full((2, 4), 5)], 2)
    form = Form(1, (2, 2), "pad", "box", 100, 1001)
    assert fitted_levels(levels, form, "")[..., 0].tolist() == [[2, 850], [1000, 1000]]
    assert fitted_levels(levels, form, "")[0, :, 1].tolist() == [5, 5]
    wide = Form(1, (2, 16), "resize", "lanczos", 100, 1001)
    found = fitted_levels(levels, wide, "")[..., 0]
    assert found.dtype == np.int64 and (found.min(), found.max()) == (0, 1000)
    assert fitted_levels(levels, Form(1, None, "pad", "box", 1, 1001), "") is levels
    assert fitted_levels(levels, Form(1, (2, 4), "exact", "box", 1, 1001), "") is levels
