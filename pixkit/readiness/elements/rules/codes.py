"""Both planes of a tensor encoded as integers, on which rules are maxima.

A *code* is 0 where an element is fixed and twice its readiness + 1 where it is not, so the code of a value that reads
several elements is the largest of theirs; where readiness is a set of bits, it is their union. Where an operation skips
some fixed value (a 0 in a product, a -inf in a softmax), elements fixed at that value have code -1 for it.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixkit.readiness.elements.marks import Call, Marks, Rule

Code = Tensor
NOTHING = -1
"""The code of a fixed element that an operation skips."""


def of(marks: Marks, passed: float | None = None) -> Code:
    """The code of `marks`; NOTHING where it is fixed at the value `passed`. Expanded dimensions stay expanded."""
    planes = [marks.ready, marks.fixed] + ([] if passed is None or not marks.any_fixed else [marks.value])
    narrow = [slice(1) if all(p.stride(d) == 0 for p in planes) else slice(None) for d in range(marks.ready.dim())]
    ready, fixed, *value = (plane[tuple(narrow)] for plane in planes)
    code = torch.where(fixed, 0, 2 * ready + 1)
    if value:
        code = torch.where(fixed & (value[0] == passed), NOTHING, code)
    return code.expand(marks.ready.shape)


def marks(code: Code, result: Tensor) -> Marks:
    """The inverse of `of`; `result` is the real result, whose values count where it is fixed."""
    return Marks(code.clamp_min(0) >> 1, code <= 0, result)


def join(*codes: Code | None) -> Code:
    """The code of a value that reads all of `codes` element by element, broadcast."""
    return functools.reduce(torch.maximum, [code for code in codes if code is not None])


def product(*codes: Code) -> Code:
    """The code of the product of `codes`, in which NOTHING is a fixed 0 and absorbs."""
    nothing = functools.reduce(torch.logical_or, [code < 0 for code in codes])
    return join(*codes).masked_fill(nothing, NOTHING)


def broadcast_shapes(*shapes: Sequence[int]) -> torch.Size:
    """`torch.broadcast_shapes`, which would import a computer algebra system at its first call."""
    return torch.Size(np.broadcast_shapes(*map(tuple, shapes)))


def latest(code: Code, dims: Sequence[int] | None = None) -> Code:
    """The largest code along `dims` (all if None), which are kept with length 1; 0 if there is none."""
    dims = range(code.dim()) if dims is None else dims
    empty = [d for d in dims if code.dim() and code.shape[d] == 0]
    if empty:
        return code.new_zeros([1 if d in {e % code.dim() for e in dims} else n for d, n in enumerate(code.shape)])
    alike = [d for d in dims if code.dim() and code.stride(d) == 0]
    for d in alike:
        code = code.narrow(d, 0, 1)
    return code.amax(tuple(dims), keepdim=True) if len(alike) < len(dims) else code


def whole(code: Code) -> Code:
    """The largest code of all elements, a single number."""
    return latest(code).amax()


def ranked(code: Code) -> tuple[Tensor, Tensor]:
    """Levels in ascending order, beginning with 0, and a float64 plane with the number of each element's level.

    For operations that torch does not have for integers, or not for large ones.
    """
    flat = torch.cat([code.new_zeros(1), code.reshape(-1)])
    levels, numbers = torch.unique(flat, return_inverse=True)
    return levels, numbers[1:].double().view(code.shape)


@functools.cache
def _defaults(func: Any) -> Mapping[str, Any]:
    return {a.name: a.default_value if a.has_default_value() else None for a in func._schema.arguments}


class Given:
    """The arguments of a call by their names in the schema, defaults included.

    >>> given["dim"], given.code("self"), given.code("weight", passed=0)
    """

    def __init__(self, call: Call) -> None:
        defaults = _defaults(call.func)
        self.call = call
        self.arguments = {**defaults, **dict(zip(defaults, call.args, strict=False)), **call.kwargs}

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def __contains__(self, name: str) -> bool:
        return name in self.arguments

    def code(self, name: str, passed: float | None = None) -> Code:
        """The code of a tensor or number that is present."""
        found = self.arguments[name]
        if isinstance(found, Marks):
            return of(found, passed)
        return torch.tensor(self.nothing if found == passed else 0, device=self.call.results[0].device)

    def optional(self, name: str, passed: float | None = None) -> Code | None:
        """The code of an argument that may be None or, in some overloads, missing."""
        return None if self.arguments.get(name) is None else self.code(name, passed)

    @property
    def nothing(self) -> int:
        """The code of values that the operation itself skips, such as padding; a constant's code if it may not skip."""
        return NOTHING if self.call.settles else 0

    @property
    def shape(self) -> torch.Size:
        """The shape of the first result."""
        return self.call.results[0].shape


CodeRule = Callable[[Given], Code | Sequence[Code]]
"""From the arguments, one code for all results or a code for each, of shapes that broadcast to the results'."""


def rule(code_rule: CodeRule) -> Rule:
    """`code_rule` as a rule on marks."""

    @functools.wraps(code_rule)
    def on_marks(call: Call) -> Sequence[Marks]:
        found = code_rule(Given(call))
        codes = [found] * len(call.results) if isinstance(found, Tensor) else found
        pairs = zip(codes, call.results, strict=True)
        return [marks(c.expand(r.shape) if r.numel() else c.new_zeros(r.shape), r) for c, r in pairs]

    return on_marks


def table(rules: Mapping[str, CodeRule]) -> dict[Any, Rule]:
    """`rules` keyed by the packet of `torch.ops.aten`, without operations that this version of torch lacks."""
    return {getattr(torch.ops.aten, name): rule(r) for name, r in rules.items() if hasattr(torch.ops.aten, name)}
