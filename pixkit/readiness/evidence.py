"""Does it really leak? Input elements are changed, and outputs that may not depend on them are watched."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pixkit.readiness.asked import Question
from pixkit.readiness.proof import Evidence, Index

ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-4}
"""Of the largest output: what rounding may move."""
THRESHOLDS = 6
"""So many different deadlines are tried."""


@dataclass(frozen=True)
class Trial:
    """A module as it is tried: a copy in some precision, with its own parameters or others.

    Attributes:
        module: the copy.
        x: an input of that precision.
        dtype: the precision.
        how: the same in words.
    """

    module: Any
    x: Tensor
    dtype: torch.dtype
    how: str


class Watch:
    """Looks for an output element that moves when what it may not depend on is changed.

    Args:
        question: module, input and steps.
        allowed: readiness that output elements may have.
        late: bool, output elements that are later.
        fixed: names of parameters that keep their values.
    """

    def __init__(self, question: Question, allowed: Tensor, late: Tensor, fixed: Sequence[str]) -> None:
        self.question, self.allowed, self.late, self.fixed = question, allowed, late, frozenset(fixed)

    def seen(self, pair: tuple[Index, Index] | None, *, large: bool) -> Evidence | None:
        """A change that moved something, or None.

        Args:
            pair: an input and an output element to begin with.
            large: whether inputs are made large, too: where a large finite mask is, they overcome it.
        """
        for trial in self._trials(((0, 1.0), (1, 1.0), (2, 1.0))):
            before = self._run(trial, trial.x)
            if before is None:
                continue
            for changed, watched in self._changes(pair):
                for swapped in _swaps(trial.x, changed, large):
                    after = self._run(trial, swapped)
                    moved = None if after is None else _moved(before, after, trial.dtype, watched)
                    if moved is not None and after is not None:
                        return self._narrowed(trial, before, changed, moved, (swapped, after))
        return None

    def influence(self) -> float:
        """The largest change of an output that may not change, inputs and parameters made large, too."""
        largest = 0.0
        for trial in self._trials(((0, 1.0), (1, 1.0), (0, 1e2), (1, 1e2), (0, 1e4), (1, 1e4))):
            for scale in (1.0, 1e2, 1e4) if trial.x.is_floating_point() else (1.0,):
                x = trial.x * scale if scale != 1 else trial.x
                before = self._run(trial, x)
                if before is None:
                    continue
                for changed, watched in self._changes(None):
                    for swapped in _swaps(x, changed, True):
                        after = self._run(trial, swapped)
                        if after is not None:
                            change = (after - before).abs()[watched & before.isfinite() & after.isfinite()]
                            largest = max(largest, float(change.max()) if change.numel() else 0.0)
        return largest

    def _changes(self, pair: tuple[Index, Index] | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Input elements to change, and output elements that may not depend on any of them."""
        if pair is not None:
            changed, watched = torch.zeros_like(self.question.steps, dtype=torch.bool), torch.zeros_like(self.late)
            changed[pair[0]], watched[pair[1]] = True, True
            yield changed, watched
        deadlines = self.allowed[self.late].unique().tolist()
        for deadline in deadlines[:: -(-len(deadlines) // THRESHOLDS)] if deadlines else ():
            yield self.question.steps >= deadline, self.late & (self.allowed == deadline)

    def _narrowed(
        self, trial: Trial, before: Tensor, changed: Tensor, moved: Index, last: tuple[Tensor, Tensor]
    ) -> Evidence:
        """The same with fewer elements changed, by halving."""
        places, (swapped, after) = changed.flatten().nonzero().flatten(), last
        watched = torch.zeros_like(self.late)
        watched[moved] = True
        while len(places) > 1:
            for half in places.chunk(2):
                one = torch.zeros_like(changed).flatten()
                one[half] = True
                tried = torch.where(one.view(changed.shape), swapped, trial.x)
                result = self._run(trial, tried)
                if result is not None and _moved(before, result, trial.dtype, watched) is not None:
                    places, after = half, result
                    break
            else:
                break
        first = tuple(int(i) for i in torch.unravel_index(places[0], changed.shape))
        return Evidence(first, moved, float(before[moved]), float(after[moved]), len(places), trial.how)

    def _run(self, trial: Trial, x: Tensor) -> Tensor | None:
        """The output asked about, in float64; None if the module fails, as a foreign one may in another precision."""
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                given = self.question.chosen(trial.module(x.clone())).detach().cpu()
        except Exception:
            return None
        return given.to(torch.float64) if given.shape == self.allowed.shape and not given.is_complex() else None

    def _trials(self, draws: Sequence[tuple[int, float]]) -> Iterator[Trial]:
        """Copies of the module: draw 0 has its own parameters, others have random ones; all of them scaled."""
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
            except Exception:  # what cannot be copied is tried as it is
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
    """Parameters drawn anew, as large as an initialiser would have them, but those that are fixed."""
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


def _swaps(x: Tensor, changed: Tensor, large: bool) -> Iterator[Tensor]:
    """The input with some elements changed, in several ways: others of its values, and for floats large ones."""
    generator = torch.Generator().manual_seed(1)
    if x.dtype == torch.bool:
        yield torch.where(changed, ~x, x)
    elif x.is_floating_point():
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype)
        for other in (x + noise, -x - 1, *((noise * 100, noise * 1e4) if large else ())):
            yield torch.where(changed, other, x)
    elif x.is_complex():
        yield torch.where(changed, -x - 1, x)
    else:
        low, high = int(x.min()), int(x.max())
        for other in (high + low - x, torch.randint(low, high + 1, x.shape, generator=generator), *_ends(low, high)):
            yield torch.where(changed, other, x)


def _ends(low: int, high: int) -> Sequence[Tensor]:
    """Levels that an input may have, if not known to: a module that refuses one is asked another."""
    return [torch.tensor(value) for value in dict.fromkeys((low, high, 0, 1))]


def _moved(before: Tensor, after: Tensor, dtype: torch.dtype, watched: Tensor) -> Index | None:
    """The first watched element that moved by more than rounding does; what is not finite is no evidence."""
    finite = before.isfinite() & after.isfinite()
    largest = before[finite].abs().max() if bool(finite.any()) else before.new_zeros(())
    moved = finite & watched & ((after - before).abs() > ROUNDING[dtype] * largest)
    return tuple(int(i) for i in moved.nonzero()[0]) if bool(moved.any()) else None
