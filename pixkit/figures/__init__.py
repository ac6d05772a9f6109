"""Pictures: grids of images, panels of completions, what a prediction sees, orderings, curves of runs.

    pixkit.figures.save_grid(x, model.spec, "grid.png")

Images come as integer levels [N, C, H, W]; paths as str or Path. Instead of the number of levels a model's `spec` may
be given, which knows the colours of tokens (`data.palette`): `in_colour(x, model.spec)` is uint8 [N, H, W, 3].
"""

from pixkit.figures.curves import Curve, save_curves
from pixkit.figures.fields import save_field, save_mask, save_nats, save_order, save_sight
from pixkit.figures.grids import (
    Levels,
    Titles,
    grid_columns,
    in_colour,
    preview,
    save_grid,
    save_images,
    save_npz,
    shades,
    to_bytes,
    truecolour,
)
from pixkit.figures.panels import Panel, completion_panels, save_panels
from pixkit.figures.targets import require_empty, require_file

__all__ = [
    "Curve",
    "Levels",
    "Panel",
    "Titles",
    "completion_panels",
    "grid_columns",
    "in_colour",
    "preview",
    "require_empty",
    "require_file",
    "save_curves",
    "save_field",
    "save_grid",
    "save_images",
    "save_mask",
    "save_nats",
    "save_npz",
    "save_order",
    "save_panels",
    "save_sight",
    "shades",
    "to_bytes",
    "truecolour",
]
