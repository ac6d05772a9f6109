"""The plugin door: finding, loading and guarding what comes through entry points.

Every plugin, pixkit's own included, is loaded alone; whatever goes wrong in one is rolled back and
kept as one line of its health, so that the others stay usable.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pluggy

from pixkit import hookspecs
from pixkit.errors import PluginError
from pixkit.registry import Registrar, Registry

GROUP = "pixkit"
DISABLE_VARIABLE = "PIXKIT_DISABLE_PLUGINS"


@dataclass
class PluginInfo:
    """One plugin as `pixkit plugins` shows it; health is 'ok', 'conflict', 'disabled' or 'broken'."""

    name: str
    distribution: str
    version: str
    health: str = "ok"
    detail: str = ""
    components: list[tuple[str, str]] = field(default_factory=list)


class Plugins:
    """The loaded plugins: a pluggy manager, the registry they filled, and the health of each."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager("pixkit")
        self.manager.add_hookspecs(hookspecs)
        self.registry = Registry()
        self.infos: list[PluginInfo] = []

    def load(self, entry_point: importlib.metadata.EntryPoint) -> PluginInfo:
        """Load one plugin; never raises for what the plugin does wrong, but records it."""
        distribution = entry_point.dist
        info = PluginInfo(
            entry_point.name,
            distribution.name if distribution else "?",
            distribution.version if distribution else "?",
        )
        self.infos.append(info)
        if {info.name, info.distribution} & _disabled():
            info.health, info.detail = "disabled", f"left out by {DISABLE_VARIABLE}"
            return info
        try:
            self._register(entry_point.load(), info)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._forget(info)
            info.health, info.detail = "broken", _one_line(error)
        return info

    def _register(self, module: Any, info: PluginInfo) -> None:
        stated = getattr(module, "pixkit_api_version", None)
        if stated != hookspecs.API_VERSION:
            raise PluginError(
                f"states pixkit_api_version = {stated!r}; this pixkit has {hookspecs.API_VERSION}",
            )
        self.manager.register(module, _key(info))
        self.manager.check_pending()
        self._check_names(module)
        registrar = Registrar(info.distribution, info.version)
        self.call(info, "pixkit_register", registry=registrar)
        conflicts = self.registry.extend(registrar.entries)
        info.components = [(entry.kind, entry.name) for entry in registrar.entries]
        if conflicts:
            info.health, info.detail = "conflict", "; ".join(conflicts)

    def call(self, info: PluginInfo, hook: str, **arguments: Any) -> None:
        """Call a hook of one plugin alone; nothing happens if it does not implement the hook."""
        module = self.manager.get_plugin(_key(info))
        others = [plugin for plugin in self.manager.get_plugins() if plugin is not module]
        self.manager.subset_hook_caller(hook, others)(**arguments)

    def _check_names(self, module: Any) -> None:
        """pluggy ignores an unmarked function; one that starts like a hook is a mistake too."""
        hooks = {name for name in vars(hookspecs) if name.startswith("pixkit_")}
        for name in vars(module):
            value = getattr(module, name)
            if name.startswith("pixkit_") and callable(value):
                if name not in hooks:
                    raise PluginError(f"'{name}' is no hook of pixkit; there are {', '.join(sorted(hooks))}")
                if not hasattr(value, "pixkit_impl"):
                    raise PluginError(f"'{name}' lacks the @pixkit.hookimpl marker")

    def _forget(self, info: PluginInfo) -> None:
        if self.manager.has_plugin(_key(info)):
            self.manager.unregister(name=_key(info))

    def broken(self) -> list[PluginInfo]:
        """Plugins that could not be loaded."""
        return [info for info in self.infos if info.health == "broken"]


def load_plugins(entry_points: Iterable[importlib.metadata.EntryPoint] | None = None) -> Plugins:
    """Load every plugin of the entry-point group `pixkit`, pixkit's own first."""
    found = importlib.metadata.entry_points(group=GROUP) if entry_points is None else entry_points
    loaded = Plugins()
    for entry_point in sorted(found, key=_rank):
        loaded.load(entry_point)
    return loaded


@functools.cache
def plugins() -> Plugins:
    """The plugins of this process, loaded at the first call."""
    return load_plugins()


def registry() -> Registry:
    """The registry of this process."""
    return plugins().registry


def _rank(entry_point: importlib.metadata.EntryPoint) -> tuple[bool, str, str]:
    distribution = entry_point.dist.name if entry_point.dist else ""
    return distribution != "pixkit", distribution, entry_point.name


def _key(info: PluginInfo) -> str:
    return f"{info.distribution}:{info.name}"


def _disabled() -> set[str]:
    return {name.strip() for name in os.environ.get(DISABLE_VARIABLE, "").split(",") if name.strip()}


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
