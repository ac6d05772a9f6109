"""In which way a run's steps are made; one that was begun plainly goes on so, since the last digits are others."""

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
    """How steps are made: "plain", by `Stepper.make`; "ahead", by `Ahead`, whose digits are others; or "replayed", by
    the same and with the same digits, from what was recorded of earlier steps. And why.

    `begun` is what the lock of a run says that was begun in another way than this device has: on one like that on which
    it was begun, it goes on so.
    """

    kind: Kind = "plain"
    reason: str = ""
    begun: dict[str, Any] | None = None

    @classmethod
    def on(cls, device: torch.device, config: TrainConfig) -> Way:
        """That of a new run: on a CPU a step that was launched is made already, and there is nothing to wait for."""
        if device.type == "cpu":
            return cls("plain", "on a CPU no step is launched")
        if device.type != "cuda":
            return cls("ahead", f"on {device.type} the host would wait")
        if config.recompute:
            return cls("ahead", "on cuda the host would wait; with train.recompute nothing is recorded")
        if config.capture == "off":
            return cls("ahead", "on cuda the host would wait; nothing is recorded, as the recipe says")
        return cls(
            "replayed", "as the recipe says" if config.capture == "on" else "where that is measured to be faster"
        )

    def of(self, ranks: Ranks) -> Way:
        """The same for several ranks: what they exchange within a step cannot be recorded."""
        if ranks.alone or self.kind != "replayed":
            return self
        return replace(self, kind="ahead", reason="several ranks make each step")

    def dump(self) -> dict[str, Any] | None:
        """As plain data, for the lock; None for a run that was begun plainly, of which a lock says nothing."""
        return self.begun if self.kind == "plain" else {"way": self.kind, "reason": self.reason}

    def ahead(self, stepper: Stepper, say: Callable[[str], None]) -> Ahead | None:
        """What makes the stepper's steps in this way; None for the plain one. `say` is told how that goes."""
        config, device = stepper.config, stepper.device
        if self.kind == "plain":
            return None
        if self.kind == "ahead":
            return Ahead(stepper, config.lag)
        race = Race(lambda: torch.cuda.synchronize(device)) if config.capture == "auto" else None
        return Ahead(stepper, config.lag, record_cuda(device), race, say)


def locked_way(lock: dict[str, Any], device: torch.device, config: TrainConfig, where: str) -> Way:
    """The way that a run with this lock goes on, on a device.

    Raises:
        RunError: if what the lock says is none.
    """
    found = lock.get("steps")
    if found is None:
        return Way("plain", "the run was begun with plain steps, and keeps their digits")
    if not isinstance(found, dict) or found.get("way") not in get_args(Kind)[1:]:
        raise RunError("no way to make steps", where=f"{where}, lock.steps", found=str(found))
    way = Way.on(device, config)
    return replace(way, begun=found) if way.kind == "plain" else way
