"""Where commands read a recipe from: a file, a name, or standard input."""

from __future__ import annotations

import sys

from pixkit.cli.output import is_terminal, say
from pixkit.errors import RecipeError
from pixkit.recipe.files import read_stream
from pixkit.recipe.load import LoadedRecipe, load_recipe, load_text

DASH = "-"
"""Stands for standard input on a command line; a file with this name is `./-`."""
STANDARD_INPUT = "standard input"


def named_recipe(recipe: str) -> LoadedRecipe:
    """The recipe with a path or a name, or on standard input.

    Raises:
        RecipeError, PluginError: as `load_recipe`.
    """
    found = piped(recipe)
    return load_recipe(found) if isinstance(found, str) else found


def piped(recipe: str) -> LoadedRecipe | str:
    """The recipe on standard input for -; otherwise the argument itself, a path or a name.

    Raises:
        RecipeError, PluginError: as `load_recipe`.
    """
    return load_text(piped_text(), STANDARD_INPUT) if recipe == DASH else recipe


def piped_text() -> str:
    """The text of a recipe on standard input; at a terminal, the user is told what is expected.

    Raises:
        RecipeError: see `pixkit.recipe.files.read_stream`.
    """
    if sys.stdin is None:
        raise RecipeError("it is closed", where=STANDARD_INPUT, expected="a recipe")
    if is_terminal(sys.stdin):
        end = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        say(f"type or paste a recipe, and end it with {end} on a line of its own")
    return read_stream(sys.stdin.buffer, STANDARD_INPUT)
