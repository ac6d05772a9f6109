"""The configuration of an array beside the images."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pixkit.components.config import ComponentConfig
from pixkit.context import MOST_VALUES
from pixkit.data.reference import SUFFIXES

NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
"""The pattern of an array's name."""
MARKER: dict[str, Any] = {"x-pixkit-path": list(SUFFIXES)}


class ContextConfig(ComponentConfig):
    """An array beside the images: from one file, from one file per split, or the image itself, made smaller.

    Rows are in the order of the source's images. If `file` has one array, it is for all of them: for the set from which
    test images are held out, otherwise for the training images followed by the test images. If it has arrays `train`
    and `test`, they are for these splits.
    """

    file: str | None = Field(default=None, json_schema_extra=MARKER)
    """FILE or FILE:NAME, with a row for each image, or with arrays `train`, `test` and, if needed, `validation`."""
    train: str | None = Field(default=None, json_schema_extra=MARKER)
    """FILE or FILE:NAME for the source's training images."""
    test: str | None = Field(default=None, json_schema_extra=MARKER)
    """The same for its test images."""
    validation: str | None = Field(default=None, json_schema_extra=MARKER)
    """The same for its own validation images; those held out from the training images are in `train`."""
    values: Annotated[int, Field(ge=1, le=MOST_VALUES)] | None = None
    """Number of values of integers, 0..values-1; defaults to 256 for uint8 images, otherwise to the largest plus 1.
    Vectors of several integers, and integers of which some are negative, are numbers."""
    shrink: int | None = Field(default=None, ge=2, le=4096)
    """Instead of a file: the image itself, this many times smaller in both directions."""
    by: Literal["average", "every"] = "average"
    """How to shrink it: the rounded mean of each block, or every n-th pixel, from the first on."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        by_split = self.train is not None or self.test is not None or self.validation is not None
        if (self.file is not None) + by_split + (self.shrink is not None) != 1:
            raise ValueError("give one of file, train and test, or shrink")
        if by_split and (self.train is None or self.test is None):
            raise ValueError("train and test go together")
        if self.shrink is not None and self.values is not None:
            raise ValueError("values: the smaller image has the image's own levels")
        return self
