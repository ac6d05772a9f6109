"""A phase whose losses, gradients and update are recorded once and replayed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pixkit.components.attempt import one_line
from pixkit.image import Batch
from pixkit.layers.modes import persistent_buffers, rehearsing
from pixkit.memory.guard import device_exhausted, release
from pixkit.training.capture.graphs import Recorder, Replay
from pixkit.training.capture.probe import Counted, Probe, hooked, host_draws
from pixkit.training.guard import Guard
from pixkit.training.kernels import is_refusal
from pixkit.training.live import LivePhase
from pixkit.training.step import Stepper

MOST = 16
"""Most variants of a phase that are recorded; each keeps its own copy of a batch, or shares one."""
REMEMBERED = 64
"""Most variants that were seen once and may be recorded when they are seen again."""

Reached: TypeAlias = tuple[bool, ...]
"""For each of a phase's parameters, whether it has a gradient at this step."""
Variant: TypeAlias = tuple[Hashable, tuple[Reached, int]]
"""The state on which a part depends, the parameters that earlier parts reached, and its number of images."""
Shares: TypeAlias = tuple[Tensor | None, ...]


@dataclass(frozen=True)
class _Recorded:
    names: list[str]
    values: Tensor
    reached: Reached
    replay: Replay


class ReplayedPhase(LivePhase):
    """Launches a phase's work as one recorded piece for each part, and one for the update.

    A part is recorded once one of its kind (`Variant`) was launched, and an update once one was made. While `replaying`
    is False, everything is launched. The digits are those of `LivePhase`. A loss that would change in a replay is never
    recorded; `say` is told why.
    """

    def __init__(
        self, stepper: Stepper, number: int, guard: Guard, record: Recorder, say: Callable[[str], None]
    ) -> None:
        super().__init__(stepper, number, guard)
        self.obstacle: str | None = None
        self.replaying = True
        self._record = record
        self._say = say
        self._examined = False
        self._held: dict[int, Batch] = {}
        self._gradients: list[Tensor | None] = [None] * len(self.parameters)
        self._reached: Reached = ()
        self._seen: dict[Variant, list[str]] = {}
        self._parts: dict[Variant, _Recorded] = {}
        self._updated: set[Reached] = set()
        self._updates: dict[Reached, _Recorded] = {}

    def begin(self) -> None:
        """See LivePhase."""
        super().begin()
        self._reached = (False,) * len(self.parameters)

    def part(self, batch: Batch, step: int, part: int) -> tuple[list[str], Tensor]:
        """See LivePhase."""
        if not self._examined:
            obstacle = self._examine(batch, step)
            self._examined = True
            if obstacle is not None:
                self._give_up(obstacle)
        if self.obstacle is not None:
            return super().part(batch, step, part)
        variant = self._varies(step, part), (self._reached, len(batch.x))
        held = self._hold(batch)
        self.stepper.seed(step, self.number, part)
        if self.replaying and variant not in self._parts and variant in self._seen and len(self._parts) < MOST:
            self._capture(variant, held, step)
        if self.replaying and (recorded := self._parts.get(variant)) is not None:
            recorded.replay()
            self._reached = recorded.reached
            return recorded.names, recorded.values.clone()
        if self.obstacle is not None:
            return super().part(batch, step, part)
        names, values, found = self._shares(held, step)
        self._seen = {**dict(list(self._seen.items())[1 - REMEMBERED :]), variant: names}
        self._make_room(found)
        self._keep(found)
        return names, values

    def update(self) -> Tensor:
        """See LivePhase."""
        if self.obstacle is not None:
            return super().update()
        self._bind()
        reached = self._reached
        if not self.replaying:
            return super().update()
        if reached in self._updated and reached not in self._updates and len(self._updates) < MOST:
            norm = torch.empty(1, dtype=torch.float64, device=self.stepper.device)
            replay = self._recording(lambda: norm.copy_(super(ReplayedPhase, self).update()))
            if replay is not None:
                self._updates[reached] = _Recorded(["norm"], norm, reached, replay)
        self._updated.add(reached)
        if reached not in self._updates:
            return super().update()
        self._updates[reached].replay()
        return self._updates[reached].values.clone()

    @property
    def ready(self) -> bool:
        """Whether a whole step can be replayed."""
        return bool(self._parts and self._updates)

    @property
    def recorded(self) -> bool:
        """Whether anything is recorded."""
        return bool(self._parts or self._updates)

    def let_go(self, why: str) -> None:
        """Launch everything from now on, and free the memory of recordings."""
        self._give_up(why)

    def forget(self) -> None:
        """Drop the recordings."""
        self._parts, self._updates = {}, {}

    def _varies(self, step: int, part: int) -> Hashable:
        varies = self.trained.phase.varies
        if varies is None:
            return None
        self.stepper.seed(step, self.number, part)  # seeded as for the loss, which this may draw from first
        return varies(step)

    def _hold(self, batch: Batch) -> Batch:
        """Copy the batch into the phase's own memory, where recordings read it."""
        if len(batch.x) not in self._held:
            self._held[len(batch.x)] = batch.changed(torch.clone)
        held = self._held[len(batch.x)]
        # Images of one data set have labels and context, or none of them has.
        for name in ("x", "labels", "indices", "context"):
            if (given := getattr(batch, name)) is not None:
                getattr(held, name).copy_(given)
        return held

    def _capture(self, variant: Variant, batch: Batch, step: int) -> None:
        """Record a part; give up if that is impossible."""
        names = self._seen[variant]
        target = torch.empty(len(names), dtype=torch.float64, device=self.stepper.device)

        def body() -> None:
            found, values, shares = self._shares(batch, step)
            if found != names:
                raise RuntimeError(f"its losses are {', '.join(found)}, but were {', '.join(names)}")
            self._keep(shares)
            target.copy_(values)

        replay = self._recording(body)
        if replay is not None:
            self._parts[variant] = _Recorded(names, target, self._reached, replay)

    def _shares(self, batch: Batch, step: int) -> tuple[list[str], Tensor, Shares]:
        names, values, share = self.losses(batch, step)
        self.guard.see(share)
        return names, values, torch.autograd.grad(share, self.parameters, allow_unused=True)

    def _make_room(self, found: Shares) -> None:
        for number, (parameter, share) in enumerate(zip(self.parameters, found, strict=True)):
            if share is not None and self._gradients[number] is None:
                self._gradients[number] = torch.empty_like(parameter)

    @torch.no_grad()
    def _keep(self, found: Shares) -> None:
        """Write shares of the gradients, or add them to earlier ones, where an update finds them."""
        for again in (False, True):
            kept, shares = [], []
            for gradient, share, reached in zip(self._gradients, found, self._reached, strict=True):
                if share is not None and reached is again:
                    if gradient is None:
                        raise RuntimeError("its losses reach other parameters than before")
                    kept.append(gradient)
                    shares.append(share)
            if kept and again:
                torch._foreach_add_(kept, shares)
            elif kept:
                torch._foreach_copy_(kept, shares)
        self._reached = tuple(before or share is not None for before, share in zip(self._reached, found, strict=True))

    def _bind(self) -> None:
        for parameter, gradient, reached in zip(self.parameters, self._gradients, self._reached, strict=True):
            parameter.grad = gradient if reached else None

    def _recording(self, body: Callable[[], object]) -> Replay | None:
        """The recording of a body; None, with no further attempts, if it cannot be recorded."""

        def run() -> None:
            body()

        reached = self._reached
        try:
            return self._record(run)
        except Exception as error:
            self._reached = reached
            self._give_up(f"it cannot be recorded: {one_line(error)}")
            release(error)
            return None

    def _give_up(self, obstacle: str) -> None:
        """Launch everything from now on; gradients of this step's earlier parts are where `LivePhase` adds to them."""
        self.obstacle = obstacle
        self._held = {}
        self.forget()
        self._bind()
        self._gradients = [None] * len(self.parameters)
        self._say(f"phase '{self.trained.name}' is launched anew at each step, not replayed: {obstacle}")

    def _examine(self, batch: Batch, step: int) -> str | None:
        """Why the losses cannot be replayed, found by computing them once as a rehearsal."""
        model, varies = self.stepper.model, self.trained.phase.varies
        if (found := hooked(model)) is not None:
            return found
        probe = Probe(draws=varies is not None)
        number: Any = step if varies is not None else Counted(step, lambda: probe.found("it uses the step's number"))
        before = {name: id(buffer) for name, buffer in persistent_buffers(model).items()}
        with rehearsing(model, self.stepper.device):
            try:
                with host_draws(probe.found), probe:
                    _, _, share = self.losses(batch, number)
                    torch.autograd.grad(share, self.parameters, allow_unused=True)
            except Exception as error:
                if device_exhausted(error) or is_refusal(error):  # which may succeed next time
                    raise
                probe.found(f"it fails when inspected: {one_line(error)}")
        if {name: id(buffer) for name, buffer in persistent_buffers(model).items()} != before:
            probe.found("it replaces buffers by other tensors")
        return probe.obstacle
