"""Numbers of maps that do not divide as a backbone needs: which key, and what would do."""

import pytest

from pixkit.backbones.base import check_multiple
from pixkit.errors import RecipeError


@pytest.mark.parametrize(("maps", "next_one"), [(1, 6), (7, 12), (11, 12), (13, 18)])
def test_the_next_multiple_is_proposed(maps, next_one):
    with pytest.raises(RecipeError, match="do not divide evenly") as caught:
        check_multiple("width", maps, 6, "two of each colour")
    error = caught.value
    assert (error.where, error.found, error.hint) == ("model.backbone.width", str(maps), f"width: {next_one}")
    assert error.expected == "a multiple of 6, two of each colour"


def test_a_multiple_will_do():
    assert [check_multiple("width", maps, 6, "two of each colour") for maps in (6, 12)] == [None, None]
