"""Uninitialised numpy arrays: nothing sees what is written to them, nor what reads them."""

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
"""Numpy functions that return an uninitialised array."""
REPLACING = threading.RLock()
"""Numpy's functions are patched for all threads: one at a time."""


@contextmanager
def raw_arrays(module: Any, note: Callable[[str], None]) -> Iterator[None]:
    """Context in which `note` is called when code outside numpy and torch calls `numpy.empty` or `empty_like`.

    They are patched in numpy, in the modules that contain the code of `module`, and in the modules that this code
    names. References obtained in other ways, and arrays made by their class, are missed; see `found.py`.

    Args:
        module: a module or function about to be called in this thread.
        note: receives the function's name.
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
    """The modules whose code a call runs, except library code, and those that they name."""
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
    """As for lines, except that interactive code counts as user code."""
    return serves(file) and not file.startswith("<")
