"""`pixkit validate`."""

from __future__ import annotations

import click

from pixkit.cli.door import open_door
from pixkit.cli.options import json_option
from pixkit.cli.output import emit, emit_json, fail
from pixkit.errors import PixkitError
from pixkit.recipe import InvalidRecipe, load_recipe


@click.command()
@click.argument("recipes", nargs=-1, required=True)
@json_option
@click.pass_context
def command(ctx: click.Context, recipes: tuple[str, ...], as_json: bool) -> None:
    """Check recipes and list everything that is wrong.

    RECIPES are paths, or names that `pixkit ls recipes` shows. Nothing is built, and no data are read;
    `pixkit build --dry-run` does that. The exit code is that of the gravest error, 0 if there is none.
    """
    open_door()
    rows, codes = [], []
    for recipe in recipes:
        try:
            load_recipe(recipe)
        except PixkitError as error:
            rows.append({"recipe": recipe, "valid": False, "errors": _errors(error), "text": str(error)})
            codes.append(error.exit_code)
        else:
            rows.append({"recipe": recipe, "valid": True, "errors": [], "text": ""})
    if as_json:
        emit_json(rows)
    else:
        for row in rows:
            emit(f"{row['recipe']}: ok") if row["valid"] else fail(str(row["text"]))
    ctx.exit(max(codes, default=0))


def _errors(error: PixkitError) -> list[dict[str, str | None]]:
    """Each thing that is wrong, as plain data."""
    several = error.problems if isinstance(error, InvalidRecipe) else [error]
    return [
        {"where": one.where, "message": one.message, "found": one.found, "expected": one.expected, "try": one.hint}
        for one in several
    ]
