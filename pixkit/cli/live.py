"""The catalogue of what is loaded in this process, and its conversion to plain data."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter

from pixkit.catalogue.contents import CommandEntry, Component, Plugin
from pixkit.cli.group import SECTIONS, module_of
from pixkit.cli.plugins import commands_of
from pixkit.cli.sketch import sketch
from pixkit.components.keys import keys_of
from pixkit.components.plugins import Plugins
from pixkit.components.spec import Entry
from pixkit.distribution import remarks
from pixkit.image import ImageSpec
from pixkit.recipe.schema import Recipe


class Live:
    """The contents of this process's plugins."""

    def __init__(self, loaded: Plugins) -> None:
        self._loaded = loaded
        self.faults: list[str] = []
        """Errors in the commands of plugins, once these were requested."""

    @cached_property
    def _entries(self) -> dict[Component, Entry]:
        return {component_of(each): each for each in self._loaded.registry}

    @property
    def components(self) -> list[Component]:
        """As `Catalogue.components`."""
        return list(self._entries)

    @cached_property
    def commands(self) -> list[CommandEntry]:
        """As `Catalogue.commands`."""
        own = [
            CommandEntry(name, summary, "", _if_it_can(_own_sketch, name))
            for section in SECTIONS.values()
            for name, summary in section.items()
        ]
        taken = {each.name for each in own}
        found = [
            CommandEntry(name, command.get_short_help_str(80), info.name, _if_it_can(sketch, command))
            for info in self._loaded.infos
            for name, command in commands_of(self._loaded, info, self.faults.append).items()
            if name not in taken and not command.hidden
        ]
        return [*own, *sorted(found, key=lambda each: each.name)]

    def details(self, component: Component) -> dict[str, Any]:
        """As `Catalogue.details`."""
        return details_of(self._entries[component])

    def recipe(self) -> dict[str, Any]:
        """As `Catalogue.recipe`."""
        return {"keys": [dataclasses.asdict(key) for key in keys_of(Recipe)], "schema": Recipe.model_json_schema()}

    def plain(self) -> dict[str, Any]:
        """All of it as plain data, for `Kept`."""
        plugins = [
            Plugin(info.name, info.distribution, info.version, info.health, info.detail) for info in self._loaded.infos
        ]
        commands = [dataclasses.asdict(each) for each in self.commands]
        for place, (plugin, info) in enumerate(zip(plugins, self._loaded.infos, strict=True)):
            if (plugin.health, plugin.detail) != (info.health, info.detail):
                plugins[place] = dataclasses.replace(plugin, fault=info.detail)
        return {
            "components": [
                {"entry": dataclasses.asdict(each), "details": _if_it_can(details_of, entry)}
                for each, entry in self._entries.items()
            ],
            "commands": commands,
            "plugins": [dataclasses.asdict(plugin) for plugin in plugins],
            "remarks": list(remarks()),
            "recipe": self.recipe(),
        }


def component_of(entry: Entry) -> Component:
    """A component as lists show it."""
    return Component(entry.kind, entry.name, entry.distribution, entry.version, entry.summary)


def details_of(entry: Entry) -> dict[str, Any]:
    """What `pixkit show` shows of a component, and the JSON Schema of its configuration, as plain data."""
    return {
        "class": f"{entry.cls.__module__}.{entry.cls.__qualname__}",
        "description": inspect.cleandoc(entry.cls.__doc__ or ""),
        "keys": [dataclasses.asdict(key) for key in keys_of(entry.cls.Config)],
        "free_parameters": _free_parameters(entry),
        "schema": TypeAdapter(entry.cls.Config).json_schema(),
    }


def _own_sketch(name: str) -> dict[str, Any]:
    return sketch(importlib.import_module(module_of(name)).command)


def _if_it_can(describe: Callable[..., dict[str, Any]], *given: object) -> dict[str, Any]:
    """The result of a function, or nothing if it fails, for example for a configuration without a JSON Schema, or a
    command with a broken import: the error appears when that component is shown, or that command is run.
    """
    try:
        return describe(*given)
    except Exception:
        return {}


def _free_parameters(entry: Entry) -> list[dict[str, int]]:
    """For a head with its defaults, on common images; empty for other kinds, and if the head does not say."""
    if entry.kind != "head" or any(field.is_required() for field in entry.cls.Config.model_fields.values()):
        return []
    found = []
    for channels, levels in ((1, 2), (1, 256), (3, 256)):
        count = entry.cls.parameter_count(entry.cls.Config(), ImageSpec(channels, 32, 32, levels))
        if count is not None:
            found.append({"channels": channels, "levels": levels, "count": count})
    return found
