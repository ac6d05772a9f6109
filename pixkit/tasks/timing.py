"""The time of sampling compared with one forward pass: medians over turns in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from pixkit.data import Progress
from pixkit.errors import message
from pixkit.execution import choose as executors
from pixkit.execution.cuda.nvrtc import NoKernel
from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.native.compile import NoCompiler
from pixkit.execution.plan import Plan, make_plan
from pixkit.execution.reference import Executor
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.precision import float32_products
from pixkit.readiness.content import Content, Untold
from pixkit.readiness.law import require_law
from pixkit.readiness.trace import Trace
from pixkit.runs.record import machine
from pixkit.samplers import Ancestral, BatchRequest, Known
from pixkit.samplers.batch import check_forward
from pixkit.samplers.kept import Found, fits

ANCESTRAL_STEPS = 6
"""Steps of ancestral sampling in a turn, spread over the image; each is a forward pass."""
TOO_LONG = 20.0
"""Seconds for a batch of one image above which the reference executor is left out."""
ONCE = 3.0
"""Seconds above which an executor has only one turn; the others have an additional first one to warm up."""
FORWARDS = 3
"""Forward passes in a turn."""


@dataclass(frozen=True)
class Row:
    """One way of sampling at one batch size; times in seconds for the whole batch, None if not measured.

    Attributes:
        batch: images drawn together.
        sampler: "ancestral" or "cached".
        executor: the executor of the plan, for cached sampling.
        seconds: median time of one batch.
        forward_seconds: median time of one forward pass of the same batch.
        per_forward: seconds / forward_seconds.
        ancestral_seconds: time of ancestral sampling, extrapolated from some of its steps.
        speedup: ancestral_seconds / seconds.
        preparation_seconds: packing the plan for this batch size, not counted in `seconds`.
        first_seconds: a first call of `sample`: tracing, planning, packing, and `seconds`.
        later_seconds: a later call: checking that the kept plan is still valid, preparing it, and `seconds`; None if
            nothing is kept.
        note: what was extrapolated, or why there is no time.
    """

    batch: int
    sampler: str
    executor: str | None
    seconds: float | None
    forward_seconds: float
    per_forward: float | None
    ancestral_seconds: float
    speedup: float | None
    preparation_seconds: float | None
    first_seconds: float | None
    later_seconds: float | None
    note: str


@dataclass(frozen=True)
class SamplingTimes:
    """The result of `time_sampling`.

    `preparation` has the seconds of tracing, planning and compiling, which happen once, and those of checking at each
    call that the kept plan is still valid: "check", missing if nothing is kept.
    """

    rows: list[Row]
    preparation: dict[str, float]
    machine: dict[str, Any]
    steps: int
    rounds: int

    def dump(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


@float32_products()
@torch.no_grad()
def time_sampling(
    network: Autoregressive, batches: Sequence[int], *, rounds: int = 3, progress: Progress | None = None
) -> SamplingTimes:
    """Time one forward pass, ancestral sampling and cached sampling with every executor.

    Args:
        network: in eval mode; its weights do not matter.
        batches: batch sizes.
        rounds: number of turns, of which medians are reported; an executor that takes over `ONCE` seconds has one.
        progress: called as progress(what, done, total).

    Raises:
        Untraceable: if the network cannot be traced.
        CausalityError: if readiness does not prove it causal.
    """
    check = _check(network)
    begin = time.perf_counter()
    trace = Trace(network)
    require_law(trace)
    traced = time.perf_counter()
    plan = make_plan(trace)
    preparation = {"trace": traced - begin, "plan": time.perf_counter() - traced, **check}
    elsewhere = ("native", "bfloat16") if network.reference.is_cuda else ("graphs", "persistent")
    names = [name for name in executors.EXECUTORS if name not in elsewhere]
    reasons = {name: _try(plan, name, preparation) for name in names}
    rows: list[Row] = []
    for number, batch in enumerate(batches):
        if progress is not None:
            progress(f"batch {batch}", number, len(batches))
        rows += _Batch(plan, batch, rounds, preparation).rows(reasons)
    return SamplingTimes(rows, preparation, machine(network), network.ordering.count, rounds)


def _check(network: Autoregressive) -> dict[str, float]:
    """Seconds to check that what is kept of a network is still valid, as "check"; empty if nothing is kept."""
    try:
        found = Found(network, Content(network))
    except Untold:
        return {}
    begin = time.perf_counter()
    holds = found.holds(network, None)
    return {"check": time.perf_counter() - begin} if holds else {}


def _try(plan: Plan, name: str, preparation: dict[str, float]) -> str:
    """Why an executor cannot run the plan, empty if it can; one-time preparation happens here."""
    begin = time.perf_counter()
    try:
        executors.make(name, plan, 1, plan.trace.network.example_context(1))
    except (Unsupported, NoCompiler, NoKernel) as error:
        return message(error)
    preparation[name] = time.perf_counter() - begin
    return ""


class _Batch:
    """The measurements of one batch size."""

    def __init__(self, plan: Plan, batch: int, rounds: int, preparation: dict[str, float]) -> None:
        self.plan, self.batch, self.rounds, self.preparation = plan, batch, rounds, preparation
        self.network = plan.trace.network
        self.device = self.network.reference.device
        spec = self.network.spec
        check_forward(self.network, batch)
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randint(spec.levels, (batch, *spec.shape), generator=generator).to(self.device)
        self.context = self.network.example_context(batch)
        self.noise = Noise(0, range(batch))
        self.uniforms = self.network.uniforms(self.noise).flatten(3)
        self.shown = _some_steps(self.network)
        self.packing: dict[str, list[float]] = {}
        self.renewing: dict[str, list[float]] = {}

    def rows(self, reasons: dict[str, str]) -> list[Row]:
        """One row per sampler; `reasons` says why an executor cannot be measured, if so."""
        reasons = {name: reason or self._too_slow(name) for name, reason in reasons.items()}
        ways: dict[str, Callable[[], float]] = {"forward": self._forward, "ancestral": self._ancestral}
        ways |= {name: self._cached(name) for name, reason in reasons.items() if not reason}
        times = {name: [way()] for name, way in ways.items()}
        again = {name: way for name, way in ways.items() if name not in reasons or times[name][0] < ONCE}
        for name in again:
            times[name].clear()
            self.packing.pop(name, None)
            self.renewing.pop(name, None)
        for _ in range(self.rounds):
            for name, way in again.items():
                times[name] += [way() for _ in range(FORWARDS if name == "forward" else 1)]
        median = {name: statistics.median(found) for name, found in times.items()}
        share = f"extrapolated from {int(self.shown[0])} of {self.network.ordering.count} steps"
        return [
            self._row("ancestral", None, median, share),
            *(
                self._row("cached", name, median, reason or ("" if name in again else "one turn"))
                for name, reason in reasons.items()
            ),
        ]

    def _row(self, sampler: str, executor: str | None, median: dict[str, float], note: str) -> Row:
        forward, ancestral = median["forward"], median["ancestral"]
        seconds = median.get(executor or sampler)
        packing, renewing = (self._median(found, executor) for found in (self.packing, self.renewing))
        once = _sum(self.preparation["trace"], self.preparation["plan"], packing, seconds)
        again = _sum(self.preparation.get("check"), renewing, seconds)
        return Row(
            self.batch,
            sampler,
            executor,
            seconds,
            forward,
            None if seconds is None else seconds / forward,
            ancestral,
            None if seconds is None else ancestral / seconds,
            packing,
            once,
            again,
            note,
        )

    def _median(self, found: dict[str, list[float]], executor: str | None) -> float | None:
        return statistics.median(found[executor]) if executor in found else None

    def _forward(self) -> float:
        return self._time(lambda: self.network(self.images, self.context))

    def _ancestral(self) -> float:
        """All but a few steps are given; each of the few is a forward pass."""
        made, mask = self.shown
        draw = Ancestral(Ancestral.Config()).prepare(self.network, mask)
        request = BatchRequest(self.noise, known=Known(mask, self.images.cpu()), context=self.context)
        return self._time(lambda: draw(request)) * self.network.ordering.count / made

    def _cached(self, name: str) -> Callable[[], float]:
        def way() -> float:
            begin = time.perf_counter()
            executor = executors.make(name, self.plan, self.batch, self.context)
            self.packing.setdefault(name, []).append(time.perf_counter() - begin)
            seconds = self._time(lambda: executor.walk(self.uniforms, 1.0, None))
            if fits(executor):
                self.renewing.setdefault(name, []).append(self._time(lambda: executor.renew(self.context)))
            return seconds

        return way

    def _too_slow(self, name: str) -> str:
        """Whether the reference executor would take too long, judged by a twentieth of its steps."""
        if name != "reference":
            return ""
        executor: Executor = executors.make(name, self.plan, self.batch, self.context)
        count = self.network.ordering.count
        some = max(count // 20, 1)

        def walk() -> None:
            for step in range(count // 2, count // 2 + some):
                executor.advance(step)

        guess = self._time(walk) * count / some
        return f"left out: it would take about {guess:.0f} s" if guess > TOO_LONG else ""

    def _time(self, work: Callable[[], Any]) -> float:
        self._finish()
        begin = time.perf_counter()
        work()
        self._finish()
        return time.perf_counter() - begin

    def _finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _sum(*seconds: float | None) -> float | None:
    """The sum, or None if a term was not measured."""
    known = [each for each in seconds if each is not None]
    return sum(known) if len(known) == len(seconds) else None


def _some_steps(network: Autoregressive) -> tuple[int, Tensor]:
    """The number of steps left open, and the given sub-pixels that leave just these, bool [C, H, W]."""
    count = network.ordering.count
    chosen = torch.linspace(0, count - 1, min(ANCESTRAL_STEPS, count)).round().long()
    return len(chosen), ~torch.isin(network.ordering.steps, chosen)
