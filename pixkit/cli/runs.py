"""Runs as commands take and show them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixkit.recipe import LoadedRecipe, Recipe, revise_recipe
from pixkit.runs.run import Run


def recipe_of(run: Run, overrides: Sequence[str] = ()) -> Recipe:
    """The locked recipe of a run, overrides applied.

    Its own paths are absolute; relative ones of the overrides start from the working directory.
    """
    recipe = run.recipe()
    return revise_recipe(recipe.dump(), overrides, name=str(run.path / "recipe.lock.yaml")) if overrides else recipe


def reload(run: Run, overrides: Sequence[str] = ()) -> LoadedRecipe:
    """What a run was built from, to go on building it."""
    given = run.path / "recipe.yaml"
    text = given.read_text(encoding="utf-8") if given.is_file() else ""
    return LoadedRecipe(recipe_of(run, overrides), given, text, tuple(overrides), Path.cwd())


def summary(run: Run) -> dict[str, Any]:
    """What a run is and how it scored, as plain data; neither torch nor the plugins are needed."""
    settings = run.settings()
    lock, environment = settings["lock"], run.environment()
    steps = run.steps()
    return {
        "name": settings["name"],
        "path": str(run.path),
        "model": _model(settings["model"]),
        "data": lock["data"]["description"],
        "image": str(run.spec),
        "parameters": lock["parameters"],
        "step": steps[-1] if steps else 0,
        "steps": settings["train"]["steps"],
        "checkpoints": [f"step-{step}" for step in steps],
        "best": run.checkpoint("best").name if steps else None,
        "seed": settings["seed"],
        "pixkit": environment.get("pixkit"),
        "scores": run.final_scores().get("scores", []),
    }


def _model(section: dict[str, Any]) -> str:
    """The names of the model's parts that say most: the model, its backbone and its head."""
    parts = [section["type"]]
    for key in ("backbone", "head"):
        if isinstance(section.get(key), dict):
            parts.append(section[key]["type"])
    return " ".join(parts)
