"""Prove a user's own module causal: a function returns it, with an input and its steps."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

import pixkit
from pixkit.errors import UsageError, listed, message
from pixkit.readiness import Proof, prove

_TARGET = re.compile(r"(?P<source>.+):(?P<name>[^\W\d]\w*)")
_ASKED = ("module", "x", "steps")
_STEPS = "steps say when each element of x becomes known: torch.arange(n) of n tokens, say"
_NAMES = tuple(inspect.signature(prove).parameters)
EXPECTED = "(module, x, steps), or a dictionary of arguments for pixkit.readiness.prove"


def is_function(target: str) -> bool:
    """Whether a text names a user's function: ``FILE.py:NAME`` or ``package.module:NAME``."""
    found = _TARGET.fullmatch(target)
    if found is None:
        return False
    source = found["source"]
    return source.endswith(".py") or all(part.isidentifier() for part in source.split("."))


def prove_function(target: str) -> Proof:
    """Prove a function's module causal; it returns ``(module, x, steps)`` or a dictionary of arguments of `prove`.

    The function's file is run as Python would import it.

    Args:
        target: ``FILE.py:NAME``, or ``package.module:NAME``, which is also looked for in the working directory.

    Raises:
        UsageError: if there is no such file, module or function, if it or its module fails, or if it returns something
            else.
    """
    found = _TARGET.fullmatch(target)
    if found is None or not is_function(target):
        raise UsageError("this does not name a function", where=target, expected="FILE.py:NAME or package.module:NAME")
    with _importing(found["source"]) as module:
        function = _function(module, found["name"], target)
        _require_no_arguments(function, target)
        try:
            given = function()
        except (Exception, SystemExit) as error:
            raise UsageError("the function fails", where=target, found=_said(error), expected=EXPECTED) from error
        arguments = _arguments(given, target)
        try:
            return prove(**arguments)
        except UsageError:
            raise
        except Exception as error:
            failure = _failure(arguments, error, target)
            if failure is None:
                raise
            raise failure from error


@contextmanager
def _importing(source: str) -> Iterator[ModuleType]:
    """Import the module of a file or of a name; its neighbours can be imported as long as it is in use."""
    path = Path(source)
    is_file = source.endswith(".py")
    if is_file and not path.is_file():
        raise UsageError("there is no such file", where=source, expected="a Python file with the function")
    before = sys.path.copy()
    sys.path.insert(0, str(path.resolve().parent if is_file else Path.cwd()))
    try:
        yield _imported(source)
    finally:
        sys.path[:] = before


def _imported(source: str) -> ModuleType:
    path = Path(source).resolve()
    try:
        if not source.endswith(".py"):
            return importlib.import_module(source)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except ModuleNotFoundError as error:
        raise UsageError("there is no such module", where=source, found=message(error)) from error
    except (Exception, SystemExit) as error:
        raise UsageError(
            "the module cannot be imported", where=source, found=_said(error), hint=_line(error)
        ) from error


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {message(error)}"


def _line(error: BaseException) -> str | None:
    """The line of the user's code that failed, as a hint."""
    libraries = ("<frozen", *(str(Path(file).resolve().parent) for file in (torch.__file__, pixkit.__file__)))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(libraries)]
    return f"look at {frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line}" if frames else None


def _require_no_arguments(function: Callable[..., Any], target: str) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # for code that is not written in Python
        return
    try:
        signature.bind()
    except TypeError as error:
        raise UsageError(
            "the function requires arguments",
            where=target,
            found=f"{target.rpartition(':')[2]}{signature}",
            expected="a function that can be called without arguments",
            hint="give them defaults, or write a function that calls it",
        ) from error


def _failure(arguments: dict[str, Any], error: Exception, target: str) -> UsageError | None:
    """The error for a module that fails on its own; None if it does not."""

    def fails(x: Tensor) -> bool:
        try:
            with torch.no_grad():
                arguments["module"](x.clone())
        except Exception:
            return True
        return False

    x = arguments["x"]
    if not fails(x):
        return None
    other, called = (x.long(), "x.long()") if x.is_floating_point() else (x.float(), "x.float()")
    hint = _line(error)
    if not fails(other):
        hint = f"{called}: so it can be called"
    elif isinstance(error, TypeError) and "argument" in str(error):
        hint = "wrap it in a module that is called with only x and has the rest, such as labels, as buffers"
    return UsageError(
        "the module fails", where=target, found=_said(error), expected="a module that is called with x", hint=hint
    )


def _function(module: ModuleType, name: str, target: str) -> Callable[[], Any]:
    function = getattr(module, name, None)
    if callable(function):
        out: Callable[[], Any] = function
        return out
    functions = [each for each, value in vars(module).items() if inspect.isfunction(value) and not each.startswith("_")]
    near = difflib.get_close_matches(name, functions, 1)
    raise UsageError(
        "there is no such function",
        where=target,
        found=f"functions {listed(functions)}" if functions else "no function",
        expected=f"one that returns {EXPECTED}",
        hint=f"{target.rpartition(':')[0]}:{near[0]}" if near else None,
    )


def _arguments(given: Any, target: str) -> dict[str, Any]:
    """The arguments for `prove`."""
    if isinstance(given, tuple) and len(given) == len(_ASKED):
        return dict(zip(_ASKED, given, strict=True))
    if isinstance(given, Mapping) and set(_ASKED) <= set(given) <= set(_NAMES):
        return dict(given)
    found = f"a dictionary of {listed(given)}" if isinstance(given, Mapping) else type(given).__name__
    raise UsageError(
        "the function returns something else",
        where=target,
        found=f"{found} of {len(given)}" if isinstance(given, tuple) else found,
        expected=f"{EXPECTED}: {', '.join(_NAMES)}",
        hint=None if isinstance(given, Mapping) and "steps" in given else _STEPS,
    )
