"""Pictures: grids of images, panels, fields and orderings."""

from pixkit.figures.grids import (
    grid_columns,
    in_colour,
    preview,
    require_empty,
    save_grid,
    save_images,
    save_npz,
    shades,
    to_bytes,
    truecolour,
)

__all__ = [
    "grid_columns",
    "in_colour",
    "preview",
    "require_empty",
    "save_grid",
    "save_images",
    "save_npz",
    "shades",
    "to_bytes",
    "truecolour",
]
