"""Synthetic images whose log-probability is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages
from pixkit.data.markov import MarkovMesh
from pixkit.image import ImageSpec
from pixkit.randomness import Stream

LARGEST = 2**25
"""The most entries of a table."""
COUNTS = {"west-north": 2, "west-north-northwest": 3}


class Synthetic(DataSource):
    """Images of a random Markov mesh, with any size and number of levels, and an exact `log_prob`.

    A pixel depends on its west, north (and north-west) neighbours by a seeded table. The mean of log_prob(x) -
    model.log_prob(x) over test images estimates the model's Kullback-Leibler divergence from the truth; it refers to
    the images as drawn, so `levels` and `binarise` must be left out.
    """

    class Config(DataConfig):
        """The common keys, and the mesh."""

        height: int = Field(default=8, ge=1, le=1024)
        """Rows of an image."""
        width: int = Field(default=8, ge=1, le=1024)
        """Columns of an image."""
        source_levels: int = Field(default=4, ge=2, le=256)
        """Number of levels of the mesh."""
        neighbours: Literal["west-north", "west-north-northwest"] = "west-north-northwest"
        """Which neighbours a pixel depends on."""
        sharpness: float = Field(default=2.0, gt=0, le=20)
        """1: any distribution of a pixel is equally likely; larger: peaked ones."""
        seed: int = Field(default=0, ge=0, lt=2**31)
        """Seed of the table and of the images."""
        train_images: int = Field(default=2000, ge=1, le=10**6)
        """Number of training images, including those of the validation split."""
        test_images: int = Field(default=500, ge=0, le=10**6)
        """Number of test images."""

        @model_validator(mode="after")
        def _table_fits(self) -> Self:
            entries = (self.source_levels + 1) ** COUNTS[self.neighbours] * self.source_levels
            if entries > LARGEST:
                raise ValueError(f"a table of {entries} entries is too large, {LARGEST} at most: fewer source_levels")
            return self

    def __init__(self, config: Any, base: Path) -> None:
        super().__init__(config, base)
        spec = ImageSpec(1, config.height, config.width, config.source_levels)
        self.mesh = MarkovMesh(spec, COUNTS[config.neighbours], config.sharpness, config.seed)

    def load(self, progress: Progress | None = None) -> SourceImages:
        """Draw the images."""
        train = ImageSet(self.mesh.sample(self.config.train_images, Stream.MESH_TRAIN))
        test = ImageSet(self.mesh.sample(self.config.test_images, Stream.MESH_TEST))
        return SourceImages(train, test, levels=self.config.source_levels)

    def log_prob(self, x: Tensor) -> Tensor:
        """True log-probability of images, integer [B, 1, H, W], in nats, float64 [B]."""
        return self.mesh.log_prob(x)
