"""Recipes: reading, checking, comparing and writing them."""

from pixkit.catalogue.recipes import find_recipe, packaged_recipes
from pixkit.recipe.component import component
from pixkit.recipe.diff import ABSENT, Change, diff
from pixkit.recipe.dump import dump_yaml
from pixkit.recipe.jsonschema import json_schema
from pixkit.recipe.load import LoadedRecipe, load_recipe, revise_recipe
from pixkit.recipe.schema import Recipe
from pixkit.recipe.source import InvalidRecipe, Mark, Problem
from pixkit.recipe.yaml import Node, parse_yaml

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
