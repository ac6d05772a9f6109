"""Describe what a module's calls depend on, except the numbers in tensors, as a list of plain values.

Modules and the objects that they refer to are visited once each. An object that is the same as before and has not been
changed need not be described again: for each mutable object there is a check of what it refers to.
"""

from __future__ import annotations

import enum
import functools
import logging
import operator
import re
import types
import weakref
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch._ops import OpOverload, OpOverloadPacket

from pixkit.memory.keep import Keep
from pixkit.readiness.code import Places, inside
from pixkit.readiness.libraries import is_known, is_own
from pixkit.readiness.plain import MACHINERY
from pixkit.readiness.slots import IMMUTABLE, is_open, slots
from pixkit.readiness.values import Untold, Values
from pixkit.readiness.watch import HOOKS

ALONE = (
    *(logging.Logger, re.Pattern, PurePath, TypeVar, types.GenericAlias),
    *(types.MethodDescriptorType, types.WrapperDescriptorType, types.MemberDescriptorType, types.GetSetDescriptorType),
    *(operator.itemgetter, operator.attrgetter, OpOverload, OpOverloadPacket),
)
"""Types whose values are equal only if they are the same object."""
LAZY = ("__slotnames__", "__annotations__", "__annotations_cache__", "__annotate_func__")
"""Class attributes that Python adds when they are first asked for."""
SIZES = (1, 2, 4, 8)
"""Bytes per number of a tensor whose bits can be compared."""


class Telling(Values):
    """The description of a module.

    Attributes:
        said: plain values. An object without one is represented by its `id`.
        tensors: the tensors found, each once.
        references: the mutable objects found, except the module itself.
        foreign: whether code takes part that may depend on something else: files, or the state of a library.

    Raises:
        Untold: if the module cannot be described.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.tensors: list[Tensor] = []
        self.foreign = False
        self._numbers[id(module)] = 0
        self._classes: set[int] = set()
        self._class(type(module))
        self._parts(module)
        self._go_through()
        self.references.settle()

    def _tensor(self, value: Tensor) -> None:
        plain = value.layout is torch.strided and not (value.is_conj() or value.is_neg() or value.is_quantized)
        if type(value) not in (Tensor, nn.Parameter, nn.Buffer) or not plain or value.element_size() not in SIZES:
            raise Untold("a tensor of an unsupported kind")
        self.tensors.append(value)
        self._table(vars(value))

    def _module(self, module: nn.Module) -> None:
        self._class(type(module))
        self._attributes(module, MACHINERY)
        self._parts(module, attributes=False)

    def _parts(self, module: nn.Module, attributes: bool = True) -> None:
        """Parameters, buffers, submodules and, for modules that must not be held, attributes."""
        own = vars(module)
        if any(own[name] for name in HOOKS):
            raise Untold("a hook")
        if attributes and slots(module):
            raise Untold("a network with slots")
        self.said.append(module.training)
        for name in ("_parameters", "_buffers", "_modules", *HOOKS):
            self._table(own[name])
        if attributes:
            for name, value in sorted(own.items()):
                if name not in MACHINERY and not isinstance(value, Keep):  # it would be held by its own cache
                    self._note(name)
                    self._note(value)

    def _function(self, value: types.FunctionType) -> None:
        """Its code, defaults, closure, and the globals that it names."""
        self.references.functions.append(value)
        self.said.append(value.__code__)
        self._each((value.__defaults__, value.__kwdefaults__))
        self._table(value.__dict__)
        for cell in value.__closure__ or ():
            self.references.others.append(functools.partial(inside, cell))
            self._each(inside(cell))
        if not self._is_known(value.__globals__.get("__name__")):
            self._named(Places(value))

    def _named(self, places: Places) -> None:
        """The objects that code names; for those in known modules, their identity."""
        self.references.others.append(places.values)
        for table, name in places.found:
            self.said.append(name)
            if isinstance(table[name], types.ModuleType) or is_known(table.get("__name__")):
                self._held.append(table[name])
                self.said.append(id(table[name]))
            else:
                self._note(table[name])

    def _class(self, cls: type) -> None:
        """The attributes of a class and its bases; for known classes, only their identity.

        A foreign function may have been assigned to a known class as well.
        """
        self.said += map(id, cls.__mro__)
        for part in cls.__mro__:
            if id(part) in self._classes or part.__flags__ & IMMUTABLE:
                continue
            self.said.append(Values)
            self._classes.add(id(part))
            self._held.append(part)
            self.references.classes.append(part)
            known = self._is_known(part.__module__)
            for name, value in vars(part).items():
                if name in LAZY:
                    continue
                told = isinstance(value, types.FunctionType | staticmethod | classmethod)
                foreign = isinstance(value, types.FunctionType) and not is_known(value.__globals__.get("__name__"))
                self.said.append(name)
                if (known and not foreign) or (not told and (name.startswith("__") or name == "_abc_impl")):
                    self.said.append(id(value))
                else:
                    self._note(value)

    def _type(self, value: type) -> None:
        """A class that is referred to."""
        self.said.append(id(value))
        if not self._is_known(value.__module__):
            self._class(value)

    def _object(self, value: Any) -> None:
        """The attributes of an object that has no other state."""
        if not is_open(value):
            raise Untold(f"a {type(value).__name__}")
        self._class(type(value))
        self._attributes(value)

    def _member(self, value: enum.Enum) -> None:
        """An enumeration member: unchanged if it is the same object with the same value."""
        self._alone(value)
        if not self._is_known(type(value).__module__):
            self._class(type(value))
            self._attributes(value)

    def _tell(self, value: Any) -> None:
        _teller(type(value))(self, value)  # type: ignore[arg-type]

    def _is_known(self, name: str | None) -> bool:
        self.foreign |= not is_own(name)
        return is_known(name)


TELLERS: tuple[tuple[Any, Callable[[Telling, Any], None]], ...] = (
    (Keep, Telling._alone),
    (Tensor, Telling._tensor),
    (nn.Module, Telling._module),
    (tuple | list | dict | set | frozenset, Telling._items),
    (enum.Enum, Telling._member),
    (types.BuiltinFunctionType, Telling._builtin),
    (ALONE, Telling._alone),
    (types.FunctionType, Telling._function),
    (types.MethodType, Telling._bound),
    (functools.partial, Telling._partial),
    (weakref.ref, Telling._reference),
    (property | staticmethod | classmethod | functools.cached_property, Telling._descriptor),
    (type(functools.cache(id)), Telling._descriptor),
    (types.ModuleType, Telling._alone),
    (type, Telling._type),
    (np.ndarray | np.generic, Telling._array),
    (object, Telling._object),
)
"""Functions that describe values, by type; the first match counts."""


@functools.lru_cache(512)
def _teller(kind: type) -> Callable[[Telling, Any], None]:
    return next(teller for of, teller in TELLERS if issubclass(kind, of))
