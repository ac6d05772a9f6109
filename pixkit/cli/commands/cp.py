"""`pixkit cp`."""

from __future__ import annotations

from pathlib import Path

import click

from pixkit.cli.output import emit_line
from pixkit.errors import UsageError
from pixkit.files import kind_at, write_text, writing
from pixkit.recipe import find_recipe
from pixkit.recipe.files import read_recipe


@click.command()
@click.argument("recipe")
@click.argument("dest", required=False, type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace DEST if it exists.")
def command(recipe: str, dest: Path | None, force: bool) -> None:
    """Copy a packaged recipe to edit it.

    RECIPE is a name from `pixkit ls recipes`, or a path. DEST is a file or a folder; by default the recipe's own name
    in the working directory. Prints the path of the copy.
    """
    source = find_recipe(recipe)
    text = read_recipe(source)
    target = dest or Path()
    if target.is_dir():
        target = target / source.name
    found = kind_at(target)
    if found not in (None, "a file"):
        raise UsageError(
            "not a regular file, so it cannot be replaced", where=str(target), found=found, hint="name another file"
        )
    if found and not force:
        raise UsageError("exists already", where=str(target), hint="name another file, or add --force")
    with writing(target):
        write_text(target, text)
    emit_line(target)
