"""Finding, loading and isolating plugins from entry points, files and notebooks.

Every plugin, pixkit's own included, is loaded separately, and first into a temporary manager: a plugin that fails does
not affect the others. Its failure is kept as one line of its health.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixkit.catalogue.kinds import one_of
from pixkit.components.attempt import attempt, plugin_manager, with_line
from pixkit.components.plugin_file import PluginFile, read_plugin_file
from pixkit.components.registry import NOTEBOOK, Absence, Registrar, Registry
from pixkit.components.spec import Entry
from pixkit.distribution import (
    DISABLE_VARIABLE,
    Unreadable,
    canonical,
    in_order,
    origin,
    plugin_points,
    remarks,
    shield_libraries,
)
from pixkit.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

UNVERSIONED = "unversioned"


@dataclass
class PluginInfo:
    """One plugin as shown by `pixkit plugins`; health is 'ok', 'conflict', 'disabled' or 'broken'."""

    name: str
    distribution: str
    version: str
    health: str = "ok"
    detail: str = ""
    components: list[tuple[str, str]] = field(default_factory=list)

    @property
    def key(self) -> str:
        """pluggy's name for the plugin."""
        return f"{self.distribution}:{self.name}"


class Plugins:
    """The loaded plugins: a pluggy manager, the registry that they filled, and the health of each."""

    def __init__(self) -> None:
        self.manager = plugin_manager()
        self.registry = Registry()
        self.infos: list[PluginInfo] = []
        self._files: dict[Path, tuple[PluginFile, PluginInfo]] = {}
        self._by_hand = PluginInfo(NOTEBOOK, NOTEBOOK, UNVERSIONED)

    @property
    def files(self) -> list[Path]:
        """The loaded plugin files, in the order in which they were first loaded."""
        return list(self._files)

    def load(self, entry_point: EntryPoint) -> PluginInfo:
        """Load one plugin; errors of the plugin are recorded, never raised.

        Output during its import goes to stderr, since stdout is for data.
        """
        info = PluginInfo(entry_point.name, *origin(entry_point))
        self.infos.append(info)
        registrar = Registrar(info.distribution, info.version)
        if self._is_disabled(info):
            return info
        try:
            with contextlib.redirect_stdout(sys.stderr):
                module = entry_point.load()
                attempt(module, info.key, registrar)
            self._take(module, info, registrar)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._leave_out(info, "broken", with_line(error), registrar.entries)
        return info

    def note(self, found: Unreadable) -> None:
        """Record unreadable metadata as a broken plugin without a name, since it may provide what a recipe names."""
        info = PluginInfo("?", found.distribution, found.version)
        self.infos.append(info)
        if not self._is_disabled(info):
            self._leave_out(info, "broken", f"{found.reason}; reinstall it, or {DISABLE_VARIABLE}={info.distribution}")

    def load_file(self, path: str | Path) -> PluginInfo:
        """Load a plugin from a Python file: a module with hooks and `pixkit_api_version`, as for entry points.

        Its components are qualified by the file's name: ``my_net.py:NAME``. A file that is already loaded is
        loaded again only if it has changed since.

        Raises:
            PluginError: if it cannot be loaded, for any reason; everything is then left as before.
        """
        file = read_plugin_file(path)
        known, former = self._files.get(file.path, (None, None))
        if known == file and former is not None:
            return former
        self._require_free(file)
        info = PluginInfo(file.path.stem, file.distribution, file.version)
        registrar = Registrar(info.distribution, info.version)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                module = file.load(lambda module: attempt(module, info.key, registrar))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError("the plugin file cannot be loaded", where=str(path), found=with_line(error)) from error
        if former is not None:
            self._forget(former)
        self.infos.append(info)
        self._take(module, info, registrar)
        self._files[file.path] = (file, info)
        return info

    # Any: the base class depends on the kind
    def register(self, kind: str, name: str, cls: Any) -> Entry:
        """Register one component by hand, as in a notebook, where cells are run again: the last class gets the name.

        Raises:
            PluginError: as for `Registrar.add`, and if a plugin provides the name.
        """
        registrar = Registrar(NOTEBOOK, UNVERSIONED)
        registrar.add(kind, name, cls)
        same = [entry for entry in self.registry if (entry.kind, entry.name) == (kind, name)]
        theirs = [f"that of {entry.distribution} {entry.version}" for entry in same if entry.distribution != NOTEBOOK]
        if theirs:
            raise PluginError(
                f"there is {one_of(kind)} '{name}' already",
                where=NOTEBOOK,
                found=" and ".join(theirs),
                hint="register it under another name: components of plugins are not replaced",
            )
        self.registry.withdraw(same)
        self.registry.extend(registrar.entries)
        if self._by_hand not in self.infos:
            self.infos.append(self._by_hand)
        self._by_hand.components = sorted({*self._by_hand.components, (kind, name)})
        return registrar.entries[0]

    def _require_free(self, file: PluginFile) -> None:
        """Require a unique file name, since components are qualified by that only."""
        taken = [info for info in self.infos if canonical(info.distribution) == canonical(file.distribution)]
        if taken and file.path not in self._files:
            raise PluginError("another plugin has this name", where=str(file.path), hint="rename one of the two files")

    def _forget(self, info: PluginInfo) -> None:
        """Remove a plugin and its components."""
        self.infos.remove(info)
        self.manager.unregister(name=info.key)
        self.registry.withdraw([entry for entry in self.registry if entry.distribution == info.distribution])

    def _take(self, module: Any, info: PluginInfo, registrar: Registrar) -> None:
        """Add the plugin to the loaded ones, or raise and leave everything as before."""
        self.manager.register(module, info.key)
        try:
            self.registry.extend(registrar.entries)
        except PluginError:
            self.manager.unregister(name=info.key)
            raise
        info.components = [(entry.kind, entry.name) for entry in registrar.entries]
        self._note_conflicts()

    def _is_disabled(self, info: PluginInfo) -> bool:
        """Whether the user has disabled it, by its name or its distribution's; this is then noted."""
        names = {name.strip() for name in os.environ.get(DISABLE_VARIABLE, "").split(",")}
        disabled = info.name in names or canonical(info.distribution) in map(canonical, names)
        if disabled:
            self._leave_out(info, "disabled", f"left out by {DISABLE_VARIABLE}")
        return disabled

    def _leave_out(self, info: PluginInfo, health: str, detail: str, entries: Iterable[Entry] = ()) -> None:
        info.health, info.detail = health, detail
        names = frozenset((entry.kind, entry.name) for entry in entries)
        self.registry.left_out(Absence(info.name, info.distribution, info.version, f"{health}: {detail}", names))

    def _note_conflicts(self) -> None:
        """Note a conflict for every plugin that shares a name with another, including the first one."""
        conflicts = self.registry.conflicts()
        for info in self.infos:
            lines = [conflicts[name] for name in info.components if name in conflicts]
            if lines:
                info.health, info.detail = "conflict", "; ".join(lines)
            elif info.health == "conflict":  # the other one was a file, and has changed
                info.health, info.detail = "ok", ""

    # Any: the hook's own arguments
    def call(self, info: PluginInfo, hook: str, **arguments: Any) -> None:
        """Call a hook of one plugin only; nothing happens if it does not implement the hook."""
        module = self.manager.get_plugin(info.key)
        others = [plugin for plugin in self.manager.get_plugins() if plugin is not module]
        self.manager.subset_hook_caller(hook, others)(**arguments)

    def broken(self) -> list[PluginInfo]:
        """Plugins that could not be loaded."""
        return [info for info in self.infos if info.health == "broken"]


def load_plugins(entry_points: Iterable[EntryPoint] | None = None) -> Plugins:
    """Load every plugin of the entry-point group `pixkit`, pixkit's own first."""
    shield_libraries()
    found, unreadable = plugin_points() if entry_points is None else (entry_points, [])
    loaded = Plugins()
    for entry_point in in_order(found):
        loaded.load(entry_point)
    for damaged in unreadable:
        loaded.note(damaged)
    return loaded


@functools.cache
def plugins() -> Plugins:
    """The plugins of this process, loaded at the first call, which also warns of problems with the installation."""
    for remark in remarks():
        warnings.warn(remark, RuntimeWarning, stacklevel=2)
    return load_plugins()


def registry() -> Registry:
    """The registry of this process."""
    return plugins().registry


# Any: the base class depends on the kind
def register(kind: str, name: str, cls: Any) -> Any:
    """Make a class a component of this process, as in a notebook, and return it.

        pixkit.register("backbone", "mine", MyBackbone)
        pixkit.build("mine.yaml")  # backbone: {type: mine, width: 32}

    If a cell is run again, the last class gets the name. Elsewhere, a run with such a component needs the same call
    before `pixkit.load`; a class in a file comes with ``pixkit.load(run, plugins=["file.py"])``.

    Args:
        kind: ordering, backbone, head, activation, ...: one of `pixkit.components.KINDS`.
        name: what recipes call it: letters, digits, "_" and "-".
        cls: the class, derived from the kind's base class, with a nested ``Config``.

    Raises:
        PluginError: for an unknown kind, a bad name, a class of another kind or without a ``Config``, or a name that a
            plugin already provides.
    """
    plugins().register(kind, name, cls)
    return cls
