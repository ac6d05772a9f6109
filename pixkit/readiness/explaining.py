"""Why an output is late: the path to it, the line to blame, and masks that are large but finite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pixkit.readiness.asked import Question
from pixkit.readiness.elements import tape
from pixkit.readiness.elements.blame import Leak
from pixkit.readiness.elements.homes import Homes
from pixkit.readiness.elements.marks import LATEST, Marks
from pixkit.readiness.elements.notes import Noted
from pixkit.readiness.elements.path import way_back
from pixkit.readiness.elements.planes import Place
from pixkit.readiness.elements.replay import Carried
from pixkit.readiness.elements.run import Run
from pixkit.readiness.elements.slots import ROWS
from pixkit.readiness.elements.unions import BITS, in_any, united
from pixkit.readiness.proof import Index, Line, Several, Step

LARGE = -30.0
"""A fixed number below this is a mask: its exp is lost, or almost lost, next to 1 in float64."""
WORDS = {
    "host": "values that are not constant are passed to Python",
    "shape": "a shape depends on values that are not constant",
    "unknown": "it is unknown what this operation reads, so it is assumed to read everything",
    "random": "not deterministic in the module's current mode: random numbers are drawn",
    "unwritten": "not deterministic: uninitialised memory is read",
    "otherwise": "the module behaves differently in a call whose operations are not followed",
    "kept": "the module's state differs after every call, so that a later call may behave differently "
    "(a count may be a buffer)",
    "memory": "values are accessed through their address",
    "failed": "the module fails when its operations are followed",
}


@dataclass(frozen=True)
class Explanation:
    """Why an output is late.

    Attributes:
        path: elements from the input to the output.
        blame: the operation that made a late value from values that were in time.
        words: remarks on the cause.
        pair: the input element and the output element; None if the path does not begin at the input.
        mask: the line of a large finite mask on the path, if any.
    """

    path: tuple[Step, ...]
    blame: Line
    words: tuple[str, ...]
    pair: tuple[Index, Index] | None
    mask: Line | None


def explain(asked: Question, run: Run, output: tape.Held, allowed: Tensor) -> Explanation | None:
    """Explain the output element that is latest (the middle one, if there are several).

    Returns None if no operation made it late, that is, if the output is the input.
    """
    index = _telling(output.marks.ready.cpu(), allowed)
    assert run.start is not None
    way, begin = way_back(run.tape, run.start, output.place, index)
    if not way:
        return None
    step = int(allowed[index]) - (0 if asked.strict else 1)
    homes = Homes(run.tape, run.views, run.start, asked.steps)
    leak = Leak(run.tape, run.views, way, homes, output, index, step, asked.strict)
    blamed = line_at(*leak.blamed())
    path = [] if begin is None else [Step(begin, tuple(asked.x.shape), int(asked.steps[begin]) + 1, None)]
    for each in way:
        record, (place, at) = run.tape[each.number], each.result
        held = record.results[place]
        path.append(Step(at, held.place.shape, int(held.marks.ready[at]), line_at(record.line, record.op)))
    path[-1] = replace(path[-1], index=index, shape=output.place.shape)  # as the module returned it, through views
    words = ("every output sees its own input: nothing hides it",) if leak.sees_itself() else ()
    mask, value = _finite_mask(run.tape, way[-1].number)
    if mask is not None:
        words = (
            *words,
            f"a mask of {value:g} is finite: the values that it hides are multiplied by exp({value:g}), which is not 0",
        )
    pair = None if begin is None else (begin, index)
    return Explanation(tuple(path), blamed, words, pair, mask)


def _telling(ready: Tensor, allowed: Tensor) -> Index:
    """The middle one of the latest elements: it is surrounded by elements that may be read."""
    excess = torch.where(ready >= LATEST, LATEST, ready - allowed)
    worst = (excess == excess.max()).nonzero()
    if not allowed.ndim:
        return ()
    deadlines = allowed[tuple(worst.T)]
    middle = deadlines.unique()
    return tuple(int(i) for i in worst[(deadlines == middle[len(middle) // 2]).nonzero()[0, 0]])


def _finite_mask(records: Sequence[tape.Record], last: int) -> tuple[Line | None, float]:
    """The last operation before a softmax that wrote a large finite constant where other elements vary."""
    found: tuple[Line | None, float] = (None, 0.0)
    candidate = found
    for record in records[: last + 1]:
        if record.call.func.overloadpacket.__name__ in {*ROWS, "exp", "sigmoid"}:
            found = candidate if candidate[0] is not None else found
            continue
        held = [each.marks for each in (*record.inputs, *record.results)]
        if all(each.all_fixed for each in held):
            continue
        subtracted = record.call.func.overloadpacket.__name__ in ("sub", "rsub")
        lowest = min((_lowest(each, subtracted) for each in held), default=0.0)
        if lowest < LARGE:
            candidate = line_at(record.line, record.op), lowest
    return found


def _lowest(marks: Marks, subtracted: bool) -> float:
    """The lowest finite number among the fixed elements, or minus the highest; 0 if there is none."""
    if not marks.value.is_floating_point() or not marks.any_fixed:
        return 0.0
    values = marks.value.detach()[marks.fixed]
    values = values[values.isfinite()]
    values = -values if subtracted else values
    return float(values.min()) if values.numel() else 0.0


def said_of(noted: Iterable[Noted]) -> Iterator[str]:
    """Describe what prevents a proof, one line each."""
    for each in noted:
        line = line_at(each.line, each.op)
        yield f"{WORDS.get(each.kind, each.kind)}: {line}"


def line_at(line: tape.Line, op: str) -> Line:
    """A line of user code with the short name of the operation that it ran."""
    name = op.removeprefix("aten.").partition(".")[0] if op.startswith("aten.") else op
    text = line.text.partition("  #")[0].strip()
    return Line(line.file, line.number, line.function, text or line.module, name, line.module)


def field_of(run: Run, output: Place, shape: torch.Size) -> Callable[[Several], Tensor]:
    """Return a function that finds the input elements which output elements may depend on, for many at once."""

    def read_from(groups: Sequence[Tensor], index: Several) -> int:
        """Which groups of input elements are read, one bit each."""
        assert run.start is not None
        carried = Carried()
        chosen = torch.zeros(shape.numel(), dtype=torch.int64)
        for number, group in enumerate(groups):
            chosen[group] = 1 << number
        carried.write(run.start, chosen.view(shape))
        for record in run.tape:
            inputs = [carried.read(held.place) for held in record.inputs]
            if any(bool(each.any()) for each in inputs):
                given = united(record, inputs)
            else:
                given = [torch.zeros((), dtype=torch.int64)] * len(record.results)
            for held, values in zip(record.results, given, strict=False):
                carried.write(held.place, values)
        return in_any([carried.read(output)[index]])

    def field(index: Several) -> Tensor:
        seen = torch.zeros(shape.numel(), dtype=torch.bool)
        with torch._C.DisableTorchFunction():  # not `plainly`: rules run in a mode
            parts = [*torch.arange(shape.numel()).chunk(BITS)] if shape.numel() else []
            while parts:
                groups, parts = parts[:BITS], parts[BITS:]
                read = read_from(groups, index)
                for number, group in enumerate(groups):
                    if read >> number & 1 and len(group) == 1:
                        seen[group] = True
                    elif read >> number & 1:
                        parts += group.chunk(BITS)
        return seen.view(shape)

    return field
