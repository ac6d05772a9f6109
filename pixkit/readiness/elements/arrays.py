"""Arrays of numpy in which nothing has been written: what is written to them nobody sees, nor who reads them."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType, ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from torch import nn

from pixkit.readiness.elements.tape import serves

MAKERS = ("empty", "empty_like")
"""Numpy's functions that give an array in which nothing has been written."""
REPLACING = threading.RLock()
"""Functions of numpy are replaced for all threads: one at a time."""


@contextmanager
def raw_arrays(module: Any, note: Callable[[str], None]) -> Iterator[None]:
    """Context in which somebody is told when other code than numpy's and torch's calls `numpy.empty` or `empty_like`.

    They are replaced in numpy, in the modules in which the code of `module` lies, and in those that these name. Who has
    got hold of them otherwise, or makes an array by its class, is not seen; see `found.py`.

    Args:
        module: or a function, about to be called, in this thread.
        note: told the function's name.
    """
    own = threading.get_ident()

    def noting(make: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(make)
        def made(*args: Any, **kwargs: Any) -> Any:
            array = make(*args, **kwargs)
            if array.size and threading.get_ident() == own and not _serves(sys._getframe(1).f_code.co_filename):
                note(f"numpy.{make.__name__}")
            return array

        return made

    with REPLACING, ExitStack() as patched:
        replaced = {id(make): noting(make) for make in (getattr(np, name) for name in MAKERS)}
        for place in (np, *_modules(module)):
            for name, value in list(vars(place).items()):
                if id(value) in replaced:
                    patched.enter_context(patch.object(place, name, replaced[id(value)]))
        yield


def _modules(module: Any) -> Iterator[ModuleType]:
    """Where the code lies that a call runs, without what serves it, and what that names."""
    parts = [type(part) for part in module.modules()] if isinstance(module, nn.Module) else [module]
    own = _own({getattr(part, "__module__", None) for part in parts})
    named = {
        value.__name__ if isinstance(value, ModuleType) else value.__module__
        for place in own
        for value in vars(place).values()
        if isinstance(value, ModuleType | FunctionType | type)
    }
    yield from {id(place): place for place in (*own, *_own(named))}.values()


def _own(names: set[Any]) -> list[ModuleType]:
    found = (sys.modules.get(name) for name in names)
    return [place for place in found if place is not None and not _serves(getattr(place, "__file__", None) or "<")]


def _serves(file: str) -> bool:
    """As of lines, but that what is typed in is somebody's code."""
    return serves(file) and not file.startswith("<")
