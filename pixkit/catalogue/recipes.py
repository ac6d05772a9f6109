"""The recipes that come with pixkit."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from pixkit.files import kind_at

_PACKAGE = Path(__file__).resolve().parent.parent


def packaged_recipes() -> dict[str, Path]:
    """The path of each recipe that comes with pixkit, by name (the file's name without ``.yaml``), sorted.

    In an installed wheel they are in ``pixkit/_recipes``, in a checkout in ``recipes`` next to the package.
    """
    return {path.stem: path for path in sorted(recipes_folder().glob("*.yaml"))}


def recipes_folder() -> Path:
    """The folder of packaged recipes, and of the zoo."""
    installed = _PACKAGE / "_recipes"
    return installed if installed.is_dir() else _PACKAGE.parent / "recipes"


def summary_of(path: Path) -> str:
    """The first sentence of the comment at the head of a recipe; if it is long, the part before a colon."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    sentence = re.split(r"(?<=\.) (?=[A-Z])", " ".join(line.lstrip("# ").rstrip() for line in lines), maxsplit=1)[0]
    return sentence if len(sentence) <= 120 else re.split("[:;] ", sentence, maxsplit=1)[0]


def find_recipe(name_or_path: str | Path) -> Path:
    """Find a recipe by its path or, if no such file exists, by a packaged recipe's name.

    A name may end in ``.yaml``; a folder of that name (a run's, for example) does not hide the recipe. Anything else is
    returned unchanged; reading it reports the error.
    """
    path = Path(name_or_path)
    try:
        found = kind_at(path, links=True)
    except OSError:
        return path
    if found not in (None, "a folder") or len(path.parts) > 1:
        return path
    return packaged_recipes().get(path.name.removesuffix(".yaml"), path)
