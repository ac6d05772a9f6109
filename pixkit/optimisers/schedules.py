"""Learning-rate schedules."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from pydantic import Field

from pixkit.components.config import ComponentConfig


class Schedule(ABC):
    """Base of learning-rate schedules: ``Schedule(config)``; a subclass implements `factor`.

    Attributes:
        config: its keys.
        ends: whether the rate at a step depends on the total number of steps. Such a schedule starts again for the
            steps by which a run is extended, and a run cannot be resumed with more steps before it has made its own.
    """

    ends: ClassVar[bool] = False

    class Config(ComponentConfig):
        """No keys."""

    # Any: each class has its own Config
    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def factor(self, step: int, steps: int) -> float:
        """The learning rate at step 1..steps as a fraction of the recipe's, finite and at least 0.

        It must depend on nothing else, so that a resumed run has the same rates as an uninterrupted one. A schedule
        without `ends` is also asked about later steps.
        """


class WarmedUp(Schedule):
    """Base of schedules with a linear warm-up: a subclass implements `after`.

    The factor rises as step / warmup to 1 at step max(warmup, 1), which is step 0 for `after`.
    """

    class Config(Schedule.Config):
        """The warm-up, and the keys of pixkit's own schedules after it."""

        warmup: int = Field(default=0, ge=0)
        """Steps over which the rate rises linearly from 0."""
        floor: float = Field(default=0.0, ge=0, le=1)
        """Cosine: the fraction of the rate at the last step."""
        decay: float = Field(default=0.999995, gt=0, le=1)
        """Exponential: the factor of each step."""

    def factor(self, step: int, steps: int) -> float:
        """See Schedule."""
        peak = max(self.config.warmup, 1)
        return step / peak if step < peak else self.after(step - peak, steps - peak)

    @abstractmethod
    def after(self, step: int, steps: int) -> float:
        """The factor this many steps after the warm-up; `steps` is below 0 if the run is shorter than the warm-up."""


class Constant(WarmedUp):
    """A linear warm-up, then the full rate."""

    def after(self, step: int, steps: int) -> float:
        """1."""
        return 1.0


class Exponential(WarmedUp):
    """A linear warm-up, then the factor `decay` at each step: decay^step."""

    def after(self, step: int, steps: int) -> float:
        """decay^step."""
        return float(self.config.decay**step)


class Cosine(WarmedUp):
    """A linear warm-up, then half a cosine down to `floor` (Loshchilov and Hutter, 2016, arXiv 1608.03983)."""

    ends = True

    def after(self, step: int, steps: int) -> float:
        """floor + (1 - floor) (1 + cos(pi t)) / 2 with t = step / steps."""
        t = min(step / max(steps, 1), 1.0)
        floor = float(self.config.floor)
        return floor + (1 - floor) * (1 + math.cos(math.pi * t)) / 2
