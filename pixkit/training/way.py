"""The way a run's steps are made; it never changes during a run, since the last digits depend on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch

from pixkit.errors import RunError
from pixkit.ranks import Ranks
from pixkit.recipe.schema import TrainConfig
from pixkit.training.ahead import Ahead
from pixkit.training.capture.graphs import record_cuda
from pixkit.training.capture.race import Race
from pixkit.training.step import Stepper

Kind = Literal["plain", "ahead", "replayed"]


@dataclass(frozen=True)
class Way:
    """How steps are made, and why: "plain", by `Stepper.make`; "ahead", by `Ahead`, with other digits; or "replayed",
    by `Ahead` with the same digits, from recordings of earlier steps.

    `begun` is the entry of a lock whose run was begun in another way than this device supports: on a device like the
    original one, the run uses that way again.
    """

    kind: Kind = "plain"
    reason: str = ""
    begun: dict[str, Any] | None = None

    @classmethod
    def on(cls, device: torch.device, config: TrainConfig) -> Way:
        """The way of a new run: on a CPU a launched step is already made, and there is nothing to wait for."""
        if device.type == "cpu":
            return cls("plain", "on a CPU steps run at once")
        if device.type != "cuda":
            return cls("ahead", f"on {device.type} the host would have to wait")
        if config.recompute:
            return cls("ahead", "on cuda the host would have to wait; with train.recompute steps are not recorded")
        fixed = next(
            (one.name for one in (config.optimizer, *config.optimizers.values()) if not one.cls.capturable), None
        )
        if fixed is not None:
            return cls("ahead", f"on cuda the host would have to wait; steps of the optimiser {fixed} are not recorded")
        if config.capture == "off":
            return cls("ahead", "on cuda the host would have to wait; the recipe turns recording off")
        return cls("replayed", "as the recipe says" if config.capture == "on" else "if measured to be faster")

    def of(self, ranks: Ranks) -> Way:
        """The same for several ranks: exchanges within a step cannot be recorded."""
        if ranks.alone or self.kind != "replayed":
            return self
        return replace(self, kind="ahead", reason="several ranks make each step")

    def dump(self) -> dict[str, Any] | None:
        """As plain data for the lock; None for a run begun with plain steps, which has no entry there."""
        return self.begun if self.kind == "plain" else {"way": self.kind, "reason": self.reason}

    def ahead(self, stepper: Stepper, say: Callable[[str], None]) -> Ahead | None:
        """An `Ahead` that makes the stepper's steps in this way, reporting to `say`; None for plain steps."""
        config, device = stepper.config, stepper.device
        if self.kind == "plain":
            return None
        if self.kind == "ahead":
            return Ahead(stepper, config.lag)
        race = Race(lambda: torch.cuda.synchronize(device)) if config.capture == "auto" else None
        return Ahead(stepper, config.lag, record_cuda(device), race, say)


def locked_way(lock: dict[str, Any], device: torch.device, config: TrainConfig, where: str) -> Way:
    """The way in which a run with this lock continues on a device.

    Raises:
        RunError: if the lock's entry is invalid.
    """
    found = lock.get("steps")
    if found is None:
        return Way("plain", "the run was begun with plain steps, and keeps their digits")
    if not isinstance(found, dict) or found.get("way") not in get_args(Kind)[1:]:
        raise RunError("not a way to make steps", where=f"{where}, lock.steps", found=str(found))
    way = Way.on(device, config)
    return replace(way, begun=found) if way.kind == "plain" else way
