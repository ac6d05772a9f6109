"""The globals and module attributes that a function's code refers to by name."""

from __future__ import annotations

import opcode
import sys
import types
from collections.abc import Iterator
from typing import Any


class Places:
    """Where the values named in a function's code live, however many imports away.

    Args:
        function: the function.

    Attributes:
        names: all names in its code: globals, attributes, and the modules that it imports.
        found: module namespaces, each with a name that was found there.
    """

    def __init__(self, function: types.FunctionType) -> None:
        self.around = function.__globals__
        codes = [*_codes(function.__code__)]
        self.names = [*dict.fromkeys(name for code in codes for name in code.co_names)]
        self.found: list[tuple[dict[str, Any], str]] = []
        tables = [self.around]
        importing = opcode.opmap["IMPORT_NAME"]
        if any(importing in code.co_code[::2] for code in codes):
            tables += [vars(sys.modules[name]) for name in self._imported() if name in sys.modules]
        seen = {*map(id, tables)}
        while tables:
            table = tables.pop()
            for name in self.names:
                if name in table:
                    self.found.append((table, name))
                    if isinstance(table[name], types.ModuleType) and id(vars(table[name])) not in seen:
                        seen.add(id(vars(table[name])))
                        tables.append(vars(table[name]))

    def values(self) -> list[Any]:
        """The current values; for globals, also the fact that one is missing."""
        return [*(table.get(name) for table, name in self.found), *map(self.around.get, self.names)]

    def _imported(self) -> Iterator[str]:
        """Names of modules that the code may import; for its own package, with and without leading dots."""
        yield from self.names
        package = self.around.get("__package__") or ""
        while package:
            yield package
            yield from (f"{package}.{name}" for name in self.names)
            package = package.rpartition(".")[0]


def inside(cell: Any) -> list[Any]:
    """The contents of a closure cell."""
    try:
        return [cell.cell_contents]
    except ValueError:  # still empty
        return []


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code object and those nested in it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, types.CodeType):
            yield from _codes(value)
