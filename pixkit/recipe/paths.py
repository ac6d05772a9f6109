"""Fields that hold paths: a ``str`` with ``json_schema_extra={"x-pixkit-path": True}``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pixkit.components.config import KeyPath
from pixkit.components.spec import walk
from pixkit.recipe.schema import Recipe

MARKER = "x-pixkit-path"


def path_fields(recipe: Recipe) -> Iterator[KeyPath]:
    """Where a validated recipe holds the path of a file or folder (members of lists one by one)."""
    for path, value, field in walk(recipe):
        extra = None if field is None else field.json_schema_extra
        if isinstance(value, str) and isinstance(extra, dict) and extra.get(MARKER):
            yield path


def absolute(text: str, base: Path) -> str:
    """The path `text`, seen from the folder `base`, as an absolute one; ``~`` is the home folder."""
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        path = Path(text)
    return str(base.absolute() / path)
