"""Libraries whose code does not change at run time, and how a module is recognised as theirs by its name."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

NAMES = frozenset({"torch", "pixkit", "numpy", "pydantic", "pydantic_core"})
"""Libraries whose functions never change, so their references are not examined; Python's standard library included."""
OWN = frozenset({"pixkit_plugins"})
"""Libraries whose functions, in addition, depend on nothing but their examined content."""
PYTHONS = sys.stdlib_module_names - {"__main__"}


def is_known(name: str | None) -> bool:
    """Whether the named module belongs to one of them."""
    root = (name or "").partition(".")[0]
    return root in NAMES or (root in PYTHONS and _is_pythons(getattr(sys.modules.get(root), "__file__", None)))


def is_own(name: str | None) -> bool:
    """Whether the named module's code depends only on its examined content: no files, no library state."""
    return is_known(name) or (name or "").partition(".")[0] in OWN


@functools.cache
def _is_pythons(file: str | None) -> bool:
    """Whether it is part of Python and not a user's file of the same name, such as `code.py` or `profile.py`."""
    return file is None or Path(file).parent.is_relative_to(Path(os.__file__).parent)
