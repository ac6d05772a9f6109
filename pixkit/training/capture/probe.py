"""Find what keeps a loss from being replayed while computing it once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from pixkit.modes import Mode

READS = frozenset(
    {
        *("_local_scalar_dense", "equal", "is_nonzero", "nonzero", "nonzero_numpy", "masked_select", "unique_dim"),
        *("_unique", "_unique2", "unique_consecutive", "unique_dim_consecutive", "bincount", "allclose"),
    }
)
"""Operations whose result, or its size, the host has to wait for."""
COPIES = frozenset({"_to_copy", "copy_", "copy"})
INDEXING = frozenset({"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"})


class Probe(Mode):
    """While entered, inspects every operation, forward and backward.

    Attributes:
        obstacle: the first thing that would be frozen in a replay, or that cannot be recorded; None if there is none.
    """

    def __init__(self, *, draws: bool = False) -> None:
        """With `draws`, random numbers drawn on the CPU are not an obstacle."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.obstacle: str | None = None
        self._draws = draws

    def found(self, what: str) -> None:
        """Record an obstacle, if it is the first."""
        self.obstacle = self.obstacle or what

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Inspect an operation and run it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        name = func._schema.name.removeprefix("aten::")
        if (what := self._looked_at(func, name, args, given, made)) is not None:
            self.found(f"{what} ({func})")
        return out

    def _looked_at(self, func: Any, name: str, args: Any, given: list[Tensor], made: list[Tensor]) -> str | None:
        there = [tensor for tensor in given if _on_device(tensor)]
        if there and (name in READS or (name == "repeat_interleave" and func._overloadname == "Tensor")):
            return "it waits for a value from the device"
        if name in INDEXING and any(_is_mask(index) for index in args[1]):
            return "it waits for the number of selected elements"
        if name in COPIES:
            source, target = (args[1], args[0]) if name == "copy_" else (args[0], made[0] if made else args[0])
            if _on_device(source) != _on_device(target):
                return "it copies to or from the device"
        if name in INDEXING and there and any(_is_elsewhere(index) for index in args[1]):
            return "it copies to or from the device"
        drawn = torch.Tag.nondeterministic_seeded in func.tags and not self._draws
        if drawn and made and not any(map(_on_device, made)):
            return "it draws from the CPU's generator"
        return None


class Counted:
    """The number of a step that reports when it is used.

    It is not an int, so that code that reads an int's digits directly, as C does, fails on it.
    """

    def __init__(self, number: int, used: Callable[[], None]) -> None:
        """Stands for step `number`; `used` is called at every use."""
        self._number = number
        self._used = used

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Report the use by one of torch's functions."""
        plain = tree_map_only(cls, int, (args, kwargs or {}))
        return func(*plain[0], **plain[1])


def _telling(name: str) -> Any:
    def told(self: Counted, *rest: Any) -> Any:
        self._used()
        return getattr(self._number, name)(*rest)

    return told


for _name in (
    *("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__"),
    *("__floordiv__", "__rfloordiv__", "__mod__", "__rmod__", "__divmod__", "__rdivmod__", "__pow__", "__rpow__"),
    *("__lt__", "__le__", "__eq__", "__ne__", "__gt__", "__ge__", "__bool__", "__hash__", "__index__", "__int__"),
    *("__float__", "__neg__", "__pos__", "__abs__", "__round__", "__and__", "__or__", "__xor__", "__lshift__"),
    *("__rshift__", "__rand__", "__ror__", "__rxor__", "__rlshift__", "__rrshift__", "__invert__", "__str__"),
    *("__repr__", "__format__", "__trunc__", "__floor__", "__ceil__", "bit_length", "conjugate", "to_bytes"),
):
    setattr(Counted, _name, _telling(_name))


@contextmanager
def host_draws(found: Callable[[str], None]) -> Iterator[None]:
    """Report random numbers drawn meanwhile from generators other than torch's, and restore those generators."""
    plain, words = random.getstate(), np.random.get_state(legacy=False)
    try:
        yield
    finally:
        if random.getstate() != plain:
            random.setstate(plain)
            found("it draws from Python's generator (random)")
        if _comparable(np.random.get_state(legacy=False)) != _comparable(words):
            np.random.set_state(words)
            found("it draws from numpy's generator (numpy.random)")


def _comparable(state: Mapping[str, Any]) -> dict[str, Any]:
    """numpy's state with arrays as bytes, since arrays have no single truth value for equality."""
    inner = {key: value.tobytes() if isinstance(value, np.ndarray) else value for key, value in state["state"].items()}
    return {**state, "state": inner}


def hooked(model: nn.Module) -> str | None:
    """The first layer with a hook, which a replay would not call."""
    for name, module in model.named_modules():
        if any((module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)):
            return f"a hook of {name or type(module).__name__}"
    for name, parameter in model.named_parameters():
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            return f"a hook of the parameter {name}"
    return None


def _on_device(tensor: Tensor) -> bool:
    return tensor.device.type != "cpu"


def _is_mask(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) and _on_device(index)


def _is_elsewhere(index: Any) -> bool:
    return isinstance(index, Tensor) and not _on_device(index)
