"""The sign of a zero computed from inputs: a fixed 0 hides what it is multiplied by, but not its sign.

x + 0 * y is x for all y, except that where x is -0.0 it is 0.0 or -0.0, depending on y. Most operations return the same
for both, or something infinite for one of them. For the others, what is not fixed is as late as all that a zero has
hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pixkit.readiness.elements.marks import Marks, within
from pixkit.readiness.elements.operation import Description
from pixkit.readiness.elements.storages import Storages
from pixkit.readiness.elements.tape import Record

FACTORS = ("alpha", "beta", "value")
"""Arguments that hide as a fixed 0 does."""


def latest_sign(tape: Iterable[Record], storages: Storages) -> int:
    """The latest readiness of what operations have hidden by a fixed 0; 0 if there is none."""
    late = 0
    for record in tape:
        read = record.call.marks
        if _factored(record.call.kwargs) or any(bool(each.where_fixed(0).any()) for each in read):
            settled = (storages.of(each.marks.value).settled for each in record.inputs)
            late = max(late, *(each.latest for each in read if not each.all_fixed), *settled, 0)
    return late


def told(
    about: Description, tape: Iterable[Record], storages: Storages, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Weaken the marks of arguments in which an operation distinguishes 0.0 from -0.0: less is known, and later."""
    if not about.signed:
        return args, kwargs
    late = latest_sign(tape, storages) if about.telling or about.cuts else 0

    def signed(n: int, marks: Marks) -> Marks:
        marks = storages.signed(marks)
        tells = n in about.telling or (about.cuts and marks.value.is_complex())
        return with_sign(marks, late) if tells and late else marks

    looked = (within(part, partial(signed, n)) if n in about.signed else part for n, part in enumerate(args))
    return tuple(looked), within(kwargs, partial(signed, len(args)))


def with_sign(marks: Marks, late: int) -> Marks:
    """Marks as seen by something that tells 0.0 from -0.0, if signs of unfixed elements need steps before `late`."""
    return Marks(torch.where(marks.fixed, marks.ready, marks.ready.clamp(min=late)), marks.fixed, marks.value)


def tells_sign(marks: Marks, view: Tensor, late: int) -> bool:
    """Whether a view may reveal a sign that needs steps before `late`: its numbers differ between 0.0 and -0.0."""
    if _size(marks.value) in (0, _size(view)):
        return False
    return bool((~marks.fixed & (marks.ready < late)).any())


def _size(tensor: Tensor) -> int:
    """Bytes of a floating-point number; 0 for other types."""
    number = tensor.is_floating_point() or tensor.is_complex()
    return number * tensor.element_size() // (2 if tensor.is_complex() else 1)


def _factored(kwargs: Mapping[str, Any]) -> bool:
    return any(isinstance(kwargs.get(name), int | float) and kwargs[name] == 0 for name in FACTORS)
