"""`pixkit.build`: the verb, as a callable module.

0.1 had a module of this name, and ``from pixkit.build import load`` makes Python set `pixkit.build` to it, whatever was
there before. So the verb is a module with a callable class, and 0.1's names in it still resolve to their new homes.
"""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from typing import Any

from pixkit.training.build import build as build  # noqa: PLC0414 - the stub takes it from here

HOMES = {
    "BuildResult": "pixkit.training",
    "DryRun": "pixkit.training",
    "dry_run": "pixkit.training",
    "evaluate": "pixkit",
    "load": "pixkit",
}
"""Other names that 0.1 had here, and their new homes."""


class _Verb(types.ModuleType):
    def __call__(self, *given: Any, **options: Any) -> Any:
        return build(*given, **options)

    def __getattr__(self, name: str) -> Any:
        if name not in HOMES:
            raise AttributeError(f"module 'pixkit.build' has no attribute '{name}'")
        warnings.warn(f"pixkit.build.{name} is {HOMES[name]}.{name} now", DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(HOMES[name]), name)


__doc__ = build.__doc__ or ""
__wrapped__ = build  # shown by inspect.signature
sys.modules[__name__].__class__ = _Verb
