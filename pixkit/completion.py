"""The module of this name in pixkit 0.1: its parts are in `pixkit.tasks` now."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

HOMES = {
    "Completion": "pixkit.tasks.complete",
    "complete": "pixkit.tasks.complete",
    "conditional_nats": "pixkit.tasks.complete",
    "hide_box": "pixkit.tasks.masks",
    "hide_random": "pixkit.tasks.masks",
    "keep_edge": "pixkit.tasks.masks",
}

__all__ = list(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'pixkit.completion' has no attribute '{name}'")
    warnings.warn(f"pixkit.completion.{name} is {HOMES[name]}.{name} now", DeprecationWarning, stacklevel=2)
    return getattr(importlib.import_module(HOMES[name]), name)
