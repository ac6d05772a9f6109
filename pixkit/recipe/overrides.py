"""Overrides: ``key.sub=value`` on the command line, applied to the file's tree."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pixkit.components.registry import Registry
from pixkit.errors import dotted
from pixkit.recipe.diff import ABSENT
from pixkit.recipe.sections import Slot, slot_at
from pixkit.recipe.source import InvalidRecipe, Mark, Path, Problem, Source
from pixkit.recipe.yaml import Node, parse_source

_KEY = re.compile(r"[^.=\s]+")


def one_by_one(overrides: Sequence[str]) -> tuple[str, ...]:
    """The overrides; a single text is one override, not its characters."""
    return (overrides,) if isinstance(overrides, str) else tuple(overrides)


def saying(overrides: Sequence[str], key: str) -> str | None:
    """The last override that sets a key, directly or with its section; None if none does.

    Args:
        overrides: readable overrides.
        key: ``train.steps``.
    """
    for rank, text in enumerate(reversed(one_by_one(overrides)), 1):
        names, start = _keys(_unbroken(text, rank))
        given = ".".join(name for name, _ in names)
        if given == key:
            return text
        if key.startswith(f"{given}."):
            value = parse_source(_unbroken(text, rank), start).plain()
            for name in key.removeprefix(f"{given}.").split("."):
                value = value.get(name, ABSENT) if isinstance(value, dict) else ABSENT
            if value is not ABSENT:
                return text
    return None


def apply_overrides(root: Node, overrides: Sequence[str], registry: Registry) -> None:
    """Apply one or more overrides to a tree, in order; of several for the same key, the last wins.

    An override that changes the meaning of a section (a component's ``type``, a data set's ``source``) drops the other
    keys that the file gives in it; those from other overrides stay, and, in a section that may leave its type out
    (`train.schedule`), keys that both types have.

    Raises:
        InvalidRecipe: with every override that cannot be read or applied.
    """
    problems: list[Problem] = []
    for rank, text in enumerate(one_by_one(overrides), 1):
        try:
            _apply(root, _unbroken(text, rank), registry)
        except InvalidRecipe as error:
            problems.extend(error.problems)
    if problems:
        raise InvalidRecipe(problems)


def _unbroken(text: str, rank: int) -> Source:
    return Source(text, text.replace("\r\n", "\n").replace("\r", "\n"), rank)


def _apply(root: Node, source: Source, registry: Registry) -> None:
    keys, start = _keys(source)
    if not source.text[start:].strip():
        mark = Mark(source, 0, start)
        raise InvalidRecipe([Problem("the value is missing", mark, hint="null for no value, '\"\"' for an empty text")])
    value = parse_source(source, start)
    node: Node = root
    path: Path = ()
    for name, mark in keys[:-1]:
        node = _opened(node, path, mark, root, registry).setdefault(name, Node({}, mark, key=mark))
        path = (*path, name)
    name, value.key = keys[-1]
    children = _opened(node, path, value.key, root, registry)
    slot = slot_at(path, root.plain(), registry)
    if slot and slot.key() == name:
        node.value = children = _from_overrides(children) | _shared(children, slot, value, registry)
    children[name] = value


def _keys(source: Source) -> tuple[list[tuple[str, Mark]], int]:
    """The keys to the left of the '=', with their marks, and where the value starts."""
    left, equals, _ = source.text.partition("=")
    start = len(left) + 1
    if not equals:
        raise InvalidRecipe([Problem("an override has a '='", Mark(source, 0, 0), expected="key.sub=value")])
    keys, column = [], 0
    for name in left.split("."):
        mark = source.mark(column)
        if not _KEY.fullmatch(name):
            found = f"'{name}'" if name else "nothing"
            raise InvalidRecipe([Problem("a key is not well formed", mark, found=found, expected="key.sub=value")])
        keys.append((name, mark))
        column += len(name) + 1
    return keys, start


def _opened(node: Node, path: Path, mark: Mark, root: Node, registry: Registry) -> dict[str, Node]:
    """The node's children: an empty value becomes a mapping, and a component's bare name its long form."""
    if node.value is None:
        node.value = {}
    elif isinstance(node.value, str):
        slot = slot_at(path, root.plain(), registry)
        key = slot.key() if slot else None
        if key:
            node.value = {key: Node(node.value, node.mark, node.text, node.key)}
    if isinstance(node.value, dict):
        return node.value
    message = f"there is no mapping at '{dotted(path)}' to set a key in" if path else "the recipe is not a mapping"
    hint = f"override '{dotted(path)}' as a whole" if path else None
    raise InvalidRecipe([Problem(message, mark, found=node.describe(), hint=hint)])


def _shared(children: dict[str, Node], slot: Slot, name: Node, registry: Registry) -> dict[str, Node]:
    """What of these children the component of that name has as well, where a section need not say its name."""
    defaulted = [option.resolve for option in slot.options() if option.resolve and option.resolve.usual]
    entry = registry.find(defaulted[0].kind, name.value) if defaulted and isinstance(name.value, str) else None
    return (
        {} if entry is None else {key: child for key, child in children.items() if key in entry.cls.Config.model_fields}
    )


def _from_overrides(children: dict[str, Node]) -> dict[str, Node]:
    """The children that came from overrides."""
    kept = {}
    for key, child in children.items():
        if isinstance(child.value, dict) and child.value:
            child.value = _from_overrides(child.value)
            if child.value:
                kept[key] = child
        elif child.mark.source.is_override:
            kept[key] = child
    return kept
