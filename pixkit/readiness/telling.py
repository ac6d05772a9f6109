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
import sys
import types
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch._ops import OpOverload, OpOverloadPacket

from pixkit.memory.keep import Keep
from pixkit.readiness.plain import MACHINERY
from pixkit.readiness.references import References
from pixkit.readiness.watch import HOOKS

KNOWN = frozenset({"torch", "pixkit", "numpy", "pydantic", "pydantic_core", *sys.stdlib_module_names}) - {"__main__"}
"""Whose functions stay what they are, so that nobody looks at what these refer to."""
OWN = KNOWN | {"pixkit_plugins"}
"""Whose functions depend on nothing but what is told."""
PLAIN = (None, ..., NotImplemented, True, 0, "", b"", range(0), torch.float32, torch.device("cpu"), torch.strided)
PLAIN_TYPES = frozenset(map(type, PLAIN)) | {torch.memory_format}
"""Types of values that are the same if they are equal."""
ALONE = (
    *(enum.Enum, logging.Logger, re.Pattern, PurePath, TypeVar, types.GenericAlias, types.BuiltinFunctionType),
    *(types.MethodDescriptorType, types.WrapperDescriptorType, types.MemberDescriptorType, types.GetSetDescriptorType),
    *(operator.itemgetter, operator.attrgetter, OpOverload, OpOverloadPacket),
)
"""Types of what is the same if it is the same object."""
MOST = 50_000
"""Objects above which it takes longer to look than to plan."""
WRITTEN = 1 << 9
"""A class that a class statement, or the like, has made (Py_TPFLAGS_HEAPTYPE)."""
IMMUTABLE = 1 << 8
"""A class whose attributes nobody can set (Py_TPFLAGS_IMMUTABLETYPE)."""
LAZY = ("__slotnames__", "__annotations__", "__annotations_cache__", "__annotate_func__")
"""Attributes of classes that Python adds when something first asks for them."""
SIZES = (1, 2, 4, 8)
"""Bytes of the numbers of a tensor whose bits can be compared."""


class Untold(Exception):
    """There is something of which nobody can tell whether it is the same."""


class Telling:
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
        self.said: list[Any] = []
        self.tensors: list[Tensor] = []
        self.references = References()
        self.foreign = False
        self._held: list[Any] = []  # so that no other object gets the same id
        self._numbers = {id(module): 0}
        self._classes: set[int] = set()
        try:
            self._class(type(module))
            self._parts(module)
        except RecursionError as error:
            raise Untold("values within values") from error
        self.references.settle()

    def _note(self, value: Any) -> None:
        kind = type(value)
        if kind in PLAIN_TYPES:
            self.said += (kind, value)
            return
        if kind is float:
            self.said += (kind, value.hex())
            return
        number = self._numbers.setdefault(id(value), len(self._numbers))
        self.said += (kind, number)
        if number < len(self._numbers) - 1:
            return  # it has been told
        if number > MOST:
            raise Untold("too many values")
        self._held.append(value)
        _teller(kind)(self, value)  # type: ignore[arg-type]

    def _each(self, values: Iterable[Any]) -> None:
        for value in values:
            self._note(value)

    def _table(self, table: dict[Any, Any], left_out: Collection[str] = ()) -> None:
        """Names, or other keys, and what they stand for."""
        self.references.tables.append(table)
        for name, value in table.items():
            if name not in left_out:
                self._note(name)
                self._note(value)

    def _attributes(self, value: Any, left_out: Collection[str] = ()) -> None:
        table = getattr(value, "__dict__", None)
        if table is not None:
            self.references.owners.append(value)
            self._table(table, left_out)

    def _alone(self, value: Any) -> None:
        self.said.append(id(value))

    def _tensor(self, value: Tensor) -> None:
        plain = value.layout is torch.strided and not (value.is_conj() or value.is_neg() or value.is_quantized)
        if type(value) not in (Tensor, nn.Parameter, nn.Buffer) or not plain or value.element_size() not in SIZES:
            raise Untold("a tensor of another kind")
        self.said += (value.dtype, value.device, value.shape)
        self.tensors.append(value)

    def _module(self, module: nn.Module) -> None:
        self._class(type(module))
        self._attributes(module, MACHINERY)
        self._parts(module, attributes=False)

    def _parts(self, module: nn.Module, attributes: bool = True) -> None:
        """Parameters, buffers, modules, and, of one that nothing may hold, attributes."""
        own = vars(module)
        if any(own[name] for name in HOOKS):
            raise Untold("a hook")
        self.said.append(module.training)
        for name in ("_parameters", "_buffers", "_modules", *HOOKS):
            self._table(own[name])
        if attributes:
            for name, value in sorted(own.items()):
                if name not in MACHINERY and not isinstance(value, Keep):  # it would be held by what it keeps
                    self._note(name)
                    self._note(value)

    def _items(self, value: Any) -> None:
        """Of a container: what is in it, and, of a subclass's, its attributes."""
        self.said.append(len(value))
        if isinstance(value, dict):
            self._table(value)
        elif isinstance(value, set | frozenset):
            if any(type(part) not in PLAIN_TYPES for part in value):
                raise Untold("a set of values without an order")
            copy = frozenset(value)
            self.references.tests.append(lambda: value == copy)
            self._each(sorted(value, key=repr))
        else:
            if isinstance(value, list):
                self.references.lists.append(value)
            self._each(value)
        if not type(value).__flags__ & IMMUTABLE:
            self._class(type(value))
            self._attributes(value)

    def _array(self, value: Any) -> None:
        if value.dtype.hasobject:
            raise Untold("an array of objects")
        told = (value.dtype.str, value.shape, value.tobytes())
        self.said += told
        self.references.tests.append(lambda: told == (value.dtype.str, value.shape, value.tobytes()))

    def _reference(self, value: weakref.ref[Any]) -> None:
        self.references.others.append(lambda: [value()])
        self._note(value())

    def _partial(self, value: functools.partial[Any]) -> None:
        self._each((value.func, value.args, value.keywords))

    def _bound(self, value: types.MethodType) -> None:
        self._each((value.__func__, value.__self__))

    def _descriptor(self, value: Any) -> None:
        """A property, a static or class method, a function whose results are kept."""
        parts = ("fget", "fset", "__func__", "func", "__wrapped__")
        self._each(getattr(value, name) for name in parts if hasattr(value, name))

    def _function(self, value: types.FunctionType) -> None:
        """Code, defaults, what it closes over, and the globals that it names."""
        self.references.functions.append(value)
        self.said.append(value.__code__)
        self._each((value.__defaults__, value.__kwdefaults__))
        self._table(value.__dict__)
        for cell in value.__closure__ or ():
            self.references.others.append(functools.partial(_inside, cell))
            self._each(_inside(cell))
        around = value.__globals__
        if not self._is_known(around.get("__name__")):
            names = [*dict.fromkeys(_names(value.__code__))]
            found = [name for name in names if name in around]
            self.references.others.append(lambda: [around.get(name) for name in found])
            for name in found:
                self._global(around[name], names)

    def _global(self, value: Any, names: list[str]) -> None:
        """A global that code names, which may be a module of which it names attributes."""
        if isinstance(value, types.ModuleType) and not self._is_known(value.__name__):
            around = vars(value)
            found = [name for name in names if name in around]
            self.references.others.append(lambda: [around.get(name) for name in found])
            self._each(around[name] for name in found)
        else:
            self._note(value)

    def _class(self, cls: type) -> None:
        """The attributes of a class and of those that it is derived from: of known ones, which they are."""
        for part in cls.__mro__:
            if id(part) in self._classes or part.__flags__ & IMMUTABLE:
                continue
            self._classes.add(id(part))
            self._held.append(part)
            self.references.classes.append(part)
            known = self._is_known(part.__module__)
            for name, value in vars(part).items():
                if name in LAZY:
                    continue
                told = isinstance(value, types.FunctionType | staticmethod | classmethod)
                self.said.append(name)
                if known or (not told and (name.startswith("__") or name == "_abc_impl")):
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
        slots = _slots(type(value))  # type: ignore[arg-type]
        if slots is None:
            raise Untold(f"a {type(value).__name__}")
        self._class(type(value))
        if slots:
            self.references.others.append(lambda: [getattr(value, name, None) for name in slots])
            self._each(getattr(value, name, None) for name in slots)
        self._attributes(value)

    def _is_known(self, name: str | None) -> bool:
        root = (name or "").partition(".")[0]
        self.foreign |= root not in OWN
        return root in KNOWN

    def _nothing(self, value: Any) -> None:
        """Of what is no part of what is computed."""


TELLERS: tuple[tuple[Any, Callable[[Telling, Any], None]], ...] = (
    (Keep, Telling._nothing),
    (Tensor, Telling._tensor),
    (nn.Module, Telling._module),
    (tuple | list | dict | set | frozenset, Telling._items),
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


@functools.lru_cache(512)
def _slots(kind: type) -> list[str] | None:
    """The slots that a type's values have beside their dictionary; None if they hold more, which nobody can see."""
    found = [
        name
        for part in kind.__mro__
        for name, value in vars(part).items()
        if isinstance(value, types.MemberDescriptorType)
    ]
    if not all(part.__flags__ & WRITTEN or part in (object, slice, types.SimpleNamespace) for part in kind.__mro__):
        return None
    beside = (kind.__dictoffset__ > 0) + (kind.__weakrefoffset__ > 0)
    return found if kind.__basicsize__ == object.__basicsize__ + 8 * (len(found) + beside) else None


def _names(code: types.CodeType) -> Iterator[str]:
    """What code names, and the code within it."""
    yield from code.co_names
    for value in code.co_consts:
        if isinstance(value, types.CodeType):
            yield from _names(value)


def _inside(cell: Any) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # nothing yet
        return []
