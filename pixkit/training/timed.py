"""Training steps that are timed, on random images."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from pixkit.data import Progress
from pixkit.data.base import DataConfig, DataSource, ImageSet, SourceImages
from pixkit.data.dataset import BatchSequence, Dataset, Part
from pixkit.data.levels import storage
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.ranks import ALONE, Ranks
from pixkit.recipe.schema import TrainConfig
from pixkit.training.ema import Ema
from pixkit.training.kernels import Kernels
from pixkit.training.memory import estimate
from pixkit.training.pace import Pace
from pixkit.training.precision import Arithmetic
from pixkit.training.rate import wait
from pixkit.training.step import Stepper
from pixkit.training.way import Way

BATCHES = 4
"""Batches of random images, which are visited again and again."""
TURN = 0.5
"""Seconds of steps in a turn, which has at least one step."""


class MadeUp(DataSource):
    """Random images."""

    def __init__(self, spec: ImageSpec, classes: int | None, count: int) -> None:
        super().__init__(DataConfig(), Path())
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(spec.levels, (count, *spec.shape), generator=generator).to(storage(spec.levels))
        labels = None if classes is None else torch.randint(classes, (count,), generator=generator)
        self._images = SourceImages(ImageSet(pixels, labels), ImageSet(pixels, labels), spec.levels, classes)

    def load(self, progress: Progress | None = None) -> SourceImages:
        """See DataSource."""
        return self._images


def made_up(spec: ImageSpec, classes: int | None, count: int) -> Dataset:
    """Random images of a kind; all splits share the same."""
    source = MadeUp(spec, classes, count)
    images = source.load().train
    own = [each for each in spec.context if each.shrink is None]
    context = torch.cat([torch.randint(each.levels or 2, (count, each.size)) for each in own], 1) if own else None
    part = Part(images.pixels, images.labels, torch.arange(count), context=context)
    parts = dict.fromkeys(Dataset.SPLITS, part)
    return Dataset("made up", spec, classes, parts, description="random", notes=(), hashes={}, source=source)


@dataclass(frozen=True)
class Setting:
    """How steps are made."""

    config: TrainConfig
    arithmetic: Arithmetic


class Timed:
    """Steps of a model as a build makes them, including the average, for any number of turns.

    Raises:
        UsageError: from the constructor, if training would not fit into memory.
    """

    def __init__(
        self,
        model: Model,
        classes: int | None,
        setting: Setting,
        device: torch.device,
        *,
        ranks: Ranks = ALONE,
    ) -> None:
        config = setting.config.model_copy(update={"steps": 10**9})
        dataset = made_up(model.spec, classes, BATCHES * config.batch_size)
        sequence = BatchSequence(dataset, config.batch_size, 0)
        self.stepper = Stepper(model, sequence, config, 0, device, ranks=ranks)
        self.stepper.kernels = Kernels.of(device, None, lambda text: None)
        self.stepper.arithmetic = setting.arithmetic
        way = Way.on(device, config).of(ranks)
        self._foreseen = estimate(self.stepper, device, recorded=way.kind == "replayed")
        self._foreseen.check(recompute=config.recompute)
        self.stepper.parts.share(ranks)
        self._pace = Pace(self.stepper, way.ahead(self.stepper, lambda text: None))
        self._ema = Ema(model, config.ema) if config.ema else None
        self._device, self._ranks, self._made, self._steps = device, ranks, 0, 0
        self.peak = 0

    @property
    def images(self) -> int:
        """Images in a step."""
        return self.stepper.images

    @property
    def memory(self) -> int:
        """Bytes that training takes at its peak, weights included: measured on a GPU, estimated on a CPU."""
        found = self._foreseen
        return self.peak or found.weights + found.training + found.activations + found.graphs

    def turn(self) -> float:
        """Seconds per step, over some consecutive steps, the same number in every turn."""
        if not self._steps:
            self._make(2 if self._device.type == "cpu" else 8)  # allocates memory, chooses kernels, records graphs
            self._steps = self._ranks.agreed(max(math.ceil(TURN / max(self._make(1), 1e-6)), 1))
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        seconds = self._make(self._steps) / self._steps
        if self._device.type == "cuda":
            self.peak = torch.cuda.max_memory_allocated(self._device)
        return seconds

    def _make(self, steps: int) -> float:
        """Make this many steps; return the seconds that they take."""
        wait(self._device)
        started = time.perf_counter()
        last = self._made + steps
        with self.stepper.kernels.heard():
            while self._made < last:
                self._made += 1
                self._pace.next(self._made, last, self._ema)
            for _ in self._pace.rest():
                pass
        wait(self._device)
        return time.perf_counter() - started
