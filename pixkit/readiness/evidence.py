"""Evidence of leaks: change input elements and watch outputs that must not depend on them."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pixkit.randomness import seed_torch
from pixkit.readiness.asked import Question
from pixkit.readiness.elements.untouched import unwritten
from pixkit.readiness.proof import Evidence, Index
from pixkit.readiness.settings import memory_filled, uncompiled

ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-4}
"""Relative to the largest output over all inputs: how far rounding may move an output."""
THRESHOLDS = 6
"""How many different deadlines are tried."""
LARGER = (1e2, -1e2, 1e4, -1e4)
"""Factors by which inputs are scaled, to overcome a mask or to cross a threshold on either side."""


@dataclass(frozen=True)
class Trial:
    """One variant of a module to try: a copy in some precision, with its own or other parameters.

    Attributes:
        module: the copy.
        x: an input of that precision.
        dtype: the precision.
        how: a description of the variant.
    """

    module: Any
    x: Tensor
    dtype: torch.dtype
    how: str


class Watch:
    """Looks for an output element that moves when an input that it must not depend on changes.

    Args:
        question: module, input and steps.
        allowed: the readiness that output elements may have.
        late: bool, the output elements that are later.
        fixed: names of parameters that keep their values.
    """

    def __init__(self, question: Question, allowed: Tensor, late: Tensor, fixed: Sequence[str]) -> None:
        self.question, self.allowed, self.late, self.fixed = question, allowed, late, frozenset(fixed)

    def seen(self, pair: tuple[Index, Index] | None, *, large: bool) -> Evidence | None:
        """Return a change that moved an output, or None.

        Args:
            pair: an input and an output element to start with.
            large: whether to try large inputs as well: they overcome large finite masks.
        """
        trials = self._trials([(0, 1.0), (1, 1.0), (2, 1.0)])
        return self._seen(trials, THRESHOLDS, pair, LARGER if large else ())

    def glanced(self) -> Evidence | None:
        """Like `seen` with a few tries, the module itself first: shows that something escaped the proof."""
        own = Trial(self.question.module, self.question.x.detach(), torch.float32, "the module itself")
        return self._seen(itertools.chain([own], self._trials([(1, 1.0)])), 2, None, ())

    def _seen(
        self, trials: Iterable[Trial], thresholds: int, pair: tuple[Index, Index] | None, larger: Sequence[float]
    ) -> Evidence | None:
        for trial in trials:
            before = self._run(trial, trial.x)  # again: the first call sees state left by another trial
            if before is None:
                continue
            others = [*_others(trial.x, larger)]
            for changed, watched in self._changes(pair, thresholds):
                for other in others:
                    swapped = torch.where(changed, other, trial.x)
                    after = self._run(trial, swapped)
                    if after is None or _moved(before, after, 0.0, watched) is None:
                        continue
                    rounding = self._rounding(trial, before, after, other)
                    moved = _moved(before, after, rounding, watched)
                    if moved is not None:
                        return self._narrowed(trial, before, moved, (changed, swapped, after), rounding)
        return None

    def _rounding(self, trial: Trial, before: Tensor, after: Tensor, other: Tensor) -> float:
        """How much may have moved by rounding alone: a small fraction of the effect of replacing the whole input.

        Infinite if the module's output differs when it is called again with the original input.
        """
        again, whole = self._run(trial, trial.x), self._run(trial, other)
        alike = ROUNDING[trial.dtype] * _largest(before)
        if again is None or _moved(before, again, alike, torch.ones_like(self.late)) is not None:
            return math.inf
        largest = max(_largest(each) for each in (before, after, *([] if whole is None else [whole])))
        return ROUNDING[trial.dtype] * largest

    def influence(self) -> float:
        """The largest change found in an output that must not change, trying large inputs and parameters."""
        largest = 0.0
        for trial in self._trials(((0, 1.0), (1, 1e2), (1, 1e4))):
            for scale in (1.0, 1e2) if trial.x.is_floating_point() else (1.0,):
                x = trial.x * scale if scale != 1 else trial.x
                before = self._run(trial, x)
                if before is None:
                    continue
                others = [*_others(x, LARGER)]
                for changed, watched in self._changes(None, 2):
                    for other in others:
                        after = self._run(trial, torch.where(changed, other, x))
                        if after is not None:
                            change = (after - before).abs()[watched & before.isfinite() & after.isfinite()]
                            largest = max(largest, float(change.max()) if change.numel() else 0.0)
        return largest

    def _changes(self, pair: tuple[Index, Index] | None, thresholds: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield input elements to change, and output elements that must not depend on any of them."""
        if pair is not None:
            changed, watched = torch.zeros_like(self.question.steps, dtype=torch.bool), torch.zeros_like(self.late)
            changed[pair[0]], watched[pair[1]] = True, True
            yield changed, watched
        allowed = self.allowed[self.late].unique()
        deadlines = allowed[allowed <= self.question.steps.max()].tolist() if self.question.steps.numel() else []
        for deadline in deadlines[:: -(-len(deadlines) // thresholds)] if deadlines else ():
            yield self.question.steps >= deadline, self.late & (self.allowed == deadline)

    def _narrowed(
        self,
        trial: Trial,
        before: Tensor,
        moved: Index,
        last: tuple[Tensor, Tensor, Tensor],
        rounding: float,
    ) -> Evidence:
        """Reduce the number of changed elements by bisection."""
        changed, swapped, after = last
        places = changed.flatten().nonzero().flatten()
        watched = torch.zeros_like(self.late)
        watched[moved] = True
        while len(places) > 1:
            for half in places.chunk(2):
                one = torch.zeros_like(changed).flatten()
                one[half] = True
                tried = torch.where(one.view(changed.shape), swapped, trial.x)
                result = self._run(trial, tried)
                if result is not None and _moved(before, result, rounding, watched) is not None:
                    places, after = half, result
                    break
            else:
                break
        first = tuple(int(i) for i in torch.unravel_index(places[0], changed.shape))
        return Evidence(first, moved, float(before[moved]), float(after[moved]), len(places), trial.how)

    def _run(self, trial: Trial, x: Tensor) -> Tensor | None:
        """The output in question, in float64; None if the module fails, as a foreign one may in another precision."""
        try:
            own = trial.module is self.question.module
            kept = unwritten(trial.module) if own else torch.random.fork_rng(devices=[])
            # As in `run`: with float64, torch's faster kernel (2.13) misreads masks that are made in float32.
            with (
                torch.inference_mode(False),
                torch.no_grad(),
                sdpa_kernel(SDPBackend.MATH),
                memory_filled(),
                kept,
                uncompiled(),
            ):
                seed_torch(0, torch.device("cpu"))
                # A separate copy: in-place writes are undone when the context exits.
                given = self.question.chosen(trial.module(x.clone())).detach().cpu().clone()
        except Exception:
            return None
        return given.to(torch.float64) if given.shape == self.allowed.shape and not given.is_complex() else None

    def _trials(self, draws: Sequence[tuple[int, float]]) -> Iterator[Trial]:
        """Yield copies of the module: draw 0 keeps its own parameters, the others have random ones; all are scaled."""
        for seed, scale in draws:
            for dtype in (torch.float64, None):
                trial = self._trial(seed, scale, dtype)
                if trial is not None and self._run(trial, trial.x) is not None:
                    yield trial
                    break

    def _trial(self, seed: int, scale: float, dtype: torch.dtype | None) -> Trial | None:
        module, x = self.question.module, self.question.x.detach().cpu()
        own = "its own parameters" if seed == 0 else "parameters drawn at random"
        if isinstance(module, nn.Module):
            try:
                module = copy.deepcopy(module).to("cpu", dtype)
            except Exception:  # cannot be copied: try the original
                return None if dtype is not None or seed or scale != 1 else Trial(module, x, torch.float32, own)
            _redraw(module, seed, scale, self.fixed)
        elif seed or scale != 1:
            return None
        if dtype is not None and x.is_floating_point():
            x = x.to(dtype)
        precision = torch.float64 if dtype is not None or x.dtype == torch.float64 else torch.float32
        scaled = "" if scale == 1 else f" times {scale:g}"
        return Trial(module, x, precision, f"{str(precision).removeprefix('torch.')}, {own}{scaled}")


def _redraw(module: nn.Module, seed: int, scale: float, fixed: frozenset[str]) -> None:
    """Redraw the parameters, except fixed ones, at the scale that an initialiser would use."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name in fixed or not parameter.is_floating_point():
                continue
            if seed:
                values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(values / max(parameter[0].numel() if parameter.ndim > 1 else 1, 1) ** 0.5)
            if scale != 1:
                parameter.mul_(scale)


def _others(x: Tensor, larger: Sequence[float]) -> Iterator[Tensor]:
    """Yield other inputs of the same kind, with values that occur in it; for floats, scaled by `larger` as well."""
    generator = torch.Generator().manual_seed(1)
    if x.dtype == torch.bool:
        yield ~x
    elif x.is_floating_point():
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        for other in (x.double() + noise, -x.double() - 1, *(noise * scale for scale in larger)):
            yield other.to(x.dtype)
    elif x.is_complex():
        yield -x - 1
    elif x.numel():
        values = x.to(torch.int64)
        low, high = int(values.min()), int(values.max())
        random = torch.randint(low, high + 1, x.shape, generator=generator)
        for other in (high + low - values, random, *_ends(low, high)):
            yield other.to(x.dtype)


def _ends(low: int, high: int) -> Sequence[Tensor]:
    """Levels at the ends of the range, and 0 and 1: a module that refuses some is tried with others."""
    return [torch.tensor(value) for value in dict.fromkeys((low, high, 0, 1))]


def _largest(given: Tensor) -> float:
    finite = given[given.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


def _moved(before: Tensor, after: Tensor, rounding: float, watched: Tensor) -> Index | None:
    """The first watched element that moved by more than rounding does; non-finite values are not evidence."""
    finite = before.isfinite() & after.isfinite()
    moved = finite & watched & ((after - before).abs() > rounding)
    return tuple(int(i) for i in moved.nonzero()[0]) if bool(moved.any()) else None
