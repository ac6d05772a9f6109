"""Values that need no pixel, and which of them do not depend on parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Known:
    """A tensor computed only from parameters, buffers and constants.

    Attributes:
        value: its current value.
        fixed: bool, its shape: whether an element stays the same for all finite parameter values. Values multiplied by
            a fixed zero or masked by a fixed -inf are not read.
        unwritten: bool, its shape: uninitialised memory, which differs from call to call. It may be moved, viewed and
            written to, but not read. None: there is no such element.
    """

    value: Tensor
    fixed: Tensor
    unwritten: Tensor | None = None

    @classmethod
    def constant(cls, value: Tensor) -> Known:
        """A buffer, or a constant that a forward makes."""
        return cls(value, torch.ones(value.shape, dtype=torch.bool))

    @classmethod
    def memory(cls, like: Tensor) -> Known:
        """Uninitialised memory with the shape and type of another tensor."""
        zeros = torch.zeros(like.shape, dtype=like.dtype)
        return cls(zeros, *(torch.ones(like.shape, dtype=torch.bool) for _ in range(2)))

    @property
    def written(self) -> bool:
        """Whether all of it has been written."""
        return self.unwritten is None or not bool(self.unwritten.any())

    def alike(self, change: Callable[[Tensor], Tensor]) -> Known:
        """Change all planes in the same way."""
        unwritten = None if self.unwritten is None else change(self.unwritten)
        return Known(change(self.value), change(self.fixed), unwritten)

    @property
    def all_fixed(self) -> bool:
        """Whether it is independent of all parameters."""
        return bool(self.fixed.all())

    def zeros(self) -> Tensor:
        """Where it is zero for all parameter values, bool."""
        return self.fixed & (self.value == 0).cpu()


COPIES = frozenset(("alias", "detach", "clone", "contiguous", "to", "_to_copy", "type_as", "lift_fresh_copy"))
"""Operations that keep values, perhaps in another type."""


def evaluate(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Apply an operation to known values."""
    operands = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Known)]
    plain = pytree.tree_map(_value, (args, kwargs))
    with torch.no_grad():
        result = function(*plain[0], **plain[1])
    fixed = _fixed(function, args, operands, result) if isinstance(result, Tensor) else None
    if fixed is None:
        settled = all(operand.all_fixed for operand in operands)
        return pytree.tree_map(lambda part: _settled(part, settled), result)
    return Known(result, fixed)


def _value(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, Known) else leaf


def _settled(part: Any, settled: bool) -> Any:
    return Known(part, torch.full(part.shape, settled)) if isinstance(part, Tensor) else part


def _fixed(function: Any, args: tuple[Any, ...], operands: list[Known], result: Tensor) -> Tensor | None:
    """Which elements of an operation's result are fixed; None if that is unknown."""
    name = getattr(getattr(function, "overloadpacket", None), "__name__", "")
    if not operands:
        return None
    if name in ("softmax", "_softmax", "_safe_softmax", "log_softmax"):
        masked = operands[0].fixed & (operands[0].value == -torch.inf).cpu()
        return masked | torch.full(result.shape, operands[0].all_fixed)
    if name in ("where", "masked_fill"):
        return _chosen(name, args)
    if name in COPIES and args[0] is operands[0]:
        return operands[0].fixed.view(result.shape)
    if torch.Tag.pointwise not in getattr(function, "tags", ()):
        return None
    found = torch.ones(result.shape, dtype=torch.bool)
    for operand in operands:
        found = found & operand.fixed
    absorbing = {
        "mul": [operand.zeros() for operand in operands],
        "div": [operand.zeros() for operand in operands[:1] if args[0] is operand],
        "add": [operand.fixed & (operand.value == -torch.inf).cpu() for operand in operands],
        "sub": [operand.fixed & (operand.value == -torch.inf).cpu() for operand in operands[:1] if args[0] is operand],
    }
    for plane in absorbing.get(name, []):
        found = found | plane
    return found


def _chosen(name: str, args: tuple[Any, ...]) -> Tensor:
    """For a fixed condition, only the chosen elements count."""
    fixed = [each.fixed if isinstance(each, Known) else torch.tensor(True) for each in args]
    if name == "masked_fill":
        (_, mask, _), fixed = args, [fixed[1], fixed[2], fixed[0]]
    else:
        mask = args[0]
    chosen = torch.where(mask.value.cpu() if isinstance(mask, Known) else torch.as_tensor(mask), fixed[1], fixed[2])
    return fixed[0] & chosen
