"""One image to memorise: the user's own, or a small one included in pixkit."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages
from pixkit.data.picture import Fit, Form, read_picture
from pixkit.image import ImageSpec

SIDE = 32
"""Height and width of the embedded image."""
NOTE = "training and test image are the same: scores say how well it was memorised, but nothing about other images"
Side: TypeAlias = Annotated[int, Field(ge=1, le=4096)]


class OneImage(DataSource):
    """One image for a model to memorise: a file, or an embedded boat at sunset, 32x32 in colour.

    It is both the training and the test image, with 256 levels. No image is set apart for validation.
    """

    class Config(DataConfig):
        """The common keys, and which image."""

        validation: float = Field(default=0.0, ge=0, lt=1)
        """Nothing: there is only one image."""
        path: str | None = Field(default=None, json_schema_extra={"x-pixkit-path": True})
        """An image file (PNG, JPEG, BMP, GIF, WebP, TIFF, PNM); by default, the embedded image."""
        channels: Literal[1, 3] = 3
        """For a file: 1 for grey, 3 for RGB."""
        size: Side | Annotated[tuple[Side, Side], Field(strict=False)] | None = None
        """For a file: side in pixels, or [height, width], to which it is brought; by default, its own size."""
        fit: Fit = "crop"
        """For a file: crop (scaled to cover, the middle kept), resize (stretched), pad (scaled to fit, on white) or
        exact (refused if the size differs)."""
        resample: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = "bicubic"
        """For a file: filter for scaling."""
        max_pixels: int = Field(default=16_000_000, ge=1, le=89_478_485)
        """The most pixels of the file before it is scaled."""

    config: Config

    def form(self) -> Form:
        """The form to which the configuration brings a file."""
        config, side = self.config, self.config.size
        size = (side, side) if isinstance(side, int) else side
        return Form(config.channels, size, config.fit, config.resample, config.max_pixels)

    def picture_form(self, spec: ImageSpec) -> Form:
        """See DataSource: like the file; without a `size` it has its own."""
        form = self.form()
        return form if form.size else replace(form, size=(spec.height, spec.width), fit="exact")

    def load(self, progress: Progress | None = None) -> SourceImages:
        """Read the file, or draw the embedded image.

        Raises:
            DataError: if the file is missing, damaged, or does not have the size required by `fit: exact`.
        """
        config = self.config
        array = boat() if config.path is None else read_picture(self.resolve(config.path), self.form())
        images = ImageSet(torch.from_numpy(array.copy())[None])
        return SourceImages(images, images, levels=256, notes=(NOTE,))


def boat() -> NDArray[np.uint8]:
    """A boat at sunset, uint8 [3, 32, 32]; in integers, so that it is the same everywhere.

    Binarised at one half, each of the eight colours occurs.
    """
    y, x = np.mgrid[:SIDE, :SIDE]
    sky = np.stack([40 + 14 * y, 30 + 9 * y, 220 - 9 * y])
    ripple = (5 * x + 11 * y + x * y) % 13 < 3
    sea = np.where(ripple, _colour(110, 200, 240), _colour(20, 70, 170))
    glitter = (abs(x - 21) <= (y - 18) // 2) & (y % 3 == 1)
    sea = np.where(glitter, _colour(250, 220, 60), sea)
    picture = np.where(y < 20, sky, sea)
    layers = (
        ((x - 21) ** 2 + (y - 14) ** 2 <= 29, _colour(255, 245, 220)),
        ((y < 20) & (x >= 10) & (x - 10 <= (y - 6) // 2), _colour(40, 170, 70)),
        ((y < 20) & (x <= 8) & (8 - x <= (y - 8) // 2), _colour(235, 235, 235)),
        ((y >= 4) & (y < 25) & (x == 9), _colour(15, 10, 10)),
        ((y >= 21) & (y < 25) & (x >= y - 18) & (x <= 38 - y), _colour(170, 40, 30)),
    )
    for where, colour in layers:
        picture = np.where(where, colour, picture)
    return np.minimum(picture, 255).astype(np.uint8)


def _colour(red: int, green: int, blue: int) -> NDArray[np.int64]:
    return np.array([red, green, blue])[:, None, None]
