"""Whether to blame a line or its function's caller: a function that is called elsewhere without harm is innocent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pixkit.readiness.elements.tape import Line, Record

Chain = tuple[tuple[str, int], ...]


def responsible(line: Line, records: Sequence[Record], harmless: Callable[[int], bool]) -> Line:
    """The innermost of the lines that led to an operation, its own first, that it shares with no harmless call.

    Args:
        line: the operation's line.
        records: the run's operations.
        harmless: whether the operation with a given number returned nothing late.
    """
    ours = _chain(line.callers)
    ends: dict[Chain, list[int]] = {}
    last: Chain | None = None
    for number, record in enumerate(records):
        chain = _called(record.line, line)
        if chain is not None and chain == last:
            ends[chain][-1] = number
        elif chain is not None:
            ends.setdefault(chain, []).append(number)
        last = chain
    shared = [_common(ours, chain) for chain in ends if chain != ours and all(map(harmless, ends[chain]))]
    return line.callers[max(shared)] if shared and max(shared) < len(ours) else line


def _called(line: Line, function: Line) -> Chain | None:
    """The lines that called a function when a line ran in it, or in a function that it called; None if it did not."""
    stack = (line, *line.callers)
    for place, each in enumerate(stack):
        if (each.file, each.begin, each.function) == (function.file, function.begin, function.function):
            return _chain(stack[place + 1 :])
    return None


def _chain(lines: Sequence[Line]) -> Chain:
    return tuple((each.file, each.number) for each in lines)


def _common(one: Chain, other: Chain) -> int:
    """How many lines two chains have in common, from the innermost outwards."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
