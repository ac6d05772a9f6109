"""The palette of a run whose images are tokens: palette.safetensors; the lock has the SHA-256 of its colours."""

from __future__ import annotations

from pathlib import Path

from pixkit.errors import PixkitError
from pixkit.image import Palette
from pixkit.runs.runfile import RunFile

NAME = "colours"
"""Name of the only array in the file, uint8 [K, 3]."""
MOST = 2**18
"""The largest size of the file in bytes: 65536 colours, and the header."""
HINT = "restore it: without its palette a run's tokens have no colours"


def palette_file(palette: Palette) -> bytes:
    """The contents of the file."""
    from safetensors.numpy import save

    return save({NAME: palette.array()})


def read_palette(path: Path, digest: str, levels: int) -> Palette:
    """The palette in a file.

    Args:
        path: the file.
        digest: SHA-256 of the colours, in hexadecimal, from the lock.
        levels: number of colours.

    Raises:
        RunError: if it is missing, damaged, or a different one.
    """
    # Imported here, since listing runs needs neither.
    from safetensors import SafetensorError
    from safetensors.numpy import load

    file = RunFile(path, MOST, hint=HINT)
    try:
        colours = load(file.content()).get(NAME)
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise file.unreadable(str(error), "safetensors with the array colours") from None
    if colours is None or colours.dtype != "uint8" or colours.shape != (levels, 3):
        found = "no array colours" if colours is None else f"{colours.dtype} of shape {colours.shape}"
        raise file.unreadable(found, f"uint8 of shape ({levels}, 3)")
    try:
        palette = Palette.of(colours)
    except PixkitError as error:
        raise file.unreadable(error.message, "colours that are all different") from None
    if palette.digest != digest:
        raise file.unreadable(f"colours with the SHA-256 {palette.digest}", f"{digest}, as recipe.lock.yaml says")
    return palette
