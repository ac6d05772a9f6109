"""Load a recipe: file, overrides, schema, cross-checks."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from torch import nn

from pixkit.catalogue.recipes import find_recipe
from pixkit.catalogue.zoo import in_zoo
from pixkit.components.registry import Registry
from pixkit.components.spec import ComponentSpec, walk
from pixkit.errors import KeyPath, PluginError, RecipeError
from pixkit.image import numbers_refused
from pixkit.recipe.aliases import settle_names
from pixkit.recipe.dump import dump_yaml
from pixkit.recipe.files import read_recipe
from pixkit.recipe.messages import unknown_component
from pixkit.recipe.overrides import apply_overrides, one_by_one
from pixkit.recipe.schema import Recipe
from pixkit.recipe.source import InvalidRecipe, Problem
from pixkit.recipe.validate import locate, validate
from pixkit.recipe.yaml import Node, parse_yaml

if TYPE_CHECKING:
    from pixkit.data.base import SourceImages

GIVEN = "the recipe given"
"""Stands for the file of a recipe given by a program."""
PATH_MARKER = "x-pixkit-path"
"""Marks a field that holds a path: a ``str`` with ``json_schema_extra={PATH_MARKER: True}``.

A list of suffixes instead of True is for one that may hold a path: one of them at the end, or before a colon.
"""


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe and where it came from.

    `text` is the file's text as given; `base` the folder that relative paths in it start from. Relative paths in
    overrides start from the working directory; in `recipe` they are absolute. `path` is None if no file was read;
    `images` is the training data if a program gave them.
    """

    recipe: Recipe
    path: Path | None
    text: str
    overrides: tuple[str, ...]
    base: Path
    images: SourceImages | None = dataclasses.field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        return f"<LoadedRecipe {self.recipe.name}: {self.recipe.model.name} on {self.recipe.data.name}, {self.origin}>"

    @property
    def origin(self) -> str:
        """The file's absolute path, or a note that a program gave it."""
        return GIVEN if self.path is None else str(self.path.absolute())

    def lock(self) -> dict[str, Any]:
        """The recipe as plain data with every default written out and every path absolute."""
        plain = self.recipe.dump()
        for place in path_fields(self.recipe):
            holder: Any = plain
            for part in place[:-1]:
                holder = holder[part]
            holder[place[-1]] = absolute(holder[place[-1]], self.base)
        return plain


def load_recipe(
    path: Mapping[str, Any] | str | Path, overrides: Sequence[str] = (), *, registry: Registry | None = None
) -> LoadedRecipe:
    """Read and check a recipe.

        loaded = pixkit.load_recipe("digits-pixelcnn", ["train.steps=50"])
        loaded.recipe.train.steps, loaded.recipe.dump()  # its keys, as attributes and as a dict

    Args:
        path: the file, or the name of a recipe that comes with pixkit; or the recipe itself, as a dict or as YAML of
            several lines, one of which begins with a key. Relative paths in these start from the working directory.
        overrides: ``key.sub=value``, applied in order.
        registry: the components; by default those of the installed plugins.

    Raises:
        RecipeError: if the file cannot be read; as InvalidRecipe with all its errors.
        PluginError: if a component is unknown and a plugin that has, or may have, it is broken, disabled or not
            installed, or if several plugins have it.
    """
    if isinstance(path, Mapping) or (isinstance(path, str) and is_yaml(path)):
        return load_text(path if isinstance(path, str) else _dumped(path), GIVEN, overrides, registry=registry)
    if not isinstance(path, str | os.PathLike):
        raise no_recipe(path)
    file = find_recipe(path)
    text = read_recipe(file)
    recipe = _checked(parse_yaml(text, str(file)), overrides, registry or _installed())
    return LoadedRecipe(recipe, file, text, one_by_one(overrides), file.absolute().parent)


def no_recipe(given: Any) -> RecipeError:
    """The error for an object that cannot be a recipe."""
    hint = "load_recipe(run.path / 'recipe.yaml') is that of a run"
    if isinstance(given, nn.Module):
        hint = "a model of your own is trained by a loop of your own: README.md has one"
    expected = "a recipe's file or name, a dict, or YAML"
    return RecipeError("this is not a recipe", found=type(given).__name__, expected=expected, hint=hint)


def load_text(text: str, name: str, overrides: Sequence[str] = (), *, registry: Registry | None = None) -> LoadedRecipe:
    """Load a recipe from text; `name` is its name in errors. Relative paths start from the working directory.

    Raises:
        RecipeError, PluginError: as `load_recipe`.
    """
    recipe = _checked(parse_yaml(text, name), overrides, registry or _installed())
    return LoadedRecipe(recipe, None, text, one_by_one(overrides), Path.cwd())


def is_yaml(text: str) -> bool:
    """Whether a text is a recipe, rather than a file name with a line break in it."""
    return "\n" in text and re.search(r"^\w+ *:(\s|$)", text, re.MULTILINE) is not None


def completed(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Complete a dict that may leave out everything but the model, or be only the model's section.

    Its images are then given by the program.
    """
    section = dict(recipe) if "model" in recipe else {"model": dict(recipe)}
    return {"pixkit": 1, "name": "untitled", "data": {"source": "memory"}, **section}


def _dumped(recipe: Mapping[str, Any]) -> str:
    """A dict as YAML, with paths as text."""
    try:
        return dump_yaml(_plain(recipe))
    except yaml.representer.RepresenterError as error:
        raise RecipeError(
            "a recipe is made of mappings, lists, texts and numbers",
            where=GIVEN,
            found=f"{error.args[1]!r}" if len(error.args) > 1 else str(error),
        ) from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(held) for held in value]
    return str(value) if isinstance(value, Path) else value


def revise_recipe(
    plain: dict[str, Any], overrides: Sequence[str] = (), *, name: str = "recipe", registry: Registry | None = None
) -> Recipe:
    """The recipe from plain data (a run's lock, for example) and overrides; `name` is for error messages.

    Raises:
        RecipeError: as `load_recipe`; lines are those of ``dump_yaml(plain)``.
        PluginError: as `load_recipe`.
    """
    return _checked(parse_yaml(dump_yaml(plain), name), overrides, registry or _installed())


def _checked(root: Node, overrides: Sequence[str], registry: Registry) -> Recipe:
    try:
        apply_overrides(root, overrides, registry)
        settle_names(root, registry)
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
    """Make relative paths from overrides absolute; return whether there were any."""
    changed = False
    for place in path_fields(recipe):
        node = locate(root, place)
        if isinstance(node.value, str) and node.mark.source.is_override:
            full = absolute(node.value, Path.cwd())
            changed = changed or full != node.value
            node.value = full
    return changed


def _cross_check(recipe: Recipe, root: Node, registry: Registry) -> Iterator[Problem]:
    """Checks that no section can make alone."""
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
    """A sentence for each component that is missing because of its plugin."""
    found = (
        registry.explain(problem.component, str(locate(root, problem.path).value))
        for problem in error.problems
        if problem.component
    )
    return [text for text in dict.fromkeys(found) if text]


def path_fields(recipe: Recipe) -> Iterator[KeyPath]:
    """The places of file and folder paths in a validated recipe (members of lists one by one)."""
    for path, value, field in walk(recipe):
        extra = None if field is None else field.json_schema_extra
        marker = extra.get(PATH_MARKER) if isinstance(extra, dict) else None
        if isinstance(value, str) and (marker is True or (isinstance(marker, list) and _ends_so(value, marker))):
            yield path


def _ends_so(text: str, suffixes: list[Any]) -> bool:
    """Whether a text, or the part before a colon, ends in one of some suffixes."""
    low = text.lower()
    return any(low.endswith(suffix) or f"{suffix}:" in low for suffix in map(str, suffixes))


def absolute(text: str, base: Path) -> str:
    """Resolve the path `text` against the folder `base`; ``~`` is the home folder, zoo:NAME is kept."""
    return text if in_zoo(text) else str(base.absolute() / os.path.expanduser(text))
