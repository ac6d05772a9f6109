"""Which `forward` a module runs: what is known about a class holds for its own forward only.

A row of the table of operations, a layer's `ready` and `at`, and a lowering each know what one class computes. A module
of that class may compute something else: a subclass may override `forward` or a method that it calls, and so may a
function assigned to the instance.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator

from torch import nn

from pixkit.layers.base import MixingLayer, TapLayer

CALLED = {"forward", "__call__", "_call_impl", "_wrapped_call_impl", "__getattr__", "__getattribute__"}
"""Methods that a call of any module goes through."""
SAFE = {"__init__", "Config", "extra_repr", "reset_parameters", "ready", "reads", "ranks", "plannable", "replayable"}
"""Methods that may be overridden without changing values."""
MACHINERY = frozenset(vars(nn.Module()))
"""Attributes that torch keeps in every module."""


def plain(module: nn.Module | None, cls: type[nn.Module]) -> bool:
    """Whether a module computes what `cls` does, with everything in `cls` as it was written there.

    Abstract methods are meant to be overridden. A class that torch creates on the fly to parametrise a module overrides
    nothing. Hooks are not examined here: a recorder has seen what they do.
    """
    if not isinstance(module, cls) or tampered(module):
        return False
    own = (set(_methods(cls)) | CALLED) - SAFE - getattr(cls, "__abstractmethods__", frozenset())
    mro = type(module).__mro__
    return not any(name in vars(derived) for derived in mro[: mro.index(cls)] for name in own)


def tampered(module: nn.Module) -> bool:
    """Whether a method was assigned to the instance or a part of it, or a call does not reach `forward`."""
    return any(astray(part) for part in module.modules())


def astray(module: nn.Module) -> bool:
    """The same for the module itself, without its parts."""
    kind = type(module)
    if any(callable(getattr(kind, name, None)) for name in vars(module).keys() - MACHINERY):
        return True
    if _patched(kind):
        return True
    asked = kind.__getattribute__ is not nn.Module.__getattribute__  # it may return another forward
    return asked or kind.__call__ is not nn.Module.__call__ or kind._call_impl is not nn.Module._call_impl


def _patched(kind: type[nn.Module]) -> bool:
    """Whether a class of torch or pixkit had its forward replaced by foreign code."""
    cls = next(cls for cls in kind.__mro__ if "forward" in vars(cls))
    known = ("torch", "pixkit")
    return package(cls) in known and package(vars(cls)["forward"]) not in (
        *known,
        "",
    )  # torch.fx's forward belongs to no package


def package(written: object) -> str:
    """The package in which a class or function was written."""
    return (getattr(written, "__module__", None) or "").partition(".")[0]


def unsaid(layer: MixingLayer) -> str | None:
    """The method that a mixing layer inherits from a class that did not know its `forward`; None if there is none.

    `forward`, `ready` and `at` describe the same computation, so a class that overrides the first must override the
    others. For tap layers, `taps` and `tap_weight` do that.
    """
    forward = _definer(layer, "forward")
    for name, tap in (("ready", "taps"), ("at", "tap_weight")):
        if name == "at" and not layer.plannable:
            continue
        said = tap if type(layer).__mro__[_definer(layer, name)] is TapLayer else name
        if _definer(layer, said) > forward:
            return said
    return None


def follows(module: nn.Module, name: str, other: str) -> bool:
    """Whether a class says `name` that is, or derives from, the one that says `other`."""
    known = any(name in vars(cls) for cls in type(module).__mro__)
    return known and _definer(module, name) <= _definer(module, other)


def _definer(module: nn.Module, name: str) -> int:
    """The index, in method resolution order, of the class that defines the method."""
    return next(place for place, cls in enumerate(type(module).__mro__) if name in vars(cls))


def _methods(cls: type) -> Iterator[str]:
    """Names of functions and properties that a class and its bases below nn.Module define."""
    for base in cls.__mro__:
        if base not in (nn.Module, ABC, object):
            for name, value in vars(base).items():
                if callable(value) or isinstance(value, property | staticmethod | classmethod):
                    yield name
