"""In which way a run's steps are made; a run keeps to the one that it was begun with, whose last digits are its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from pixkit.errors import RunError

Kind = Literal["plain", "ahead"]


@dataclass(frozen=True)
class Way:
    """How steps are made: "plain", by `Stepper.make`, or "ahead", by `Ahead`; and why."""

    kind: Kind = "plain"
    reason: str = ""

    @classmethod
    def on(cls, device: torch.device) -> Way:
        """That of a new run: on a CPU a step that was launched is made already, and there is nothing to wait for."""
        if device.type == "cpu":
            return cls("plain", "on a CPU no step is launched")
        return cls("ahead", f"on {device.type} the host would wait")

    def dump(self) -> dict[str, Any] | None:
        """As plain data, for the lock; None for the plain way, of which a lock says nothing."""
        return None if self.kind == "plain" else {"way": self.kind, "reason": self.reason}


def locked_way(lock: dict[str, Any], device: torch.device, where: str) -> Way:
    """The way that a run was begun with, from its lock, as far as there is one on the device that it goes on.

    Raises:
        RunError: if what the lock says is none.
    """
    found = lock.get("steps")
    if found is None:
        return Way("plain", "the run was begun so")
    try:
        way = Way(found["way"], str(found["reason"]))
        if way.kind not in get_args(Kind):
            raise ValueError
    except (TypeError, ValueError, KeyError):
        raise RunError("no way to make steps", where=f"{where}, lock.steps", found=str(found)) from None
    return Way.on(device) if device.type == "cpu" else way
