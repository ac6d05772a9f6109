"""Bringing pictures to a size, whatever Pillow is installed."""

import pytest
from PIL import Image

from pixkit.data.fitting import _thickened


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
