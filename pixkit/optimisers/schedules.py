"""Learning rates over the steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from pydantic import Field

from pixkit.components.config import ComponentConfig


class Schedule(ABC):
    """Base of schedules, the learning rate over the steps: ``Schedule(config)``; a subclass implements `factor`.

    Attributes:
        config: its keys.
        ends: whether the rate of a step depends on how many steps there are. Such a schedule begins anew for the steps
            that a run is extended by, and a run cannot be resumed with more steps before its own are made.
    """

    ends: ClassVar[bool] = False

    class Config(ComponentConfig):
        """No keys."""

    # Any: a subclass has a Config of its own.
    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def factor(self, step: int, steps: int) -> float:
        """The learning rate of step 1..steps as a fraction of the recipe's, finite and not below 0.

        It depends on nothing else, so that a resumed run has the rates of one that was not interrupted. Of a schedule
        that does not end, also of later steps.
        """


class WarmedUp(Schedule):
    """Base of schedules with a linear warm-up: a subclass implements `after`.

    The rate rises as step / warmup to 1 at step max(warmup, 1), which is step 0 of what follows.
    """

    class Config(Schedule.Config):
        """The warm-up, and what pixkit's own schedules do with the rate after it."""

        warmup: int = Field(default=0, ge=0)
        """Steps over which the rate rises linearly from 0."""
        floor: float = Field(default=0.0, ge=0, le=1)
        """Cosine: the fraction of the rate that is left at the last step."""
        decay: float = Field(default=0.999995, gt=0, le=1)
        """Exponential: the factor of each step."""

    def factor(self, step: int, steps: int) -> float:
        """See Schedule."""
        peak = max(self.config.warmup, 1)
        return step / peak if step < peak else self.after(step - peak, steps - peak)

    @abstractmethod
    def after(self, step: int, steps: int) -> float:
        """The fraction of the rate so far after the warm-up; `steps` is below 0 where the run is shorter than that."""


class Constant(WarmedUp):
    """A linear warm-up, then the rate as it is."""

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
