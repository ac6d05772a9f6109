"""The recipe in a recipe.lock.yaml, validated again against the current components; without torch."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pixkit.components.plugins import registry as installed
from pixkit.components.registry import Registry
from pixkit.components.spec import walk
from pixkit.distribution import release, version
from pixkit.errors import KeyPath, PixkitError, PluginError, RunError, dotted
from pixkit.recipe import Recipe
from pixkit.runs.places import ENVIRONMENT
from pixkit.runs.runfile import MOST_JSON, RunFile
from pixkit.runs.schema import Environment, typed

LACKING = "x-pixkit-lacking"
"""In a key's JSON schema: the meaning of its absence from a lock, if that is not the default."""


def recipe_of(settings: dict[str, Any], path: Path, registry: Registry | None = None) -> Recipe:
    """The recipe in a lock that was read from `path`.

    Raises:
        PluginError: if a component's plugin is missing, naming the one to install by the env.json beside the lock.
        RunError: if it no longer validates.
    """
    components = registry or installed()
    plain = _without_absent_trackers({key: value for key, value in settings.items() if key != "lock"}, components)
    try:
        recipe = Recipe.model_validate(plain, context={"registry": components})
        earlier = _as_it_was(plain, recipe)
        return recipe if earlier == plain else Recipe.model_validate(earlier, context={"registry": components})
    except ValidationError as error:
        raise _invalid(error, path, components, plain) from None


def _without_absent_trackers(plain: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """The recipe without trackers that are not installed: only training needs them (`training.tracking`).

    Other mistakes are left to be found.
    """
    train = plain.get("train")
    if not isinstance(train, dict) or not isinstance(train.get("log"), list):
        return plain

    def absent(said: Any) -> bool:
        name = said.get("type") if isinstance(said, dict) else said
        return isinstance(name, str) and registry.find("tracker", name) is None

    return {**plain, "train": {**train, "log": [said for said in train["log"] if not absent(said)]}}


def _as_it_was(plain: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Fill in missing keys with their meaning before pixkit had them: a lock of the current version has all keys."""
    earlier = copy.deepcopy(plain)
    for path, _, declared in walk(recipe):
        extra = None if declared is None else declared.json_schema_extra
        if path and isinstance(extra, dict) and LACKING in extra:
            place: Any = earlier
            for part in path[:-1]:
                place = place.get(part) if isinstance(place, dict) else None
            if isinstance(place, dict):
                place.setdefault(str(path[-1]), extra[LACKING])
    return earlier


def _invalid(error: ValidationError, path: Path, registry: Registry, plain: Any) -> PixkitError:
    """The error for an invalid lock; missing plugins come first, since other errors may follow from them."""
    first = min(error.errors(), key=lambda item: item["type"] != "unknown_component")
    where = f"{path}, {dotted(_key(first, plain))}"
    made_with = built_with(path.parent / ENVIRONMENT)
    stated = "the run was built with " + (", ".join(map(" ".join, made_with.items())) or "other versions")
    if first["type"] == "unknown_component":
        missing = registry.explain(first["ctx"]["kind"], first["input"], made_with)
        return PluginError(first["msg"], where=where, hint=missing or stated)
    theirs = _environment(path.parent / ENVIRONMENT).pixkit or ""
    if release(theirs) > release(version()):
        return RunError(
            "written by a newer pixkit",
            where=where,
            found=f"pixkit {theirs}; {first['msg']}",
            expected=f"pixkit {version()} or older",
            hint="use a newer pixkit",
        )
    return RunError(first["msg"], where=where, hint=stated)


def _key(error: Any, plain: Any) -> KeyPath:
    """The key that is wrong: pydantic's loc without what it adds for members of unions, which is not in the lock."""
    path: list[str | int] = []
    for part in error["loc"]:
        found = isinstance(plain, dict) and part in plain
        if found or (isinstance(plain, list) and isinstance(part, int)):
            path, plain = [*path, part], plain[part]
    return (*path, error["loc"][-1]) if error["type"] == "missing" else tuple(path)


def built_with(path: Path) -> dict[str, str]:
    """Versions of the distributions that a run was built with; empty if env.json cannot be read."""
    return {key.rpartition(":")[0]: made_with for key, made_with in _environment(path).plugins.items()}


def _environment(path: Path) -> Environment:
    try:
        return typed(Environment, RunFile(path, MOST_JSON).json_if_any() or {}, str(path))
    except RunError:
        return Environment()
