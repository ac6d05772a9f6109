"""`pixkit validate`."""

from __future__ import annotations

import re

import click

from pixkit.cli.group import plugin_option
from pixkit.cli.options import json_option
from pixkit.cli.output import emit_json, emit_line, fail
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.recipes import DASH, STANDARD_INPUT, named_recipe
from pixkit.errors import PixkitError
from pixkit.files import is_file
from pixkit.recipe import InvalidRecipe


@click.command()
@click.argument("recipes", nargs=-1, required=True)
@plugin_option
@json_option
@click.pass_context
def command(ctx: click.Context, recipes: tuple[str, ...], as_json: bool) -> None:
    """Check recipes and list all errors.

    RECIPES are paths, names from `pixkit ls recipes`, or - for standard input. Nothing is built, and no data are read;
    `pixkit build --dry-run` does that. The exit code is that of the gravest error, 0 if there is none.
    """
    loaded_plugins()
    override = next((one for one in recipes if re.match(r"[\w.]+=", one) and not is_file(one)), None)
    if override is not None:
        raise click.UsageError(
            f"'{override}' is not a recipe; `pixkit build RECIPE {override} --dry-run` checks overrides"
        )
    found = {recipe: _error(recipe) for recipe in dict.fromkeys(recipes)}
    if as_json:
        emit_json(
            [{"recipe": recipe, "valid": not error, "errors": _problems(error)} for recipe, error in found.items()]
        )
    else:
        for recipe, error in found.items():
            emit_line(f"{STANDARD_INPUT if recipe == DASH else recipe}: ok") if error is None else fail(str(error))
    ctx.exit(max(error.exit_code if error else 0 for error in found.values()))


def _error(recipe: str) -> PixkitError | None:
    from pixkit.tasks.named_arrays import check_arrays  # with torch, which --help does not need

    try:
        check_arrays(named_recipe(recipe).recipe)
    except PixkitError as error:
        return error
    return None


def _problems(error: PixkitError | None) -> list[dict[str, str | None]]:
    """Each error as plain data."""
    if error is None:
        return []
    return [
        {"where": one.where, "message": one.message, "found": one.found, "expected": one.expected, "try": one.hint}
        for one in (error.problems if isinstance(error, InvalidRecipe) else [error])
    ]
