"""Split the batches of a phase into parts ("micro-batches") where whole ones do not fit a device's memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from pixkit.errors import UsageError, message
from pixkit.ranks import Ranks
from pixkit.training.optim import TrainedPhase


@dataclass(frozen=True)
class Division:
    """From a step on, the batches of a phase are split into this many parts."""

    step: int
    phase: str
    parts: int


class Parts:
    """The number of parts for the batches of each phase and step: one, until memory is exhausted.

    A loss's random numbers depend on the parts. So each division belongs to its step, and a run resumed before that
    step comes to it again.
    """

    def __init__(self, model: nn.Module, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size
        self._divisions: list[Division] = []
        self._told = 0

    def of(self, step: int, phase: str) -> int:
        """The number of parts of a batch."""
        return max((one.parts for one in self._divisions if one.phase == phase and one.step <= step), default=1)

    def last(self, phase: str) -> int:
        """The number of parts at the last step."""
        return max((one.parts for one in self._divisions if one.phase == phase), default=1)

    def images(self, phase: str) -> int:
        """The number of images in the largest part there."""
        return -(-self._batch_size // self.last(phase))

    def halve(self, step: int, trained: TrainedPhase) -> str | None:
        """Double the number of parts of a phase from a step on; if impossible, return why and change nothing."""
        parts = self.of(step, trained.name)
        if not trained.phase.mean:
            return "its loss does not declare itself a mean over images (Phase.mean)"
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self._model.modules()):
            return "BatchNorm depends on all images of a batch"
        if parts == self._batch_size:
            return "a part is one image already"
        self._divisions.append(Division(step, trained.name, min(2 * parts, self._batch_size)))
        return None

    def halve_any(self, step: int, phases: Iterable[TrainedPhase]) -> bool:
        """Do so for all phases where it is possible; return whether there was any."""
        return [self.halve(step, trained) for trained in phases].count(None) > 0

    def exhausted(self, step: int, trained: TrainedPhase, why: str, error: BaseException) -> UsageError:
        """The error for exhausted memory when a batch cannot be split further."""
        images = -(-self._batch_size // self.of(step, trained.name))
        smaller = (
            "a smaller model"
            if images == 1
            else f"train.batch_size={images // 2}, with train.accumulate for as many images a step"
        )
        return UsageError(
            "memory is exhausted",
            where=f"step {step}, phase '{trained.name}', {images} images at once",
            found=message(error).split(". ")[0],
            expected=f"room for them: they cannot be taken in parts, because {why}",
            hint="free some memory, or use less of it (train.recompute=true), then continue with --resume; "
            f"or make a new run with {smaller}",
        )

    def news(self) -> list[str]:
        """Messages that have not been reported yet."""
        new, self._told = self._divisions[self._told :], len(self._divisions)
        return [
            f"from step {one.step} on a batch of phase '{one.phase}', {self._batch_size} images, is taken in "
            f"{one.parts} parts, for lack of memory; a step sees the same images"
            for one in new
        ]

    def share(self, ranks: Ranks) -> None:
        """Use the number of parts that the rank with the least memory needs."""
        found = [one for dump in ranks.gather(self.dump()) for one in dump]
        self._divisions = list(dict.fromkeys(Division(**one) for one in found))

    def dump(self) -> list[dict[str, Any]]:
        """As plain data, for the lock."""
        return [asdict(one) for one in self._divisions]

    def load(self, found: Iterable[dict[str, Any]]) -> None:
        """Continue as a lock says."""
        self._divisions = [Division(one["step"], one["phase"], one["parts"]) for one in found]
        self._told = len(self._divisions)
