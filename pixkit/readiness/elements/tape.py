"""The record of a run: each operation, what it read and returned, and the line of user code that called it."""

from __future__ import annotations

import functools
import linecache
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import CodeType, FrameType

import torch
from torch import nn

from pixkit.readiness.elements.marks import Call, Marks
from pixkit.readiness.elements.planes import Place

SITE, PYTHON = Path(torch.__file__).parents[1], Path(linecache.__file__).parent
SERVANTS = (
    *(str(SITE / name) for name in ("torch", "numpy", "einops", "opt_einsum")),
    str(Path(__file__).parents[1]),
    str(Path(__file__).parents[2] / "modes.py"),
    "<",
)
"""Directories of code that calls operations on behalf of others; Python's own libraries do so, too."""
MODULES = str(Path(torch.__file__).parent / "nn" / "modules" / "module.py")


@dataclass(frozen=True)
class Line:
    """A line of user code.

    Attributes:
        file: its path; empty if only torch's own modules were at work.
        number: of the line, from 1.
        function: the name of the enclosing function.
        module: path, as in `named_modules()`, and class of the innermost module that was running.
        begin: the line at which the function begins, which distinguishes it from others of the same name.
        callers: the lines that called the function, the innermost first.
    """

    file: str
    number: int
    function: str
    module: str
    begin: int = 0
    callers: tuple[Line, ...] = field(default=(), compare=False, repr=False)

    @cached_property
    def text(self) -> str:
        """The line's text, empty if its file cannot be read."""
        return linecache.getline(self.file, self.number).strip()

    def __str__(self) -> str:
        place = f"{self.file}:{self.number} in {self.function}" if self.file else ""
        return ", ".join(filter(None, (place, self.module))) or "outside every module"


@dataclass(frozen=True)
class Held:
    """A tensor that an operation read or returned: where it lay, and its marks at the time."""

    place: Place
    marks: Marks


@dataclass(frozen=True)
class Record:
    """One operation that ran.

    Attributes:
        op: its name, such as aten.addmm.default.
        inputs: tensors among its arguments, in order.
        results: tensors that it returned or wrote to, with their marks afterwards.
        line: the line that called it.
        call: the operation in its functional variant, as its rule saw it.
        known: whether it has a rule.
    """

    op: str
    inputs: tuple[Held, ...]
    results: tuple[Held, ...]
    line: Line
    call: Call
    known: bool = True


@dataclass(frozen=True)
class View:
    """A tensor that came to lie in another one's storage without any operation writing there.

    Attributes:
        at: the number of the next operation.
        op: the operation that made it.
        source: where the other one lay.
        result: where it lies.
        line: the line that called it.
    """

    at: int
    op: str
    source: Place
    result: Place
    line: Line


def line_here(names: dict[int, str], outermost: FrameType | None) -> Line:
    """The running line of user code, and those that called it.

    Args:
        names: paths of modules by their `id`.
        outermost: the frame at which to stop.
    """
    frame: FrameType | None = sys._getframe(1)
    modules: list[str] = []
    lines: list[Line] = []
    inner: list[FrameType] = []
    while frame is not None and frame is not outermost:
        code = frame.f_code
        if code.co_filename == MODULES and code.co_name == "_call_impl":
            modules.append(_name_of(frame.f_locals.get("self"), names))
            lines += [_at(each.f_code, each.f_lineno, modules[-1]) for each in inner]
            inner = []
        elif not serves(code.co_filename):
            inner.append(frame)
        frame = frame.f_back
    lines += [_at(each.f_code, each.f_lineno, "") for each in inner]
    innermost = next(iter(modules), "")
    if not lines:
        return Line("", 0, "", innermost)
    first, *callers = lines
    return Line(first.file, first.number, first.function, innermost, first.begin, tuple(callers))


def _at(code: CodeType, number: int, module: str) -> Line:
    return Line(code.co_filename, number, code.co_qualname, module, code.co_firstlineno)


def line_of(error: BaseException) -> Line:
    """The innermost line of user code at which an error was raised."""
    place = error.__traceback__
    found: tuple[FrameType, int] | None = None
    while place is not None:
        if not serves(place.tb_frame.f_code.co_filename):
            found = place.tb_frame, place.tb_lineno
        place = place.tb_next
    if found is None:
        return Line("", 0, "", "")
    return _at(found[0].f_code, found[1], "")


@functools.cache
def serves(file: str) -> bool:
    """Whether the code of a file calls operations on behalf of others."""
    if file.startswith(SERVANTS):
        return True
    return file.startswith(str(PYTHON)) and "site-packages" not in file


def _name_of(module: object, names: dict[int, str]) -> str:
    if not isinstance(module, nn.Module):
        return ""
    path, name = names.get(id(module), ""), type(module).__name__
    return f"{path} ({name})" if path else name
