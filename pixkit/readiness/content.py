"""Everything that a network's calls depend on, to detect any change since a plan was made for it."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Iterable
from operator import attrgetter, methodcaller
from typing import Any

import torch
from torch import Tensor, nn

from pixkit.memory.keep import Keep
from pixkit.readiness.telling import Telling
from pixkit.readiness.values import Untold
from pixkit.readiness.watch import hooked_everywhere

__all__ = ["Content", "Untold"]

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integer types by item size, for comparing numbers bitwise: as numbers, 0 equals -0 and nan does not equal nan."""
KIND = attrgetter("dtype", "device", "shape", "requires_grad")
STRIDES, PLACE = methodcaller("stride"), methodcaller("data_ptr")


class Content:
    """The state on which calls of a module depend, with a bitwise copy of its tensors.

    The module itself is not held, so that it can be freed.

    Args:
        module: the module.
        near: contents with which equal copies are shared.

    Attributes:
        foreign: whether code takes part that may depend on something else: files, or the state of a library.
        copies: each tensor's numbers as integers.

    Raises:
        Untold: if it cannot be determined, for example because of hooks or of an object with opaque state.
    """

    def __init__(self, module: nn.Module, near: Iterable[Content] = ()) -> None:
        if hooked_everywhere():
            raise Untold("a global module hook")
        told = Telling(module)
        self._first, self._places = told, [*map(PLACE, told.tensors)]
        self._found = told, _own(module)
        self.foreign, self._said, self._kinds = told.foreign, told.said, _kinds(told)
        others = [other.copies for other in near if len(other.copies) == len(told.tensors)]
        self.copies: list[Tensor] = [
            _copy(tensor, [other[n] for other in others]) for n, tensor in enumerate(told.tensors)
        ]

    @functools.cached_property
    def nbytes(self) -> int:
        """Size of the copies in bytes, including shared ones."""
        return sum(copy.nbytes for copy in self.copies)

    def stands(self) -> bool:
        """Whether the very objects that were examined are unchanged: a plan refers to them.

        An object that replaces one of them may be equal now and change later.
        """
        same = not hooked_everywhere() and self._first.references.same()
        return same and [*map(PLACE, self._first.tensors)] == self._places and self._same_tensors(self._first)

    def holds(self, module: nn.Module) -> bool:
        """Whether nothing has changed, in this module or in another one made of the same parts."""
        if not self.stands():
            return False
        told, own = self._found
        same = told is self._first or told.references.same()  # the first stand
        if not (_same_own(own, _own(module)) and same):
            try:
                told = Telling(module)
            except Untold:
                return False
            if told.said != self._said:
                return False
            self._found = told, _own(module)
        return told is self._first or self._same_tensors(told)

    def _same_tensors(self, told: Telling) -> bool:
        return _kinds(told) == self._kinds and all(map(_same_bits, told.tensors, self.copies))


def _kinds(told: Telling) -> list[Any]:
    """Properties of tensors that must stay the same besides their numbers; torch chooses kernels by their strides."""
    return [*map(type, told.tensors), *map(KIND, told.tensors), *map(STRIDES, told.tensors)]


def _own(module: nn.Module) -> dict[str, Any]:
    """A module's attributes, except values that are cached in it."""
    own = {name: value for name, value in vars(module).items() if not isinstance(value, Keep)}
    return {**own, "__class__": type(module)}


def _same_own(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(one[name] is other[name] for name in one)


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().view(INTEGERS[tensor.element_size()])


def _same_bits(tensor: Tensor, copy: Tensor) -> bool:
    """Whether a tensor holds the numbers of a copy of the same size and item size."""
    if tensor.device.type == "cpu" and tensor.is_contiguous() and copy.is_contiguous():
        return not _differ()(tensor.data_ptr(), copy.data_ptr(), tensor.nbytes)
    return torch.equal(_bits(tensor), copy)


@functools.cache
def _differ() -> Callable[[int, int, int], int]:
    """The C library's memcmp, which takes a tenth of the time of torch.equal."""
    found = ctypes.CDLL(None if os.name == "posix" else "msvcrt").memcmp
    found.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    return found


def _copy(tensor: Tensor, others: list[Tensor]) -> Tensor:
    """Return the one of `others` with the same numbers, or a new copy."""
    for other in others:
        alike = other.dtype is _bits(tensor).dtype and other.device == tensor.device
        if alike and other.shape == tensor.shape and _same_bits(tensor, other):
            return other
    return _bits(tensor).clone()
