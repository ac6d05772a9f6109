"""Registries: which component goes by which name, and who brings it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pixkit.component import ComponentConfig
from pixkit.errors import PluginError

KINDS = ("ordering", "mask", "backbone", "head", "sampler", "model", "data")


@dataclass(frozen=True)
class Entry:
    """One registered component."""

    kind: str
    name: str
    cls: Any
    distribution: str
    version: str

    @property
    def qualified(self) -> str:
        """``distribution:name``, which always resolves."""
        return f"{self.distribution}:{self.name}"

    @property
    def recipe_name(self) -> str:
        """The name that a locked recipe writes: bare for pixkit's own, qualified for others."""
        return self.name if self.distribution == "pixkit" else self.qualified

    @property
    def summary(self) -> str:
        """First line of the component's docstring."""
        return (self.cls.__doc__ or "").strip().split("\n")[0]


class Registrar:
    """What a plugin's ``pixkit_register(registry)`` is given: it collects that plugin's components."""

    def __init__(self, distribution: str, version: str) -> None:
        self.distribution = distribution
        self.version = version
        self.entries: list[Entry] = []

    def add(self, kind: str, name: str, cls: Any) -> None:
        """Register the class `cls` as the component `name` of the registry `kind`.

        Raises:
            PluginError: for an unknown kind, a bad name, a class without ``Config``, or a name that
                this plugin registered already.
        """
        if kind not in KINDS:
            raise PluginError(f"no registry '{kind}'", where=self.distribution, expected=", ".join(KINDS))
        if not isinstance(name, str) or not name.replace("_", "").replace("-", "").isalnum():
            raise PluginError(
                f"bad name for a {kind}",
                where=self.distribution,
                found=repr(name),
                expected="letters, digits, '_' and '-'",
            )
        config = getattr(cls, "Config", None)
        if not (isinstance(config, type) and issubclass(config, ComponentConfig)):
            raise PluginError(
                f"the {kind} '{name}' has no nested Config",
                where=self.distribution,
                found=repr(config),
                expected="a subclass of pixkit.ComponentConfig",
            )
        if any((entry.kind, entry.name) == (kind, name) for entry in self.entries):
            raise PluginError(f"the {kind} '{name}' is registered twice", where=self.distribution)
        self.entries.append(Entry(kind, name, cls, self.distribution, self.version))


class Registry:
    """All components, by kind and name."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Entry]] = {kind: [] for kind in KINDS}

    def extend(self, entries: list[Entry]) -> list[str]:
        """Take the components of one plugin; return a line for every name that another one brought already."""
        conflicts = []
        for entry in entries:
            for other in self._entries[entry.kind]:
                if other.name != entry.name:
                    continue
                if other.distribution == entry.distribution:
                    raise PluginError(f"the {entry.kind} '{entry.name}' is registered twice", where=entry.distribution)
                conflicts.append(_conflict(entry.kind, entry.name, [other, entry]))
        for entry in entries:
            self._entries[entry.kind].append(entry)
        return conflicts

    def find(self, kind: str, name: str) -> Entry | None:
        """The entry called `name` or `distribution:name`, or None.

        Raises:
            PluginError: if several distributions bring that bare name.
        """
        found = [entry for entry in self._entries[kind] if name in (entry.name, entry.qualified)]
        if len(found) > 1:
            raise PluginError(
                _conflict(kind, name, found), hint=f"write one of {', '.join(entry.qualified for entry in found)}"
            )
        return found[0] if found else None

    def get(self, kind: str, name: str) -> Entry:
        """The entry called `name`; PluginError, with the nearest names, if there is none."""
        entry = self.find(kind, name)
        if entry is None:
            raise PluginError(self.unknown_message(kind, name))
        return entry

    def names(self, kind: str) -> list[str]:
        """Sorted names of one kind."""
        return sorted({entry.name for entry in self._entries[kind]})

    def unknown_message(self, kind: str, name: str) -> str:
        """The sentence for a name that is not there, with the nearest one that is."""
        near = difflib.get_close_matches(name, self.names(kind), n=1)
        guess = f"; did you mean '{near[0]}'?" if near else ""
        return f"no {kind} named '{name}'{guess} (there are: {', '.join(self.names(kind))})"

    def __iter__(self) -> Iterator[Entry]:
        for kind in KINDS:
            yield from sorted(self._entries[kind], key=lambda entry: entry.name)


def _conflict(kind: str, name: str, entries: list[Entry]) -> str:
    who = " and ".join(f"{entry.distribution} {entry.version}" for entry in entries)
    return f"the {kind} '{name}' is brought by {who}"
