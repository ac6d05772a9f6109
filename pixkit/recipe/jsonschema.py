"""The JSON Schema of recipes, for editors and other programs."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from pixkit.catalogue.kinds import one_of
from pixkit.components.registry import Registry
from pixkit.components.spec import Entry
from pixkit.recipe.schema import Recipe

_KIND, _KEY, _NAMES = "x-pixkit-kind", "x-pixkit-key", "x-pixkit-auto-or"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = "#/$defs/"


def json_schema(registry: Registry) -> dict[str, Any]:
    """The schema of a recipe for the components of a registry.

    Every place for a component refers to ``$defs/KIND``, which is one of the names of that kind or a mapping with the
    keys of one component, ``$defs/KIND.NAME``. The classes used by a component's own configuration are
    ``$defs/KIND.NAME.CLASS``.
    """
    builder = _Builder(registry)
    root = builder.adopt(Recipe, "recipe")
    definitions = dict(sorted(builder.definitions.items()))
    return {"$schema": _DIALECT, **root, "title": "pixkit recipe", "$defs": definitions}


class _Builder:
    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.definitions: dict[str, Any] = {}

    def adopt(self, config: type, prefix: str) -> dict[str, Any]:
        """The schema of a class; its own definitions move to the common ones, under a prefix."""
        schema = TypeAdapter(config).json_schema()
        definitions = schema.pop("$defs", {})
        if "$ref" in schema:  # a class that refers to itself
            schema = definitions[schema["$ref"].removeprefix(_REFERENCE)]
        for name, definition in definitions.items():
            self.definitions[f"{prefix}.{name}"] = self._rewritten(definition, prefix)
        out: dict[str, Any] = self._rewritten(schema, prefix)
        return out

    def _rewritten(self, value: Any, prefix: str) -> Any:
        """The value with resolved references to the common definitions and placeholders for kinds."""
        if isinstance(value, str) and value.startswith(_REFERENCE):
            return f"{_REFERENCE}{prefix}.{value.removeprefix(_REFERENCE)}"
        if isinstance(value, list):
            return [self._rewritten(item, prefix) for item in value]
        if not isinstance(value, dict):
            return value
        if _NAMES in value:
            rest = {key: item for key, item in value.items() if key != _NAMES}
            return {**rest, "enum": sorted({"auto", *self._all_names(value[_NAMES])})}
        if _KIND not in value:
            return {key: self._rewritten(item, prefix) for key, item in value.items()}
        notes = {key: note for key, note in value.items() if key in ("description", "default", "title")}
        return {"$ref": self._kind(value[_KIND], value[_KEY]), **notes}

    def _kind(self, kind: str, key: str) -> str:
        """The reference to a kind, whose definition is made on first use."""
        if kind not in self.definitions:
            self.definitions[kind] = {}
            entries = [entry for entry in self.registry if entry.kind == kind]
            names = self._all_names(kind)
            options: list[Any] = (
                [{"enum": names, "description": f"The name of {one_of(kind)}, with its defaults."}] if names else []
            )
            options += [{"$ref": self._component(entry, key)} for entry in entries]
            self.definitions[kind] = {"oneOf": options} if options else {"not": {}}
        return f"{_REFERENCE}{kind}"

    def _component(self, entry: Entry, key: str) -> str:
        name = f"{entry.kind}.{entry.recipe_name}"
        schema = self.adopt(entry.cls.Config, name)
        chooser = {"enum": self._names(entry), "description": f"The {entry.kind}: {entry.summary}"}
        self.definitions[name] = {
            **schema,
            "title": entry.name,
            "description": entry.summary,
            "properties": {key: chooser, **schema.get("properties", {})},
            "required": [key, *schema.get("required", [])],
        }
        return f"{_REFERENCE}{name}"

    def _all_names(self, kind: str) -> list[str]:
        return sorted({name for entry in self.registry if entry.kind == kind for name in self._names(entry)})

    def _names(self, entry: Entry) -> list[str]:
        """The names of a component in recipes: also the bare name, unless another one has it as well."""
        same = [other for other in self.registry if (other.kind, other.name) == (entry.kind, entry.name)]
        return [entry.name, entry.qualified] if len(same) == 1 else [entry.qualified]
