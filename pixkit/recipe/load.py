"""Loading a recipe: file, overrides, schema, cross-checks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixkit.components.config import KeyPath
from pixkit.components.registry import Registry
from pixkit.components.spec import ComponentSpec, walk
from pixkit.errors import PluginError
from pixkit.image import numbers_refused
from pixkit.recipe.dump import dump_yaml
from pixkit.recipe.files import read_recipe
from pixkit.recipe.messages import unknown_component
from pixkit.recipe.overrides import apply_overrides, one_by_one
from pixkit.recipe.packaged import find_recipe
from pixkit.recipe.schema import Recipe
from pixkit.recipe.source import InvalidRecipe, Problem
from pixkit.recipe.validate import locate, validate
from pixkit.recipe.yaml import Node, parse_yaml

PATH_MARKER = "x-pixkit-path"
"""Marks a field that holds a path: a ``str`` with ``json_schema_extra={PATH_MARKER: True}``.

A list of suffixes instead of True is for one that may hold a path: by one of them, at the end or before a colon.
"""


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe and where it came from.

    `text` is the file's text as given; `base` the folder that relative paths in it start from.
    Relative paths in overrides start from the working directory; in `recipe` they are absolute.
    """

    recipe: Recipe
    path: Path
    text: str
    overrides: tuple[str, ...]
    base: Path

    def lock(self) -> dict[str, Any]:
        """The recipe as plain data with every default written out and every path absolute."""
        plain = self.recipe.dump()
        for place in path_fields(self.recipe):
            holder: Any = plain
            for part in place[:-1]:
                holder = holder[part]
            holder[place[-1]] = absolute(holder[place[-1]], self.base)
        return plain


def load_recipe(path: str | Path, overrides: Sequence[str] = (), *, registry: Registry | None = None) -> LoadedRecipe:
    """Read a recipe (a file's path, or a packaged recipe's name) and check all of it.

    Args:
        path: the file, or the name of a recipe that comes with pixkit.
        overrides: ``key.sub=value``, applied in order.
        registry: the components; those of the installed plugins if left out.

    Raises:
        RecipeError: if the file cannot be read; as InvalidRecipe with everything that is wrong in it.
        PluginError: if a component is unknown and a plugin that would or may bring it is broken, disabled
            or not installed, or if several plugins bring it.
    """
    file = find_recipe(path)
    text = read_recipe(file)
    recipe = _checked(parse_yaml(text, str(file)), overrides, registry or _installed())
    return LoadedRecipe(recipe, file, text, one_by_one(overrides), file.absolute().parent)


def revise_recipe(
    plain: dict[str, Any], overrides: Sequence[str] = (), *, name: str = "recipe", registry: Registry | None = None
) -> Recipe:
    """The recipe that plain data (what a run has locked, say) and overrides say; `name` is for error messages.

    Raises:
        RecipeError: as `load_recipe`; lines are those of ``dump_yaml(plain)``.
        PluginError: as `load_recipe`.
    """
    return _checked(parse_yaml(dump_yaml(plain), name), overrides, registry or _installed())


def _checked(root: Node, overrides: Sequence[str], registry: Registry) -> Recipe:
    try:
        apply_overrides(root, overrides, registry)
        recipe = validate(root, registry)
        if _make_absolute(root, recipe):
            recipe = validate(root, registry)
        problems = list(_cross_check(recipe, root, registry))
        if problems:
            raise InvalidRecipe(problems)
    except InvalidRecipe as error:
        missing = _missing_plugins(error, root, registry)
        if missing:
            first, *more = str(error).split("\n")
            raise PluginError(first, lines=[*more, "", *missing]) from error
        raise
    return recipe


def _make_absolute(root: Node, recipe: Recipe) -> bool:
    """Make the relative paths that overrides give absolute; whether there were any."""
    changed = False
    for place in path_fields(recipe):
        node = locate(root, place)
        if isinstance(node.value, str) and node.mark.source.is_override:
            full = absolute(node.value, Path.cwd())
            changed = changed or full != node.value
            node.value = full
    return changed


def _cross_check(recipe: Recipe, root: Node, registry: Registry) -> Iterator[Problem]:
    """What no section can check alone."""
    name = recipe.sample.type
    if name != "auto" and registry.find("sampler", name) is None:
        node = locate(root, ("sample", "type"))
        verdict = unknown_component("sampler", name, sorted({"auto", *registry.names("sampler")}))
        place, found = ("sample", "type"), node.describe()
        yield Problem(verdict.message, node.mark, place, found, verdict.expected, verdict.hint, verdict.component)
    if getattr(recipe.data.config, "palette", None) is not None:
        for path, value, _ in walk(recipe.model, ("model",)):
            if isinstance(value, ComponentSpec) and value.entry.kind == "head" and value.cls.ordered:
                mark = locate(root, (*path, "type")).mark
                yield Problem(mark=mark, path=(*path, "type"), **numbers_refused(value.name))


def _installed() -> Registry:
    from pixkit.components.plugins import registry

    return registry()


def _missing_plugins(error: InvalidRecipe, root: Node, registry: Registry) -> list[str]:
    """A sentence for each component that is not there because a plugin is not."""
    found = (
        registry.explain(problem.component, str(locate(root, problem.path).value))
        for problem in error.problems
        if problem.component
    )
    return [text for text in dict.fromkeys(found) if text]


def path_fields(recipe: Recipe) -> Iterator[KeyPath]:
    """Where a validated recipe holds the path of a file or folder (members of lists one by one)."""
    for path, value, field in walk(recipe):
        extra = None if field is None else field.json_schema_extra
        marker = extra.get(PATH_MARKER) if isinstance(extra, dict) else None
        if isinstance(value, str) and (marker is True or (isinstance(marker, list) and _ends_so(value, marker))):
            yield path


def _ends_so(text: str, suffixes: list[Any]) -> bool:
    """Whether a text, or what is before a colon in it, ends in one of some suffixes."""
    low = text.lower()
    return any(low.endswith(suffix) or f"{suffix}:" in low for suffix in map(str, suffixes))


def absolute(text: str, base: Path) -> str:
    """The path `text`, seen from the folder `base`, as an absolute one; ``~`` is the home folder."""
    return str(base.absolute() / os.path.expanduser(text))
