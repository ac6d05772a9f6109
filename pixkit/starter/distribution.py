"""The files of a new plugin, from the templates beside this module."""

from __future__ import annotations

import ast
from pathlib import Path

from pixkit.catalogue.kinds import one_of
from pixkit.errors import UsageError
from pixkit.files import kind_at, write_text, writing
from pixkit.starter.names import Names

TEMPLATES = Path(__file__).parent / "templates"
"""A folder for each kind, and `shared`; their files end in .in, since they are no modules of pixkit."""
WORDS = {"data": "data source", "mask": "mask shape"}
"""Kinds that are called something else in prose."""


def template(kind: str, file: str, names: Names) -> str:
    """The text of a template, with a plugin's names.

    Args:
        kind: the kind of component, or `shared`.
        file: its name, `plugin.py`.
        names: those of the plugin.
    """
    return names.fill((TEMPLATES / kind / f"{file}.in").read_text(encoding="utf-8"))


def plugin_files(kind: str, names: Names) -> dict[str, str]:
    """The text of each file of a distribution that brings one component of this kind, by its path in there."""
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
    """Write a distribution into a folder, which is made if it is not there, and give the paths of its files.

    Raises:
        UsageError: if one of the files exists; nothing is written then.
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
