"""The files of a new plugin, from the templates beside this module."""

from __future__ import annotations

import ast
from pathlib import Path

from pixkit.catalogue.kinds import one_of
from pixkit.errors import UsageError
from pixkit.files import kind_at, write_text, writing
from pixkit.starter.names import Names

TEMPLATES = Path(__file__).parent / "templates"
"""One folder for each kind, and `shared`; the files end in .in because they are not modules of pixkit."""
WORDS = {"data": "data source", "mask": "mask shape"}
"""Kinds with another name in prose."""


def template(kind: str, file: str, names: Names) -> str:
    """The text of a template with the plugin's names.

    Args:
        kind: the kind of component, or `shared`.
        file: its name, `plugin.py`.
        names: the plugin's names.
    """
    return names.fill(_unfilled(kind, file))


def _unfilled(kind: str, file: str) -> str:
    return (TEMPLATES / kind / f"{file}.in").read_text(encoding="utf-8")


def names_for(kind: str, name: str) -> Names:
    """The names of a plugin of this kind; see `Names.of`. Its class is called like nothing else in its files."""
    return Names.of(name).apart(_unfilled(kind, "plugin.py") + _unfilled(kind, "test.py"), kind)


def plugin_files(kind: str, names: Names) -> dict[str, str]:
    """The files of a distribution with one component of this kind: their text, by path."""
    module = template(kind, "plugin.py", names)
    summary, word = (ast.get_docstring(ast.parse(module)) or "").split("\n")[0], one_of(WORDS.get(kind, kind))

    def shared(file: str) -> str:
        text = template("shared", file, names)
        return text.replace("SUMMARY", summary).replace("KIND-WORD", word).replace("KIND", kind)

    return {
        "pyproject.toml": shared("pyproject.toml"),
        "README.md": shared("README.md"),
        f"{names.module}.py": module,
        "recipe.yaml": template(kind, "recipe.yaml", names),
        f"tests/test_{names.component}.py": template(kind, "test.py", names),
    }


def new_plugin(kind: str, names: Names, folder: Path) -> list[Path]:
    """Write a distribution into a folder, creating it if necessary, and return the paths of the files.

    Raises:
        UsageError: if one of the files exists; nothing is written.
        RunError: if one cannot be written.
    """
    files = {folder / path: text for path, text in plugin_files(kind, names).items()}
    with writing(folder):
        for path in files:
            if found := kind_at(path):
                raise UsageError(
                    "exists already", where=str(path), found=found, hint="give another folder: --output DIR"
                )
        for path, text in files.items():
            write_text(path, text)
    return list(files)
