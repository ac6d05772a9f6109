"""The palette file of a run on tokens."""

import numpy as np
import pytest
from safetensors.numpy import save

from pixkit.errors import RunError
from pixkit.image import Palette
from pixkit.runs.palette import HINT, NAME, palette_file, read_palette

PALETTE = Palette.of([[0, 0, 0], [255, 0, 7]])
COLOURS = np.array([[0, 0, 0], [255, 0, 7]], np.uint8)


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "palette.safetensors"
    path.write_bytes(palette_file(PALETTE))
    assert read_palette(path, PALETTE.digest, 2) == PALETTE


@pytest.mark.parametrize(("data", "found", "expected"), [
    (save({"other": COLOURS}), "no array colours", "uint8 of shape (2, 3)"),
    (save({NAME: COLOURS[:1]}), "uint8 of shape (1, 3)", "uint8 of shape (2, 3)"),
    (save({NAME: COLOURS.astype(np.int16)}), "int16 of shape (2, 3)", "uint8 of shape (2, 3)"),
    (save({NAME: COLOURS[[0, 0]]}), None, "colours that are all different"),
    (save({NAME: COLOURS[::-1].copy()}), None, f"{PALETTE.digest}, as recipe.lock.yaml says"),
    (b"colours", None, "safetensors with the array colours"),
    (None, "No such file or directory", "a regular file"),
])  # fmt: skip
def test_another_file_is_refused(tmp_path, data, found, expected):
    path = tmp_path / "palette.safetensors"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(RunError, match="cannot be read") as caught:
        read_palette(path, PALETTE.digest, 2)
    error = caught.value
    assert (error.where, error.expected, error.hint) == (str(path), expected, HINT)
    assert found in (None, error.found) and error.found
