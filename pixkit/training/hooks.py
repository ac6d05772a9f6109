"""Telling plugins how training goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pluggy


class TrainHooks:
    """Calls the `pixkit_train_...` hooks of every plugin; one that fails is reported once and called no more."""

    def __init__(self, manager: pluggy.PluginManager, report: Callable[[str], None]) -> None:
        self._manager = manager
        self._report = report
        self._failed: set[str] = set()

    def call(self, hook: str, **arguments: Any) -> None:
        """Call `pixkit_train_<hook>` of every plugin that has it. Each gets its own copy of a row of metrics."""
        name = f"pixkit_train_{hook}"
        plugins = {impl.plugin_name: impl.plugin for impl in getattr(self._manager.hook, name).get_hookimpls()}
        for plugin_name, plugin in plugins.items():
            if plugin_name in self._failed:
                continue
            others = [other for other in plugins.values() if other is not plugin]
            own = {key: dict(value) if isinstance(value, dict) else value for key, value in arguments.items()}
            try:
                self._manager.subset_hook_caller(name, others)(**own)
            except Exception as error:  # a plugin may raise anything; training goes on
                self._failed.add(plugin_name)
                self._report(f"{plugin_name}: {name} failed ({type(error).__name__}: {error}); it is called no more")
