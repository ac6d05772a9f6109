"""Where a training loop is."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class LoopState:
    """What a checkpoint says beside weights; plain data.

    `step` steps were made; scores are done up to step `evaluated` and samples up to `sampled`; the best
    validation nats so far are `best_nats`, of `best_step`, `stale` scorings ago. Without a likelihood, what
    checkpoints are compared by stands in their place.
    """

    step: int = 0
    evaluated: int = 0
    sampled: int = 0
    best_step: int | None = None
    best_nats: float | None = None
    stale: int = 0

    def judge(self, nats: float) -> None:
        """Note this step's validation nats, and whether they are the best; NaN never is."""
        self.evaluated = self.step
        if math.isfinite(nats) and (self.best_nats is None or nats < self.best_nats):
            self.best_step, self.best_nats, self.stale = self.step, nats, 0
        else:
            self.stale += 1
