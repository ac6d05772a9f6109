"""Fields that hold paths: a ``str`` with ``json_schema_extra={"x-pixkit-path": True}``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pixkit.components.spec import ComponentSpec
from pixkit.recipe.source import Path as KeyPath

MARKER = "x-pixkit-path"


def path_fields(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Where a validated recipe holds the path of a file or folder (members of lists one by one)."""
    if isinstance(value, ComponentSpec):
        yield from path_fields(value.config, path)
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            extra = field.json_schema_extra
            held = getattr(value, name)
            if isinstance(extra, dict) and extra.get(MARKER):
                yield from _texts(held, (*path, name))
            else:
                yield from path_fields(held, (*path, name))
    elif isinstance(value, dict):
        for key, held in value.items():
            yield from path_fields(held, (*path, key))
    elif isinstance(value, list | tuple):
        for index, held in enumerate(value):
            yield from path_fields(held, (*path, index))


def absolute(text: str, base: Path) -> str:
    """The path `text`, seen from the folder `base`, as an absolute one; ``~`` is the home folder."""
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        path = Path(text)
    return str(base.absolute() / path)


def _texts(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    if isinstance(value, str):
        yield path
    elif isinstance(value, list | tuple):
        for index, held in enumerate(value):
            yield from _texts(held, (*path, index))
