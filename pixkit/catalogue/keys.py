"""The keys that a recipe may have at some place, and the values of those that have few, from JSON Schemas only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pixkit.catalogue.contents import Catalogue, named
from pixkit.catalogue.kinds import BARE

KIND, KEY, AUTO = "x-pixkit-kind", "x-pixkit-key", "x-pixkit-auto-or"
"""Schema entries of components: their place, the key that names them, and their names."""


@dataclass(frozen=True)
class Rule:
    """A schema, and the definitions that it refers to."""

    schema: Mapping[str, Any]
    definitions: Mapping[str, Any]


class Keys:
    """The possible content of a recipe, given its current content.

    Args:
        catalogue: the components.
        recipe: plain data, as far as it can be read: the components in it decide which keys there are.
    """

    def __init__(self, catalogue: Catalogue, recipe: Any) -> None:
        self._catalogue, self._recipe = catalogue, recipe

    def below(self, path: tuple[str, ...]) -> dict[str, str]:
        """The keys at a place, and their descriptions; sections, which have keys themselves, end in a dot."""
        found: dict[str, str] = {}
        for rule in self._at(path):
            for name, inner in self._properties(rule, self._value(path)):
                if inner.schema.get("deprecated"):
                    continue  # another name of a key
                opens = any(True for one in self._alternatives(inner, self._value((*path, name))) if _has_keys(one))
                text = str(inner.schema.get("description", ""))
                found.setdefault(f"{name}." if opens else name, " ".join(text.split()))
        return found

    def values(self, path: tuple[str, ...]) -> list[str]:
        """The values that a key may have, if they can be listed."""
        found: list[str] = []
        for rule in self._at(path, whole=True):
            found += self._listed(rule)
        return list(dict.fromkeys(found))

    def _at(self, path: tuple[str, ...], *, whole: bool = False) -> list[Rule]:
        """The rules at a place: those for its current value or, with `whole`, for any value."""
        schema = self._catalogue.recipe()["schema"]
        rules = [Rule(schema, schema.get("$defs", {}))]

        def given(depth: int) -> Any:
            # The current value decides which keys there are, but not which other `type` it might have.
            chosen = whole and path[-1] == "type" and depth >= len(path) - 1
            return None if chosen else self._value(path[:depth])

        for depth, part in enumerate(path):
            last = whole and depth == len(path) - 1
            inner = [each for rule in rules for name, each in self._properties(rule, given(depth)) if name == part]
            rules = inner if last else [one for rule in inner for one in self._alternatives(rule, given(depth + 1))]
        return rules

    def _properties(self, rule: Rule, given: Any) -> Iterator[tuple[str, Rule]]:
        for alternative in self._alternatives(rule, given):
            for name, schema in alternative.schema.get("properties", {}).items():
                yield name, Rule(schema, alternative.definitions)

    def _alternatives(self, rule: Rule, given: Any) -> Iterator[Rule]:
        """Follow a rule's references: each member of a union, and the named component."""
        schema = rule.schema
        if "$ref" in schema:
            target = rule.definitions.get(schema["$ref"].rpartition("/")[2], {})
            yield from self._alternatives(Rule(target, rule.definitions), given)
        elif KIND in schema:
            yield self._component(schema, given)
        elif "oneOf" in schema or "anyOf" in schema:
            for member in _meant(rule, given):
                yield from self._alternatives(member, given)
        else:
            yield rule

    def _component(self, schema: Mapping[str, Any], given: Any) -> Rule:
        """The keys of the current component, and the one that names it."""
        key = schema[KEY]
        usual = schema.get("default")  # of a section that is left out, or does not say its type
        usual = usual.get(key) if isinstance(usual, dict) else usual
        name = given.get(key, usual) if isinstance(given, dict) else usual if given is None else given
        found = named(self._catalogue, schema[KIND], name) if isinstance(name, str) else []
        inner = self._catalogue.details(found[0]).get("schema") if found else None
        if schema[KIND] in BARE and not (inner or {}).get("properties"):
            return Rule({}, {})  # written as its name
        chooser = {"enum": self._names(schema[KIND]), "description": f"Which {schema[KIND]}."}
        return Rule(
            {"properties": {key: chooser, **(inner or {}).get("properties", {})}}, (inner or {}).get("$defs", {})
        )

    def _listed(self, rule: Rule) -> list[str]:
        """The values that a rule lists."""
        schema = rule.schema
        if "$ref" in schema:
            target = rule.definitions.get(schema["$ref"].rpartition("/")[2], {})
            return self._listed(Rule(target, rule.definitions))
        if KIND in schema or AUTO in schema:
            return [*(["auto"] if AUTO in schema else []), *self._names(schema.get(KIND) or schema[AUTO])]
        members = [*schema.get("oneOf", []), *schema.get("anyOf", [])]
        if members:
            return [value for member in members for value in self._listed(Rule(member, rule.definitions))]
        usual = {"boolean": [True, False], "null": [None]}.get(schema.get("type", ""), [])
        return [_text(value) for value in schema.get("enum", [schema["const"]] if "const" in schema else usual)]

    def _names(self, kind: str) -> list[str]:
        return sorted({each.name for each in self._catalogue.components if each.kind == kind})

    def _value(self, path: tuple[str, ...]) -> Any:
        """The recipe's value at a place."""
        value = self._recipe
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return value


def _has_keys(rule: Rule) -> bool:
    return bool(rule.schema.get("properties"))


def _meant(rule: Rule, given: Any) -> list[Rule]:
    """The possible members of a union: the one whose `type` is given, otherwise all."""
    members = [Rule(each, rule.definitions) for each in (*rule.schema.get("oneOf", []), *rule.schema.get("anyOf", []))]
    mapping = rule.schema.get("discriminator", {}).get("mapping", {})
    target = mapping.get(given.get("type")) if isinstance(given, dict) else None
    return [each for each in members if target is None or each.schema.get("$ref") == target]


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)
