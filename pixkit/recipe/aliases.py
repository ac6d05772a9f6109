"""Rename keys that a recipe gives under an alias to their own names."""

from __future__ import annotations

from pixkit.components.config import aliases
from pixkit.components.registry import Registry
from pixkit.recipe.schema import Recipe
from pixkit.recipe.sections import Slot, config_of, step
from pixkit.recipe.source import InvalidRecipe, Path, Problem
from pixkit.recipe.yaml import Node


def settle_names(root: Node, registry: Registry) -> None:
    """Rename the keys of a tree that are given under an alias (`pixkit.components.config.aliases`).

    If two sources give one key under two names, the one with precedence counts: an override, or the later override.

    Raises:
        InvalidRecipe: with every key that one source gives under two names.
    """
    problems: list[Problem] = []
    _settle(root, (), Slot(Recipe), registry, problems)
    if problems:
        raise InvalidRecipe(problems)


def _settle(node: Node, path: Path, slot: Slot, registry: Registry, problems: list[Problem]) -> None:
    children: list[tuple[str | int, Node]] = []
    if isinstance(node.value, dict):
        config = config_of(slot, node.plain(), registry)
        named = {} if config is None else aliases(config)
        if named.keys() & node.value.keys():
            node.value = _renamed(node.value, path, named, problems)
        children = [*node.value.items()]
    elif isinstance(node.value, list):
        children = [*enumerate(node.value)]
    plain = node.plain() if children else None
    for part, child in children:
        below = step(slot, part, plain, registry) if isinstance(child.value, dict | list) else None
        if below is not None:
            _settle(child, (*path, part), below, registry, problems)


def _renamed(children: dict[str, Node], path: Path, named: dict[str, str], problems: list[Problem]) -> dict[str, Node]:
    """The children under their keys' own names, in order."""
    kept: dict[str, tuple[str, Node]] = {}
    for given, child in children.items():
        name = named.get(given, given)
        before = kept.get(name)
        if before is None or before[1].mark.source.rank < child.mark.source.rank:
            kept[name] = given, child
        elif before[1].mark.source.rank == child.mark.source.rank:
            message = f"'{given}' and '{before[0]}' are names of one key"
            problems.append(Problem(message, child.holder, (*path, given), hint="give one of them"))
    return {name: child for name, (_, child) in kept.items()}
