"""Check a tree against the schema; pydantic's errors become problems with positions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from pixkit.components.config import aliases
from pixkit.components.registry import Registry
from pixkit.errors import listed
from pixkit.recipe.messages import Verdict, judge, union_tag, unknown_component, unknown_key
from pixkit.recipe.schema import Recipe
from pixkit.recipe.sections import Slot, config_at, keys_below, owners, slot_at
from pixkit.recipe.source import InvalidRecipe, Path, Problem
from pixkit.recipe.yaml import Node


def validate(root: Node, registry: Registry) -> Recipe:
    """The recipe that a tree describes.

    Raises:
        InvalidRecipe: with all errors.
        PluginError: if several distributions have a component with the same name.
    """
    plain = root.plain()
    if not isinstance(plain, dict):
        expected = "a mapping with the keys pixkit, name, data and model"
        raise InvalidRecipe([Problem("not a recipe", root.mark, found=root.describe(), expected=expected)])
    try:
        return Recipe.model_validate(plain, context={"registry": registry})
    except ValidationError as error:
        translator = _Translator(root, plain, registry)
        raise InvalidRecipe(translator.problems(error.errors(include_url=False))) from None


@dataclass(frozen=True)
class _Place:
    """Where an error belongs: `node` is its value or, if `absent`, what should hold its key."""

    path: Path
    node: Node
    absent: bool = False
    tagged: bool = False


def locate(root: Node, path: Path) -> Node:
    """The node at `path`, or the innermost existing one on the way."""
    node = root
    for part in path:
        child = _child(node, part)
        if child is None:
            break
        node = child
    return node


@dataclass(frozen=True)
class _Translator:
    root: Node
    plain: Any
    registry: Registry

    def problems(self, errors: list[Any]) -> list[Problem]:
        """One problem for each error; those of a union's members are merged."""
        found: list[tuple[_Place, Verdict, Problem]] = []
        for error in errors:
            place = self._place(error)
            verdict, place = self._verdict(error, place)
            found.append((place, verdict, self._problem(error, place, verdict)))
        return list(self._merged(found))

    def _place(self, error: Any) -> _Place:
        """Follow pydantic's loc, leaving out its additions for members of unions."""
        node, tagged = self.root, False
        path: Path = ()
        for index, part in enumerate(error["loc"]):
            child = _child(node, part)
            if child is not None:
                node, path = child, (*path, part)
            elif index == len(error["loc"]) - 1 and self._is_absent(error, path, part):
                return _Place((*path, part), node, absent=True)
            else:
                tagged = True
        return _Place(path, node, tagged=tagged)

    def _is_absent(self, error: Any, path: Path, part: str | int) -> bool:
        if error["type"] == "missing":
            return True
        config = config_at(path, self.plain, self.registry)
        return config is not None and part in config.model_fields

    def _verdict(self, error: Any, place: _Place) -> tuple[Verdict, _Place]:
        kind, context = error["type"], error.get("ctx") or {}
        if kind == "missing":
            return self._missing(place.path[-1], context.get("kind")), place
        if kind == "extra_forbidden":
            tail = [str(place.path[-1]), *_only_keys(place.node)]
            section = place.path[:-1]
            slot = slot_at(section, self.plain, self.registry)
            owning = owners(slot, tail[0], self.registry) if slot else ()
            config = config_at(section, self.plain, self.registry)
            also = aliases(config) if config else {}
            return unknown_key(tail, self._keys(section), self._others(section), owning, also), place
        if kind in ("union_tag_invalid", "union_tag_not_found"):
            child = _child(place.node, "type")
            path = (*place.path, "type")
            return union_tag(context, child), _Place(path, child or place.node, absent=child is None)
        if kind == "unknown_component":
            return unknown_component(context["kind"], error["input"], context["known"]), place
        return judge(error, place.node, self._field(place.path)), place

    def _missing(self, name: str | int, kind: str | None) -> Verdict:
        if isinstance(name, int):
            return Verdict("the list is too short", f"at least {name + 1} items")
        names = listed(self.registry.names(kind)) if kind else None
        return Verdict(f"the key '{name}' is missing", names)

    def _keys(self, path: Path) -> list[str]:
        """The keys that the section at `path` may have."""
        slot, config = slot_at(path, self.plain, self.registry), config_at(path, self.plain, self.registry)
        key = slot.key() if slot else None
        fields = list(config.model_fields) if config else []
        return [key, *fields] if key and key not in fields else fields

    def _others(self, path: Path) -> list[Path]:
        """The keys of all sections except the one at `path`."""
        return [other for other in keys_below(Slot(Recipe), self.plain, self.registry) if other[:-1] != path]

    def _field(self, path: Path) -> FieldInfo | None:
        config = config_at(path[:-1], self.plain, self.registry) if path else None
        return config.model_fields.get(str(path[-1])) if config else None

    def _problem(self, error: Any, place: _Place, verdict: Verdict) -> Problem:
        of_section = error["type"] == "value_error" and isinstance(place.node.value, dict)
        at_key = place.absent or of_section or error["type"] == "extra_forbidden"
        mark = place.node.holder if at_key else place.node.mark
        found = None if at_key else place.node.describe()
        return Problem(verdict.message, mark, place.path, found, verdict.expected, verdict.hint, verdict.component)

    def _merged(self, found: list[tuple[_Place, Verdict, Problem]]) -> Iterator[Problem]:
        """Each problem, merging those of the members of a union, and dropping those of members that were not meant.

        A problem within the value, or of another sort, belongs to the member that was meant.
        """
        unions: dict[Path, list[Problem]] = {}
        others: list[Path] = []
        for place, verdict, problem in found:
            if place.tagged and verdict.is_type:
                unions.setdefault(place.path, []).append(problem)
            else:
                others.append(place.path)
                yield problem
        for path, members in unions.items():
            within = (other for other in unions if other != path)
            if any(other[: len(path)] == path for other in (*others, *within)):
                continue
            expected = " or ".join(dict.fromkeys(member.expected or "" for member in members))
            hint = next((member.hint for member in members if member.hint), None)
            first = members[0]
            message = first.message if len(members) == 1 else "wrong type or value"
            yield Problem(message, first.mark, first.path, first.found, expected, hint)


def _only_keys(node: Node) -> Iterator[str]:
    """The key of a mapping, and so on inwards, as long as each has only one."""
    while isinstance(node.value, dict) and len(node.value) == 1:
        ((key, node),) = node.value.items()
        yield key


def _child(node: Node, part: str | int) -> Node | None:
    if isinstance(node.value, dict):
        return node.value.get(str(part)) if isinstance(part, str) else None
    if isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    return None
