"""The result of `prove`: the verdict, what to blame, and what the proof relies on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from pixkit.errors import UsageError, printable, shorten
from pixkit.readiness.elements.marks import LATEST

Index = tuple[int, ...]
"""An element of a tensor: an index on each axis."""
Several: TypeAlias = tuple[int | slice, ...]
"""Elements of a tensor: an index or a slice on each axis."""
Verdict = Literal["proved", "underflow", "leaks", "unproved"]


@dataclass(frozen=True)
class Line:
    """A line of user code and the operation that it runs.

    Attributes:
        file: its path.
        line: its number.
        function: the enclosing function.
        text: the line, stripped.
        operation: torch's operation, such as ``_softmax``.
        module: path and class of the module that was running.
    """

    file: str
    line: int
    function: str
    text: str
    operation: str
    module: str = ""

    def __str__(self) -> str:
        if not self.file:
            return f"{self.module or 'outside every module'} ({self.operation})"
        return f"{self.file}:{self.line}, in {self.function} ({self.operation}): {self.text}"


@dataclass(frozen=True)
class Step:
    """An element on the path from the input to the output; the input itself has no line.

    Attributes:
        index: its index in the tensor that the operation returned.
        shape: that tensor's shape.
        ready: its readiness; `elements.marks.LATEST` or more if it is unknown.
        line: the line that made it, None for the input.
    """

    index: Index
    shape: tuple[int, ...]
    ready: int
    line: Line | None


@dataclass(frozen=True)
class Reliance:
    """A constant whose zeros, -inf or truth values the proof used.

    Attributes:
        name: the buffer's name, or a description.
        shape: its shape.
        sha256: hash of its values in row-major order: other values need a new proof.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Evidence:
    """A leak that was observed: one element changed and another moved.

    Attributes:
        changed: the input element, or the first of several that were changed together.
        moved: the output element that must not depend on it.
        before: the output element's value before the change.
        after: its value after the change.
        count: how many input elements were changed.
        how: the precision, and whose parameters were used.
    """

    changed: Index
    moved: Index
    before: float
    after: float
    count: int
    how: str

    def __str__(self) -> str:
        more = "" if self.count == 1 else f" and {self.count - 1} later ones"
        change = f"{self.before:.6g} to {self.after:.6g}"
        return f"with input {self.changed}{more} changed, output {self.moved} goes from {change} ({self.how})"


@dataclass(frozen=True)
class Proof:
    """The verdict on a module's causality; made by `prove`.

    Attributes:
        verdict: "proved": no output element can depend on an input that it must not see, for all finite inputs and
            parameters. "leaks": one does, and `evidence` shows it. "underflow": one does in exact arithmetic, through a
            large finite mask, but so little that rounding removes it; `influence` is the largest that was found.
            "unproved": one may, `reasons` say why no more is known, and no change was seen.
        blame: the line that made a late value from values that were in time; None if proved or if no line is known.
        path: elements from the input to the output that is late, each with the line that made it.
        readiness: int64 with the output's shape: 0 if an element needs no input, s + 1 if it may need one of step s but
            none of a later step.
        allowed: int64 with the output's shape: the readiness that each element may have.
        relies_on: buffers and other constants whose zeros, -inf and conditions were used.
        reasons: what prevents a proof.
        evidence: for a leak, the change that was seen.
        influence: for an underflow, the largest change found in an output, with large inputs and weights among those
            tried.
        operations: how many operations were followed.
    """

    verdict: Verdict
    blame: Line | None
    path: tuple[Step, ...]
    readiness: Tensor = field(repr=False)
    allowed: Tensor = field(repr=False)
    relies_on: tuple[Reliance, ...] = ()
    reasons: tuple[str, ...] = ()
    evidence: Evidence | None = None
    influence: float | None = None
    operations: int = 0
    _fields: Callable[[Several], Tensor] | None = field(default=None, repr=False, compare=False)
    _steps: Tensor | None = field(default=None, repr=False, compare=False)

    def receptive_field(self, index: Several) -> Tensor:
        """The input elements that one or several output elements may depend on, bool with the input's shape.

        The operations' rules are run again, once per sixty or so input elements.

        Args:
            index: an index or a slice on each axis.

        Raises:
            UsageError: if the output has no such element.
        """
        _require_index(index, self.readiness.shape)
        assert self._fields is not None
        return self._fields(tuple(index))

    def blind_spot(self, index: Index) -> Tensor:
        """The input elements that an output element may lawfully depend on but never does, bool with the input's shape.

        Raises:
            UsageError: if the output has no such element.
        """
        seen = self.receptive_field(index)
        assert self._steps is not None
        return (self._steps < self.allowed[tuple(index)]) & ~seen

    def dump(self) -> dict[str, Any]:
        """Return the proof as plain data that JSON can hold."""
        return {
            "verdict": self.verdict,
            "blame": None if self.blame is None else vars(self.blame).copy(),
            "path": [
                {**vars(step), "line": None if step.line is None else vars(step.line).copy()} for step in self.path
            ],
            "readiness": self.readiness.tolist(),
            "allowed": self.allowed.tolist(),
            "relies_on": [vars(each).copy() for each in self.relies_on],
            "reasons": list(self.reasons),
            "evidence": None if self.evidence is None else vars(self.evidence).copy(),
            "influence": self.influence,
            "operations": self.operations,
        }

    def __repr__(self) -> str:
        blamed = "" if self.blame is None else f", {self.blame.file}:{self.blame.line} ({self.blame.operation})"
        return f"<Proof: {self.verdict}{blamed}; {self.operations} operations>"

    def __str__(self) -> str:
        return "\n".join(shorten(printable(row), 400) for row in self._rows())

    def _rows(self) -> list[str]:
        rows = [f"{self.verdict}: {_WORDS[self.verdict]}"]
        if self.blame is not None:
            within = f", in {self.blame.module}" if self.blame.module and self.blame.file else ""
            rows += [f"  blamed: {self.blame}{within}"]
        rows += [f"  {reason}" for reason in self.reasons]
        if self.evidence is not None:
            rows += [f"  seen: {self.evidence}"]
        if self.influence is not None:
            rows += [f"  largest influence found, with large inputs and weights: {self.influence:.3g}"]
        if self.path:
            last = self.path[-1]
            allowed = int(self.allowed[last.index])
            rows += [f"  output {last.index} may be ready at {allowed}, and is {_when(last.ready)}, by this path:"]
            rows += [_on_path(step, self.blame) for step in self.path]
        for each in self.relies_on:
            rows += [f"  relies on {each.name} {list(each.shape)}, SHA-256 {each.sha256[:16]}..."]
        return rows


def _when(ready: int) -> str:
    return f"at {ready}" if ready < LATEST else "at an unknown step"


def _on_path(step: Step, blame: Line | None) -> str:
    if step.line is None:
        return f"    input {step.index}, known at {step.ready}"
    mark = "  <-- blamed" if step.line == blame else ""
    line = step.line
    where = f"line {line.line}: {line.text}" if line.file else line.module
    return f"    {line.operation} {step.index} of {list(step.shape)}, ready {_when(step.ready)}, {where}{mark}"


_WORDS = {
    "proved": "no output element can depend on an input element that it must not see",
    "leaks": "an output element depends on an input element that it must not see",
    "underflow": "an output element depends on one that it must not see, but so little that rounding removes it",
    "unproved": "an output element may depend on one that it must not see, though no such change was observed",
}


def _require_index(index: Several, shape: torch.Size) -> None:
    if len(index) != len(shape) or not all(
        isinstance(place, slice) or -size <= place < size for place, size in zip(index, shape, strict=True)
    ):
        raise UsageError(
            "the output has no such element", where="index", found=str(tuple(index)), expected=f"one of {list(shape)}"
        )
