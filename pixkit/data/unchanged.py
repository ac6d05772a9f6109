"""Whether images given to a model are the pixels of their files, or were changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixkit.data.fitting import Form
from pixkit.data.written import stored

WHITE = 65535


def as_it_is(max_pixels: int) -> Form:
    """The form in which a picture keeps everything: size, colours, opacity, and 16 bits of each value."""
    return Form(4, None, "exact", "nearest", max_pixels, WHITE + 1)


def shows(levels: NDArray[Any], count: int, original: NDArray[Any]) -> bool:
    """Whether a picture written from levels [C, H, W], with `count` levels, has the pixels of one read `as_it_is`."""
    highest = stored(count)
    values = np.rint(levels.astype(np.float64) * highest / (count - 1)) * (WHITE // highest)
    if values.shape[1:] != original.shape[1:] or len(values) not in (1, 3, 4):
        return False
    colours = values if len(values) == 4 else np.broadcast_to(values, (3, *values.shape[1:]))
    return bool((colours == original[: len(colours)]).all() and (len(colours) == 4 or (original[3] == WHITE).all()))
