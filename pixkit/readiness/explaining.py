"""Why an output is late: the way to it, the line to blame, and masks that are large and finite."""

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
"""A fixed number below it is a mask: exp of it is lost beside 1 in float64, or nearly."""
WORDS = {
    "host": "values that are not constant are taken to Python",
    "shape": "a shape depends on values that are not constant",
    "unknown": "nobody knows what this operation reads, so that it is taken to read everything",
    "random": "not deterministic in the mode that the module is in: random numbers are drawn",
    "unwritten": "not deterministic: memory is read in which nothing has been written",
    "otherwise": "the module does something else in another call, in which its operations are not followed",
    "kept": "the module keeps something else for its next call after each, so that a later one may do something else "
    "(a count may be a buffer)",
    "memory": "values are reached by their address",
    "failed": "the module fails when its operations are followed",
}


@dataclass(frozen=True)
class Explanation:
    """Why an output is late.

    Attributes:
        path: elements from the input to the output.
        blame: who made late what was in time.
        words: what there is to say of it.
        pair: the input element and the output element, None if the path does not begin at the input.
        mask: the line of a large finite mask on the way, if there is one.
    """

    path: tuple[Step, ...]
    blame: Line
    words: tuple[str, ...]
    pair: tuple[Index, Index] | None
    mask: Line | None


def explain(asked: Question, run: Run, output: tape.Held, allowed: Tensor) -> Explanation | None:
    """Of the output elements that are late, why the one in the middle of those that are so most is.

    None if no operation made it late: the output is the input.
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
    path[-1] = replace(path[-1], index=index, shape=output.place.shape)  # as the module gave it, through views
    words = ("every output sees its own input: nothing hides it",) if leak.sees_itself() else ()
    mask, value = _finite_mask(run.tape, way[-1].number)
    if mask is not None:
        words = (
            *words,
            f"a mask of {value:g} is finite: what it hides is multiplied by exp({value:g}), which is not 0",
        )
    pair = None if begin is None else (begin, index)
    return Explanation(tuple(path), blamed, words, pair, mask)


def _telling(ready: Tensor, allowed: Tensor) -> Index:
    """Of the elements that are late by most, the one in the middle: before and behind it is what may be read."""
    excess = torch.where(ready >= LATEST, LATEST, ready - allowed)
    worst = (excess == excess.max()).nonzero()
    if not allowed.ndim:
        return ()
    deadlines = allowed[tuple(worst.T)]
    middle = deadlines.unique()
    return tuple(int(i) for i in worst[(deadlines == middle[len(middle) // 2]).nonzero()[0, 0]])


def _finite_mask(records: Sequence[tape.Record], last: int) -> tuple[Line | None, float]:
    """The last operation before a softmax that put a large finite number, a constant, where something varies."""
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
    """The lowest finite number among fixed elements, or the highest one's negative; 0 if there is none."""
    if not marks.value.is_floating_point() or not marks.any_fixed:
        return 0.0
    values = marks.value.detach()[marks.fixed]
    values = values[values.isfinite()]
    values = -values if subtracted else values
    return float(values.min()) if values.numel() else 0.0


def said_of(noted: Iterable[Noted]) -> Iterator[str]:
    """What nothing can be proved of, in words, a line each."""
    for each in noted:
        line = line_at(each.line, each.op)
        yield f"{WORDS.get(each.kind, each.kind)}: {line}"


def line_at(line: tape.Line, op: str) -> Line:
    """A line of the user's code and the operation that it ran, by its short name."""
    name = op.removeprefix("aten.").partition(".")[0] if op.startswith("aten.") else op
    text = line.text.partition("  #")[0].strip()
    return Line(line.file, line.number, line.function, text or line.module, name, line.module)


def field_of(run: Run, output: Place, shape: torch.Size) -> Callable[[Several], Tensor]:
    """What finds the input elements that output elements may depend on: the rules run anew for many at once."""

    def read_from(groups: Sequence[Tensor], index: Several) -> int:
        """Which groups of input elements are read from, a bit for each."""
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
        with torch._C.DisableTorchFunction():  # not `plainly`: rules are run in a mode
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
