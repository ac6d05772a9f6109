"""Corrections of likelihoods that reveal anomalies: numbers that are large for unlikely images.

A likelihood alone does not: models of pictures assign smooth images of other things a higher likelihood than images
that they know (Nalisnick et al., 2019, arXiv 1810.09136), since it mostly measures low-level structure and complexity.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pixkit.codec.frozen import Array
from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.runs.load import load, opened_run
from pixkit.runs.manifest import read_manifest
from pixkit.runs.run import Run
from pixkit.tasks.general_codecs import CODECS, General, Unfit
from pixkit.tasks.scoring.scorer import Scorer

QUICK_CODECS = ("PNG", "Group 4", "JPEG XL", "JPEG-LS")
"""Codecs for complexity: those of `pixkit bench compress` that take milliseconds per image."""


class Correction(ABC):
    """Computes a number for each image from its nats; `name` is its name, `source` who proposed it."""

    name: str
    source: ClassVar[str]

    @property
    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Its settings besides the image, as plain data: a threshold applies only to the same ones."""

    @abstractmethod
    def __call__(self, x: Tensor, nats: Tensor) -> Tensor:
        """For images int64 [B, C, H, W] with these nats, float64 [B]: float64 [B], larger for less likely ones."""


@dataclass(frozen=True)
class Complexity(Correction):
    """-log p(x) - L(x), nats, with L(x) the length of the image by a lossless codec.

    Serra et al., 2020, "Input complexity and out-of-distribution detection with likelihood-based generative models",
    arXiv 1909.11480. As there, L is the least of several codecs, here also of two layouts: the image and its transpose.
    The headers of files are counted: they are the same for all images.

    Attributes:
        codecs: the codecs; those that are installed and support the images.
    """

    codecs: tuple[General, ...]
    levels: int
    name: str = "complexity"
    source: ClassVar = "Serra et al., 2020, arXiv 1909.11480"

    @classmethod
    def of(cls, spec: ImageSpec, names: Sequence[str] = QUICK_CODECS) -> Complexity:
        """With those of the codecs that support such images and are installed.

        Raises:
            UsageError: if there is none.
        """
        usable: tuple[General, ...] = ()
        if spec.palette is None and spec.channels in (1, 3):
            blank = np.zeros((spec.height, spec.width, spec.channels), np.uint8 if spec.levels <= 256 else np.uint16)
            usable = tuple(codec for codec in CODECS if codec.name in names and _takes(codec, blank, spec.levels))
        if not usable:
            raise UsageError(
                "no codec to measure complexity by takes such images",
                where="complexity",
                found=str(spec),
                expected="1 or 3 channels of levels",
            )
        return cls(usable, spec.levels)

    def __call__(self, x: Tensor, nats: Tensor) -> Tensor:
        """See Correction."""
        pictures = x.cpu().numpy().transpose(0, 2, 3, 1).astype(np.uint8 if self.levels <= 256 else np.uint16)
        lengths = [self.bits(picture) * math.log(2) for picture in pictures]
        return nats - torch.tensor(lengths, dtype=torch.float64)

    @property
    def about(self) -> dict[str, Any]:
        """See Correction."""
        return {"codecs": [codec.name for codec in self.codecs]}

    def bits(self, picture: Array) -> int:
        """L for a picture [H, W, C]: the fewest bits over all codecs and layouts."""
        layouts = [np.ascontiguousarray(each) for each in (picture, picture.swapaxes(0, 1))]
        return 8 * min(len(codec.encode(each, self.levels)) for codec in self.codecs for each in layouts)


@dataclass(frozen=True)
class Ratio(Correction):
    """log q(x) - log p(x), nats, with q another model of such images: what both know cancels.

    As `background`, q was trained on images with randomly replaced levels (`model.mutation`), and knows the background
    of images (Ren et al., 2019, "Likelihood ratios for out-of-distribution detection", arXiv 1906.02845). As `local`, q
    sees few pixels around each, and knows local structure that all images have (Zhang, Zhang and McDonagh, 2021, "On
    the out-of-distribution generalization of probabilistic image modelling", arXiv 2109.02639).
    """

    name: str
    other: Scorer
    weights: str
    source: ClassVar = "Ren et al., 2019, arXiv 1906.02845; Zhang et al., 2021, arXiv 2109.02639"

    @classmethod
    def of(cls, name: str, model: Model, run: Run | str | Path, device: str = "auto") -> Ratio:
        """With the best checkpoint of another run; where its labels are unknown, p(x) over all of them.

        Raises:
            UsageError: if its model is for other images, or has no likelihood.
            RunError, CheckpointError: if it cannot be loaded.
        """
        opened = opened_run(run)
        other = load(opened, device=device)
        if other.spec != model.spec:
            raise UsageError(
                "the other run is of other images", where=name, found=str(other.spec), expected=str(model.spec)
            )
        return cls(name, Scorer(other), weights_digest(opened))

    def __call__(self, x: Tensor, nats: Tensor) -> Tensor:
        """See Correction."""
        return nats - self.other(x).figures["nats"]

    @property
    def about(self) -> dict[str, Any]:
        """See Correction."""
        return {"weights": self.weights}


@dataclass(frozen=True)
class Typicality(Correction):
    """|-log p(x) - H|, nats, with H the mean of -log p over images that the model knows: too likely is also suspicious.

    Nalisnick, Matsukawa, Teh and Lakshminarayanan, 2019, "Detecting out-of-distribution inputs to deep generative
    models using typicality", arXiv 1906.02994, for single images (M = 1).

    Attributes:
        mean: H.
    """

    mean: float
    name: str = "typicality"
    source: ClassVar = "Nalisnick et al., 2019, arXiv 1906.02994"

    def __call__(self, x: Tensor, nats: Tensor) -> Tensor:
        """See Correction."""
        return (nats - self.mean).abs()

    @property
    def about(self) -> dict[str, Any]:
        """See Correction."""
        return {"mean": self.mean}


def weights_digest(run: Run, checkpoint: str = "best", weights: str = "ema") -> str:
    """SHA-256 of the weights that `pixkit.load` takes from a run, as its checkpoint states it."""

    def look(folder: Path) -> str:
        files = read_manifest(folder).files
        return files["ema" if weights == "ema" and "ema" in files else "model"].sha256

    return run.read_checkpoint(checkpoint, look)


def _takes(codec: General, blank: Array, levels: int) -> bool:
    try:
        codec.encode(blank, levels)
    except Unfit:
        return False
    return True
