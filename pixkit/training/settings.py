"""Reading recipe.lock.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pixkit.errors import PixkitError, PluginError, RecipeError, RunError
from pixkit.plugins import registry as installed
from pixkit.recipe import Recipe, parse_yaml
from pixkit.registry import Registry


def read_settings(path: Path) -> dict[str, Any]:
    """What a lock says: the whole recipe, and the section `lock`.

    Raises:
        RunError: if it cannot be read.
    """
    try:
        settings = parse_yaml(path.read_text(encoding="utf-8"), str(path)).plain()
    except (OSError, UnicodeDecodeError, RecipeError) as error:
        raise RunError("cannot be read", where=str(path), found=str(error)) from None
    if not isinstance(settings, dict) or not isinstance(settings.get("lock"), dict):
        raise RunError("the section 'lock' is missing", where=str(path))
    return settings


def recipe_of(settings: dict[str, Any], path: Path, registry: Registry | None = None) -> Recipe:
    """The recipe that a lock, read from `path`, says.

    Raises:
        PluginError: if a component's plugin is missing.
        RunError: if it no longer validates.
    """
    plain = {key: value for key, value in settings.items() if key != "lock"}
    try:
        return Recipe.model_validate(plain, context={"registry": registry or installed()})
    except ValidationError as error:
        raise _invalid(error, path) from None


def _invalid(error: ValidationError, path: Path) -> PixkitError:
    first = error.errors()[0]
    where = f"{path}, {'.'.join(str(part) for part in first['loc'])}"
    if any(item["type"] == "unknown_component" for item in error.errors()):
        return PluginError(first["msg"], where=where, hint="install the plugin that env.json names")
    return RunError(first["msg"], where=where, hint="the run was built with another version of pixkit or of a plugin")
