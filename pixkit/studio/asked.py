"""What a page may ask, each key of it: anything else is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST = 16
"""Images that are drawn at a time."""


class Asked(BaseModel):
    """No other keys, and no values of other types."""

    model_config = ConfigDict(strict=True, extra="forbid")


class DrawAsked(Asked):
    """Images to draw, given some sites."""

    known: list[int]
    """Flat sites that are given, row * width + column, each once."""
    levels: list[int]
    """The levels of these, the C colours of the first site before those of the second."""
    count: int = Field(1, ge=1, le=MOST)
    """How many."""
    seed: int = Field(0, ge=0, lt=2**53)
    """Names the noise; below what JavaScript has whole numbers for."""
    temperature: float = 1.0
    """Divides logits."""
    label: Annotated[int, Field(ge=0, lt=10**9)] | Literal["none"] | None = None
    """The class, of a model that takes labels."""


class SightAsked(Asked):
    """What the prediction of a sub-pixel sees."""

    pixel: tuple[int, int, int]
    """Colour, row, column."""
    known: list[int]
    """Flat sites that are given, by which some models choose their order."""


class ImageAsked(Asked):
    """An image of the data that the model was trained on: by its number, never by a path."""

    split: Literal["train", "validation", "test"]
    number: int = Field(ge=0, lt=10**9)
    """More digits would be a file's name."""


class CancelAsked(Asked):
    """Nothing."""
