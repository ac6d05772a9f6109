"""Telling what a module's calls depend on, all but the numbers in tensors, as a list of plain values.

Modules, and what they refer to, are gone through once, object by object. What is the same object as before, and has not
been changed itself, need not be told again: for each object that can change there is a check of what it refers to.
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
"""Types of what is the same if it is the same object."""
LAZY = ("__slotnames__", "__annotations__", "__annotations_cache__", "__annotate_func__")
"""Attributes of classes that Python adds when something first asks for them."""
SIZES = (1, 2, 4, 8)
"""Bytes of the numbers of a tensor whose bits can be compared."""


class Telling(Values):
    """What is told of a module.

    Attributes:
        said: plain values. What has none of its own stands there by its `id`.
        tensors: those that were found, each once.
        references: of what was found, the module itself left out, what can change.
        foreign: whether code has a part in it that may depend on something else: files, or the state of a library.

    Raises:
        Untold: if it cannot be told.
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
            raise Untold("a tensor of another kind")
        self.said += (value.dtype, value.device, value.shape, value.requires_grad)
        self.tensors.append(value)
        self._table(vars(value))

    def _module(self, module: nn.Module) -> None:
        self._class(type(module))
        self._attributes(module, MACHINERY)
        self._parts(module, attributes=False)

    def _parts(self, module: nn.Module, attributes: bool = True) -> None:
        """Parameters, buffers, modules, and, of one that nothing may hold, attributes."""
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
                if name not in MACHINERY and not isinstance(value, Keep):  # it would be held by what it keeps
                    self._note(name)
                    self._note(value)

    def _function(self, value: types.FunctionType) -> None:
        """Code, defaults, what it closes over, and the globals that it names."""
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
        """What code names; in modules of known ones, which objects these are."""
        self.references.others.append(places.values)
        for table, name in places.found:
            self.said.append(name)
            if isinstance(table[name], types.ModuleType) or is_known(table.get("__name__")):
                self._held.append(table[name])
                self.said.append(id(table[name]))
            else:
                self._note(table[name])

    def _class(self, cls: type) -> None:
        """The attributes of a class and of those that it is derived from: of known ones, which they are.

        Somebody else's function may have got into a known class, too.
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
        """The attributes of an object that has nothing else."""
        if not is_open(value):
            raise Untold(f"a {type(value).__name__}")
        self._class(type(value))
        self._attributes(value)

    def _member(self, value: enum.Enum) -> None:
        """Of an enumeration: the same if it is the same object, and stands for the same."""
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
"""What tells the content of values, by their types; the first that fits."""


@functools.lru_cache(512)
def _teller(kind: type) -> Callable[[Telling, Any], None]:
    return next(teller for of, teller in TELLERS if issubclass(kind, of))
