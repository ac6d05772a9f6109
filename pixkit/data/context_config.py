"""What a recipe says of an array beside the images."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pixkit.components.config import ComponentConfig
from pixkit.context import MOST_VALUES
from pixkit.data.reference import SUFFIXES

NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
"""What arrays may be called."""
MARKER: dict[str, Any] = {"x-pixkit-path": list(SUFFIXES)}


class ContextConfig(ComponentConfig):
    """An array beside the images: of one file, of a file a split, or the image itself, smaller.

    Rows are in the order of the source's images. One array of `file` is for all of them: for the set that test images
    are held out of, else for the training images and then the test images. With arrays `train` and `test` the file has
    them by split.
    """

    file: str | None = Field(default=None, json_schema_extra=MARKER)
    """FILE or FILE:NAME, with a row for each image, or with the arrays `train`, `test` and perhaps `validation`."""
    train: str | None = Field(default=None, json_schema_extra=MARKER)
    """FILE or FILE:NAME of the source's training images."""
    test: str | None = Field(default=None, json_schema_extra=MARKER)
    """The same of its test images."""
    validation: str | None = Field(default=None, json_schema_extra=MARKER)
    """The same of its own validation images; those that are set apart from the training images are in `train`."""
    values: Annotated[int, Field(ge=1, le=MOST_VALUES)] | None = None
    """Number of values of integers, 0..values-1; left out, 256 of uint8 images, else one more than the greatest."""
    shrink: int | None = Field(default=None, ge=2, le=4096)
    """The image itself, this many times smaller in both directions, in place of a file."""
    by: Literal["average", "every"] = "average"
    """How it is made smaller: by the rounded mean of each block, or by every n-th pixel, from the first on."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        by_split = self.train is not None or self.test is not None or self.validation is not None
        if (self.file is not None) + by_split + (self.shrink is not None) != 1:
            raise ValueError("give one of file, train and test, or shrink")
        if by_split and (self.train is None or self.test is None):
            raise ValueError("train and test go together")
        if self.shrink is not None and self.values is not None:
            raise ValueError("values: the image made smaller has the image's own levels")
        return self
