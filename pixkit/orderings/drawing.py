"""Steps and masks as text."""

from __future__ import annotations

import torch
from torch import Tensor


def as_text(field: Tensor) -> str:
    """A field [H, W] as text, one line per row: steps as numbers; of bools, True as `#` and False as a dot.

    Example:
        >>> order = pixkit.component("ordering", "diagonal").build(pixkit.ImageSpec(1, 3, 4, 2))
        >>> print(as_text(order.steps[0]))
        0 1 2 3
        1 2 3 4
        2 3 4 5
        >>> print(as_text(order.steps[0] < order.steps[0, 1, 2]))  # earlier than the site in row 1, column 2
        # # # .
        # # . .
        # . . .
    """
    marks = field.dtype == torch.bool
    cells = [[("#" if value else ".") if marks else str(value) for value in row] for row in field.tolist()]
    width = max(len(cell) for row in cells for cell in row)
    return "\n".join(" ".join(cell.rjust(width) for cell in row) for row in cells)
