"""A kept catalogue: components, commands and plugins as plain data, in the same form as loaded ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from pixkit.distribution import canonical


@dataclass(frozen=True)
class Component:
    """A component as lists show it."""

    kind: str
    name: str
    distribution: str
    version: str
    summary: str

    @property
    def qualified(self) -> str:
        """``distribution:name``."""
        return f"{self.distribution}:{self.name}"


@dataclass(frozen=True)
class Plugin:
    """A plugin and its state when it was loaded; `fault` says what is wrong with its commands."""

    name: str
    distribution: str
    version: str
    health: str
    detail: str
    fault: str = ""


@dataclass(frozen=True)
class CommandEntry:
    """A command, and its parameters as plain data (`pixkit.cli.sketch`), if available.

    The plugin is empty for pixkit's own commands.
    """

    name: str
    summary: str
    plugin: str
    sketch: dict[str, Any]


class Catalogue(Protocol):
    """A catalogue, kept or loaded."""

    @property
    def components(self) -> list[Component]:
        """All components, by kind and name."""
        ...

    @property
    def commands(self) -> list[CommandEntry]:
        """pixkit's own commands in the order of the help, then those of plugins by name."""
        ...

    def details(self, component: Component) -> dict[str, Any]:
        """Its class, description, keys, JSON Schema and free parameters; empty, if they are unavailable."""
        ...

    def recipe(self) -> dict[str, Any]:
        """The keys of every recipe, and their JSON Schema."""
        ...


class Kept:
    """A catalogue read from the cache."""

    def __init__(self, held: dict[str, Any]) -> None:
        self._held = held
        self.plugins = [Plugin(**each) for each in held["plugins"]]
        self.remarks: list[str] = held["remarks"]
        self.components = [Component(**each["entry"]) for each in held["components"]]
        self.commands = [CommandEntry(**each) for each in held["commands"]]

    def details(self, component: Component) -> dict[str, Any]:
        """As `Catalogue.details`."""
        found: dict[str, Any] = self._held["components"][self.components.index(component)]["details"]
        return found

    def recipe(self) -> dict[str, Any]:
        """As `Catalogue.recipe`."""
        found: dict[str, Any] = self._held["recipe"]
        return found


def named(catalogue: Catalogue, kind: str, name: str) -> list[Component]:
    """The components that a bare or qualified name may mean; several if distributions are in conflict."""
    distribution, _, bare = name.rpartition(":")
    return [
        each
        for each in catalogue.components
        if (each.kind, each.name) == (kind, bare)
        and (not distribution or canonical(each.distribution) == canonical(distribution))
    ]
