"""Training steps that the host launches without waiting for their results, and reads once the device has caught up."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pixkit.memory.guard import device_exhausted, release
from pixkit.numerals import significant
from pixkit.training.capture.graphs import Recorder
from pixkit.training.capture.race import Race
from pixkit.training.capture.replayed import ReplayedPhase
from pixkit.training.exchange import OrderedSum
from pixkit.training.guard import Guard, guarded
from pixkit.training.live import LivePhase
from pixkit.training.step import NonFiniteStep, Stepper, words


@dataclass(frozen=True)
class _Part:
    """A part of a phase: its share of the step's images, and which of its losses are on the device."""

    weight: float
    names: list[str]


@dataclass(frozen=True)
class _Phase:
    parts: list[_Part]
    rate: float


@dataclass(frozen=True)
class _Launched:
    step: int
    phases: list[_Phase]
    values: Coming


class Coming:
    """Numbers being copied from the device."""

    def __init__(self, values: Tensor) -> None:
        self._values = values
        self._arrived: torch.cuda.Event | None = None
        if values.device.type == "cuda":
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record(torch.cuda.current_stream(values.device))

    def wait(self) -> None:
        """Wait until they have arrived."""
        if self._arrived is not None:
            self._arrived.synchronize()

    def read(self) -> list[float]:
        """Wait for them and return them."""
        self.wait()
        found: list[float] = self._values.tolist()
        return found


class Ahead:
    """Makes a stepper's steps, launching up to `lag` of them before the first is read.

    The steps are the stepper's up to the last digits: `guarded` optimisers compute in another order. No step waits for
    the device. A step that is not finite is noticed when it is read; a `Guard` makes sure that neither it nor any step
    launched after it has updated anything.
    """

    def __init__(
        self,
        stepper: Stepper,
        lag: int,
        record: Recorder | None = None,
        race: Race | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """With `record`, phases are recorded and replayed, unless a `race` shows that this is no faster.

        `say` is told of that, and of phases that cannot be recorded.
        """
        self.stepper = stepper
        self.lag = lag
        stepper.phases = [guarded(trained) for trained in stepper.phases]
        self._guard = Guard(stepper.model, stepper.device)
        self._race = race
        self._say = say
        self._phases = [
            LivePhase(stepper, number, self._guard)
            if record is None
            else ReplayedPhase(stepper, number, self._guard, record, say)
            for number in range(len(stepper.phases))
        ]
        self._launched: deque[_Launched] = deque()

    def __len__(self) -> int:
        """The number of steps that were launched but not read yet."""
        return len(self._launched)

    @property
    def flag(self) -> Tensor:
        """A scalar on the device: 1 once a step was not finite, otherwise 0."""
        return self._guard.flag

    def make(self, step: int) -> dict[str, float]:
        """See `Stepper`; for callers that need the result at once."""
        self.launch(step)
        return self.read()

    def launch(self, step: int) -> None:
        """Launch step 1, 2, ..."""
        self.stepper.rollback.keep()
        self.stepper.model.train()
        replayed = [phase for phase in self._phases if isinstance(phase, ReplayedPhase) and phase.obstacle is None]
        if self._race is None or not replayed or not all(phase.ready for phase in replayed):
            self._launch(step)
            return
        faster = self._race.start()
        for phase in replayed:
            phase.replaying = faster
        self._launch(step)
        self._race.stop(faster)
        if self._race.over:
            self._settle(replayed, self._race.seconds)
            self._race = None

    def _settle(self, replayed: list[ReplayedPhase], seconds: dict[bool, float]) -> None:
        """Keep whichever way takes less time."""
        figures = f"seconds a step: {significant(seconds[True], 3)} replayed, {significant(seconds[False], 3)} launched"
        faster = seconds[True] < seconds[False]
        for phase in replayed:
            phase.replaying = faster
            if not faster:
                phase.forget()
        self._say(f"steps are {'replayed' if faster else 'launched anew'} ({figures})")

    def _launch(self, step: int) -> None:
        phases, values = [], []
        for phase in self._phases:
            with self.stepper.computing():
                launched, found = self._phase(phase, step)
            phases.append(launched)
            values += found
        self._launched.append(_Launched(step, phases, Coming(torch.cat(values))))

    def wait(self) -> None:
        """Wait until the device has made the first of the launched steps."""
        self._launched[0].values.wait()

    def read(self) -> dict[str, float]:
        """Wait for the first of the launched steps and return what is logged of it, as `Stepper.make` does.

        Raises:
            NonFiniteStep: if it was not finite. It and the later steps, which are dropped, updated nothing.
        """
        launched = self._launched.popleft()
        values = iter(launched.values.read())
        rows = []
        for number, phase in enumerate(launched.phases):
            means: dict[str, float] = {}
            for part, about in enumerate(phase.parts):
                losses = {name: next(values) for name in about.names}
                if not math.isfinite(losses["loss"]):
                    raise self._explained(launched.step, number, "the loss", part=part, losses=words(losses))
                for name, value in losses.items():
                    means[name] = means.get(name, 0.0) + about.weight * value
            norm = next(values)
            if not math.isfinite(norm):
                raise self._explained(launched.step, number, "the gradient", parameters=[], losses=words(means))
            rows.append({**means, "lr": phase.rate, "grad_norm": norm})
        return self.stepper.row(rows)

    def _phase(self, phase: LivePhase, step: int) -> tuple[_Phase, list[Tensor]]:
        """Launch a phase; the values are the losses of each part and the norm of the gradient."""
        phase.begin()
        while (launched := self._gradients(phase, step)) is None:
            self._guard.rewind()
            phase.begin()
        parts, values = launched
        rate = phase.rate(step)
        self.stepper.rollback.drop()
        values.append(phase.update())
        return _Phase(parts, rate), values

    def _gradients(self, phase: LivePhase, step: int) -> tuple[list[_Part], list[Tensor]] | None:
        """Launch a phase's losses and gradients; return None if that failed but is worth another try.

        That is so where memory was exhausted, or where an operation had no deterministic kernel.

        Raises:
            UsageError: if memory is exhausted and nothing can be done about it.
        """
        if not self.stepper.ranks.alone:
            return self._shared(phase, step)
        parts, values = [], []
        try:
            for part, batch in enumerate(self.stepper.batches(step, phase.trained.name)):
                found = phase.part(batch, step, part)
                parts.append(_Part(len(batch.x) / self.stepper.images, found[0]))
                values.append(found[1])
        except Exception as error:
            if self.stepper.kernels.refused(error):
                return None
            if self.stepper.device.type == "cpu" or not device_exhausted(error):
                raise
            release(error)
            self._make_room(phase, step, error)
            return None
        return parts, values

    def _shared(self, phase: LivePhase, step: int) -> tuple[list[_Part], list[Tensor]]:
        """Launch this rank's share of a phase and the sum over all ranks: the host waits for other hosts, not for a
        device.

        A single process may retry a failed phase; a rank may not, because the others are inside an exchange.
        """
        stepper, parts, values = self.stepper, list[_Part](), list[Tensor]()
        total = OrderedSum(stepper.ranks, phase.parameters, phase.trained.shard)
        # One part per rank at a time: the host is soon free for the next, however far its device has come.
        for batches in stepper.source.shared(step, phase.trained.name, stepper.ranks, stepper.ranks.size):
            own, row = [], torch.zeros(0, dtype=torch.float64, device=stepper.device)
            for part, batch in batches:
                with stepper.buffers.watched():
                    names, row = phase.part(batch, step, part)
                share = len(batch.x) / stepper.images
                own.append({"part": part, "weight": share, "names": names, "missing": total.keep()})
            told = stepper.ranks.gather(own)
            parts += [_Part(one["weight"], one["names"]) for some in told for one in some]
            values += stepper.ranks.tensors(row)[: sum(map(len, told))]
            total.add(told)
            stepper.buffers.bring_on()
        total.finish()
        self._guard.unite(stepper.ranks)
        return parts, values

    def _make_room(self, phase: LivePhase, step: int, error: Exception) -> None:
        """Drop the recordings, which changes no digit; if there are none, halve the parts."""
        recorded = [one for one in self._phases if isinstance(one, ReplayedPhase) and one.recorded]
        for one in recorded:
            one.let_go("there is not enough memory for recorded steps")
        if not recorded and (why := self.stepper.parts.halve(step, phase.trained)) is not None:
            raise self.stepper.parts.exhausted(step, phase.trained, why, error) from error

    def _explained(self, step: int, number: int, what: str, **details: object) -> NonFiniteStep:
        """The error for a step that was not finite, with the details found by making it again synchronously."""
        self._launched.clear()
        try:
            self.stepper.again(step, number)
        except NonFiniteStep as error:
            return error
        return self.stepper.non_finite(what, self.stepper.phases[number], step, again="finite", **details)
