"""Recipes: reading, checking, comparing and writing them."""

import importlib
from typing import TYPE_CHECKING, Any

from pixkit.catalogue.recipes import find_recipe, packaged_recipes
from pixkit.recipe.diff import ABSENT, Change, diff
from pixkit.recipe.dump import dump_yaml
from pixkit.recipe.source import InvalidRecipe, Mark, Problem
from pixkit.recipe.yaml import Node, parse_yaml

if TYPE_CHECKING:
    from pixkit.recipe.jsonschema import json_schema
    from pixkit.recipe.load import LoadedRecipe, load_recipe, revise_recipe
    from pixkit.recipe.schema import Recipe
    from pixkit.recipe.single import component

__all__ = [
    "ABSENT",
    "Change",
    "InvalidRecipe",
    "LoadedRecipe",
    "Mark",
    "Node",
    "Problem",
    "Recipe",
    "component",
    "diff",
    "dump_yaml",
    "find_recipe",
    "json_schema",
    "load_recipe",
    "packaged_recipes",
    "parse_yaml",
    "revise_recipe",
]

_LATER = {
    "LoadedRecipe": "load",
    "Recipe": "schema",
    "component": "single",
    "json_schema": "jsonschema",
    "load_recipe": "load",
    "revise_recipe": "load",
}
"""The modules of names whose import loads the recipe's models, which takes longer than reading and comparing all
runs."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
