"""Libraries whose code stays what it is, and by which name a module belongs to one."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

NAMES = frozenset({"torch", "pixkit", "numpy", "pydantic", "pydantic_core"})
"""Whose functions stay what they are, so that nobody looks at what these refer to; Python's own, too."""
OWN = frozenset({"pixkit_plugins"})
"""Beside them, whose functions depend on nothing but what is told."""
PYTHONS = sys.stdlib_module_names - {"__main__"}


def is_known(name: str | None) -> bool:
    """Whether the module of that name belongs to one of them."""
    root = (name or "").partition(".")[0]
    return root in NAMES or (root in PYTHONS and _is_pythons(getattr(sys.modules.get(root), "__file__", None)))


def is_own(name: str | None) -> bool:
    """Whether code of that module depends on nothing but what is told: no files, no state of a library."""
    return is_known(name) or (name or "").partition(".")[0] in OWN


@functools.cache
def _is_pythons(file: str | None) -> bool:
    """Whether it is not a file of somebody's that happens to be called so, as `code.py` or `profile.py`."""
    return file is None or Path(file).parent.is_relative_to(Path(os.__file__).parent)
