"""The requests that a page may make, key by key; anything else is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST = 16
"""The largest number of images drawn at a time."""


class Asked(BaseModel):
    """No other keys, and no values of other types."""

    model_config = ConfigDict(strict=True, extra="forbid")


class DrawAsked(Asked):
    """Images to draw, given some sites."""

    known: list[int]
    """Flat sites that are given, row * width + column, each once."""
    levels: list[int]
    """Their levels, the C colours of the first site before those of the second."""
    count: int = Field(default=1, ge=1, le=MOST)
    """Number of images."""
    seed: int = Field(default=0, ge=0, lt=2**53)
    """Seed of the noise; within the range of JavaScript's integers."""
    temperature: float = 1.0
    """Divides logits."""
    label: Annotated[int, Field(ge=0, lt=10**9)] | Literal["none"] | None = None
    """The class, if the model takes labels."""


class SightAsked(Asked):
    """The sub-pixels that a prediction sees."""

    pixel: tuple[int, int, int]
    """Colour, row, column."""
    known: list[int]
    """Flat sites that are given, by which some models choose their order."""


class ImageAsked(Asked):
    """An image of the model's training data: by its number, never by a path."""

    split: Literal["train", "validation", "test"]
    number: int = Field(ge=0, lt=10**9)
    """More digits would be a file's name."""


class CancelAsked(Asked):
    """No keys."""
