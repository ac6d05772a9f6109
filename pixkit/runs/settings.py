"""Read recipe.lock.yaml, which `pixkit.runs.record` makes: without torch, plugins and the recipe models."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from pixkit.errors import RecipeError, RunError
from pixkit.recipe.yaml import parse_written
from pixkit.runs.former_keys import with_present_keys
from pixkit.runs.runfile import MOST_TEXT, RunFile
from pixkit.runs.schema import Settings, typed


def read_settings(path: Path) -> dict[str, Any]:
    """The contents of a lock: the whole recipe, and the section `lock`, validated as `schema.Lock`.

    Raises:
        RunError: if it cannot be read, is damaged, or was written by a newer pixkit.
    """
    out: dict[str, Any] = _copied(_settings(RunFile(path, MOST_TEXT).text(), str(path)))
    return out


@functools.lru_cache(maxsize=4)
def _settings(text: str, name: str) -> dict[str, Any]:
    """Parse the text of a lock; cached, since a command asks a dozen times: for recipe, image, classes."""
    try:
        settings: dict[str, Any] = with_present_keys(parse_written(text, name))
    except RecipeError as error:
        raise RunError("cannot be read", where=name, found=str(error)) from None
    typed(Settings, settings, name)
    return settings


def _copied(said: Any) -> Any:
    """A deep copy of mappings and lists."""
    if isinstance(said, dict):
        return {key: _copied(value) for key, value in said.items()}
    return [_copied(value) for value in said] if isinstance(said, list) else said
