"""The lines of recipes/README.md that compute the attributes of digits, for the recipe digits-attributes."""

import re
from pathlib import Path

import numpy as np
import pytest

from pixkit.data import prepare
from pixkit.recipe import load_recipe, packaged_recipes

PAGE = packaged_recipes()["digits-attributes"].parent / "README.md"


@pytest.fixture
def names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = (
        code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S) if "slant" in code
    )
    found = {}
    exec(code, found)
    return found


def test_the_recipe_takes_the_file_and_its_numbers_have_one_scale(names):
    with np.load("attributes.npz") as arrays:
        assert np.allclose([arrays["train"].mean(0), arrays["train"].std(0)], [[0] * 3, [1] * 3])
    loaded = load_recipe("digits-attributes", ["data.context.attributes=attributes.npz"])
    data = prepare(loaded.recipe.data, Path())
    assert str(data.spec) == "1x8x8, K = 17; beside it attributes 3" and data.classes == 10


def test_ink_slant_and_width_are_those_of_bars(names):
    upright, right = np.zeros((2, 1, 8, 8))
    upright[0, :, 3], right[0] = 16, 16 * np.eye(8)[::-1]  # | and /
    found = names["attributes"](np.stack([upright, right]))
    assert np.allclose(found, [[1 / 8, 0, 0], [1 / 8, 1, (63 / 12) ** 0.5]])
