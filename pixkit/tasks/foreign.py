"""Is a module of somebody's own causal? A function of theirs gives it, with an input and its steps."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pixkit.errors import UsageError, listed, message
from pixkit.readiness import Proof, prove

_TARGET = re.compile(r"(?P<source>.+):(?P<name>[^\W\d]\w*)")
_ASKED = ("module", "x", "steps")
_NAMES = tuple(inspect.signature(prove).parameters)
EXPECTED = "(module, x, steps), or a dictionary of arguments of pixkit.readiness.prove"


def is_function(target: str) -> bool:
    """Whether a text means a function of somebody's: ``FILE.py:NAME`` or ``package.module:NAME``."""
    found = _TARGET.fullmatch(target)
    if found is None:
        return False
    source = found["source"]
    return source.endswith(".py") or all(part.isidentifier() for part in source.split("."))


def prove_function(target: str) -> Proof:
    """Prove what a function gives: ``(module, x, steps)``, or a dictionary of `pixkit.readiness.prove`'s arguments.

    The function's file is run, as Python would import it.

    Args:
        target: ``FILE.py:NAME``, or ``package.module:NAME``, which is looked for in the working directory, too.

    Raises:
        UsageError: if there is no such file, module or function, if it fails, or if it gives something else.
    """
    found = _TARGET.fullmatch(target)
    if found is None or not is_function(target):
        raise UsageError("this is no function", where=target, expected="FILE.py:NAME or package.module:NAME")
    with _importing(found["source"]) as module:
        function = _function(module, found["name"], target)
        try:
            given = function()
        except Exception as error:
            text = f"{type(error).__name__}: {message(error)}"
            raise UsageError("the function fails", where=target, found=text, expected=EXPECTED) from error
        return prove(**_arguments(given, target))


@contextmanager
def _importing(source: str) -> Iterator[ModuleType]:
    """The module of a file or of a name; what lies beside it can be imported, too, as long as it is needed."""
    path = Path(source)
    is_file = source.endswith(".py")
    if is_file and not path.is_file():
        raise UsageError("there is no such file", where=source, expected="a file of Python code that has the function")
    before = sys.path.copy()
    sys.path.insert(0, str(path.resolve().parent if is_file else Path.cwd()))
    try:
        yield _of_file(path.resolve()) if is_file else importlib.import_module(source)
    except UsageError:
        raise
    except ModuleNotFoundError as error:
        raise UsageError("there is no such module", where=source, found=message(error)) from error
    finally:
        sys.path[:] = before


def _of_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _function(module: ModuleType, name: str, target: str) -> Callable[[], Any]:
    function = getattr(module, name, None)
    if callable(function):
        return function
    functions = [each for each, value in vars(module).items() if inspect.isfunction(value) and not each.startswith("_")]
    near = difflib.get_close_matches(name, functions, 1)
    raise UsageError(
        "there is no such function",
        where=target,
        found=f"functions {listed(functions)}" if functions else "no function",
        expected=f"one that gives {EXPECTED}",
        hint=f"{target.rpartition(':')[0]}:{near[0]}" if near else None,
    )


def _arguments(given: Any, target: str) -> dict[str, Any]:
    """What `prove` is to be called with."""
    if isinstance(given, tuple) and len(given) == len(_ASKED):
        return dict(zip(_ASKED, given, strict=True))
    if isinstance(given, Mapping) and set(_ASKED) <= set(given) <= set(_NAMES):
        return dict(given)
    found = f"a dictionary of {listed(given)}" if isinstance(given, Mapping) else type(given).__name__
    raise UsageError(
        "the function gives something else",
        where=target,
        found=f"{found} of {len(given)}" if isinstance(given, tuple) else found,
        expected=f"{EXPECTED}: {', '.join(_NAMES)}",
    )
