"""Registries: which component has which name, and who provides it."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pixkit.catalogue.kinds import BASES, KINDS, one_of
from pixkit.components.config import ComponentConfig
from pixkit.components.plugin_file import SUFFIX
from pixkit.components.spec import Entry
from pixkit.distribution import OWN, canonical, is_own
from pixkit.errors import PluginError, listed, nearest

NOTEBOOK = "notebook"
"""Stands for the distribution of components that are registered by hand."""


@dataclass(frozen=True)
class Absence:
    """A plugin that was left out, the reason, and the (kind, name) pairs that it is known to provide."""

    plugin: str
    distribution: str
    version: str
    reason: str
    names: frozenset[tuple[str, str]] = frozenset()

    def __str__(self) -> str:
        return f"the plugin '{self.plugin}' of {self.distribution} {self.version} ({self.reason})"


class Registrar:
    """The argument of a plugin's ``pixkit_register(registry)``: it collects that plugin's components."""

    def __init__(self, distribution: str, version: str) -> None:
        self.distribution = distribution
        self.version = version
        self.call = "pixkit.register" if distribution == NOTEBOOK else "registry.add"
        self.entries: list[Entry] = []

    # Any: the base class depends on the kind
    def add(self, kind: str, name: str, cls: Any) -> None:
        """Register the class `cls` as the component `name` of the registry `kind`.

        Raises:
            PluginError: for an unknown kind, a bad name, something that is not a class of that kind, lacks a method or
                has no ``Config``, a key reserved for recipes, or a name that this plugin has already registered.
        """
        if kind not in KINDS:
            raise PluginError(f"no registry '{kind}'", where=self.distribution, expected=", ".join(KINDS))
        if not isinstance(name, str) or not name.replace("_", "").replace("-", "").isalnum():
            raise PluginError(
                f"bad name for {one_of(kind)}",
                where=self.distribution,
                found=repr(name),
                expected="letters, digits, '_' and '-'",
            )
        self._check_class(kind, name, cls)
        if any((entry.kind, entry.name) == (kind, name) for entry in self.entries):
            raise PluginError(f"the {kind} '{name}' is registered twice", where=self.distribution)
        self.entries.append(Entry(kind, name, cls, self.distribution, self.version))

    def _check_class(self, kind: str, name: str, cls: Any) -> None:
        if not isinstance(cls, type):
            raise PluginError(f"the {kind} '{name}' is not a class", where=self.distribution, found=repr(cls))
        if not issubclass(cls, base_of(kind)):
            raise self._of_another_kind(kind, name, cls)
        config = getattr(cls, "Config", None)
        if not (isinstance(config, type) and issubclass(config, ComponentConfig)):
            raise PluginError(
                f"the {kind} '{name}' has no nested Config",
                where=self.distribution,
                found=repr(config),
                expected="a subclass of pixkit.ComponentConfig",
            )
        key = "source" if kind == "data" else "type"
        if key in config.model_fields:
            raise PluginError(
                f"the {kind} '{name}' has a key '{key}', which is reserved for the component's name in recipes",
                where=self.distribution,
                hint="rename the key",
            )
        lacked = sorted(getattr(cls, "__abstractmethods__", ()))
        if lacked:
            raise PluginError(
                f"the class of the {kind} '{name}' lacks {' and '.join(f'`{method}`' for method in lacked)}",
                where=self.distribution,
                found=_whole_name(cls),
                expected=f"a class with every method that is abstract in pixkit.{base_of(kind).__name__}",
            )

    def _of_another_kind(self, kind: str, name: str, cls: type) -> PluginError:
        whole = _whole_name(cls)
        own = next((other for other in KINDS if issubclass(cls, base_of(other))), None)
        return PluginError(
            f"the class of the {kind} '{name}' is not one of that kind",
            where=self.distribution,
            found=f"{whole}, a pixkit.{base_of(own).__name__}" if own else whole,
            expected=f"a subclass of pixkit.{base_of(kind).__name__}",
            hint=f'{self.call}("{own}", "{name}", {cls.__name__})' if own else None,
        )


def _whole_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def base_of(kind: str) -> type:
    """The base class of a kind of component."""
    base: type = pkgutil.resolve_name(BASES[kind])
    return base


class Registry:
    """All components, by kind and name."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Entry]] = {kind: [] for kind in KINDS}
        self._absences: list[Absence] = []

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(entries)} {kind}" for kind, entries in self._entries.items())
        return f"<{type(self).__name__} of components: {counts}>"

    def extend(self, entries: list[Entry]) -> None:
        """Add the components of one plugin: all or, if its distribution already provides one of them, none."""
        for entry in entries:
            if any(entry.qualified == other.qualified for other in self._entries[entry.kind]):
                raise PluginError(f"the {entry.kind} '{entry.name}' is registered twice", where=entry.distribution)
        for entry in entries:
            self._entries[entry.kind].append(entry)

    def withdraw(self, entries: list[Entry]) -> None:
        """Remove these components."""
        for entry in entries:
            self._entries[entry.kind].remove(entry)

    def left_out(self, absence: Absence) -> None:
        """Record a plugin whose components are missing, for `explain`."""
        self._absences.append(absence)

    def conflicts(self) -> dict[tuple[str, str], str]:
        """A sentence for every (kind, name) that several distributions provide."""
        found: dict[tuple[str, str], list[Entry]] = {}
        for entry in self:
            found.setdefault((entry.kind, entry.name), []).append(entry)
        return {key: _conflict(*key, entries) for key, entries in found.items() if len(entries) > 1}

    def find(self, kind: str, name: str) -> Entry | None:
        """The entry named `name` or `distribution:name`, or None.

        Raises:
            PluginError: if several distributions provide that bare name.
        """
        distribution, _, bare = name.rpartition(":")
        found = [entry for entry in self._entries[kind] if entry.name == bare]
        if distribution:
            found = [entry for entry in found if canonical(entry.distribution) == canonical(distribution)]
        if len(found) > 1:
            raise PluginError(
                _conflict(kind, name, found),
                hint=f"write one of {', '.join(entry.qualified for entry in found)}, "
                "or leave a plugin out with PIXKIT_DISABLE_PLUGINS",
            )
        return found[0] if found else None

    def get(self, kind: str, name: str) -> Entry:
        """The entry named `name`.

        Raises:
            PluginError: if none has that name; names the nearest one, or the plugin that is missing.
        """
        entry = self.find(kind, name)
        if entry is None:
            raise PluginError(self.unknown_message(kind, name), hint=self.explain(kind, name))
        return entry

    def explain(self, kind: str, name: str, built_with: Mapping[str, str] | None = None) -> str | None:
        """Say which plugin would provide a missing component; None if no plugin is known to be missing.

        Args:
            kind: kind of the component.
            name: its bare or qualified name.
            built_with: versions of distributions that are known to provide it.
        """
        distribution, _, bare = name.rpartition(":")
        certain = [one for one in self._absences if (kind, bare) in one.names]
        if distribution:
            asked = canonical(distribution)
            certain = [one for one in self._absences if canonical(one.distribution) == asked]
            if not certain and (asked == NOTEBOOK or distribution.endswith(SUFFIX)):
                return _how_to_bring(distribution)
            if not certain:
                version = {canonical(key): value for key, value in (built_with or {}).items()}.get(asked)
                name = OWN if is_own(distribution) else distribution
                wanted = f"{name} >= {version}" if version else name
                return f"no plugin of {distribution} that is loaded here provides it: install {wanted}"
        if certain:
            return f"it belongs to {' or '.join(map(str, certain))}"
        if self._absences:
            return f"it may belong to a plugin that could not be loaded: {' or '.join(map(str, self._absences))}"
        return None

    def names(self, kind: str) -> list[str]:
        """Sorted names of one kind."""
        return sorted({entry.name for entry in self._entries[kind]})

    def unknown_message(self, kind: str, name: str) -> str:
        """The sentence for an unknown name, with the nearest known one."""
        guess = nearest(name, self.names(kind))
        return f"no {kind} named '{name}'{f'; {guess}' if guess else ''} (there are: {listed(self.names(kind))})"

    def __iter__(self) -> Iterator[Entry]:
        for kind in KINDS:
            yield from sorted(self._entries[kind], key=lambda entry: entry.name)


def _how_to_bring(distribution: str) -> str:
    """How to provide a component from a file, or one registered by hand."""
    if distribution == NOTEBOOK:
        return (
            "it was registered by hand: do so again with pixkit.register(...), or put it into a plugin file "
            "and give that with --plugin FILE.py or pixkit.load(run, plugins=['FILE.py'])"
        )
    return (
        f"it came from the plugin file {distribution}: give it with --plugin {distribution} "
        f"or pixkit.load(run, plugins=['{distribution}'])"
    )


def _conflict(kind: str, name: str, entries: list[Entry]) -> str:
    who = " and ".join(f"{entry.distribution} {entry.version}" for entry in entries)
    return f"the {kind} '{name}' is provided by {who}"
