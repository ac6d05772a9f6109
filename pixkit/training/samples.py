"""Sample grids: the same noise each time, so that one sees the model change and not the draw."""

from __future__ import annotations

from pathlib import Path

from pixkit.figures.grids import save_grid, save_npz
from pixkit.layers.modes import evaluating
from pixkit.models.base import Model
from pixkit.randomness import derive, isolated_rng
from pixkit.recipe.schema import Recipe
from pixkit.runs.run import Run
from pixkit.runs.storage import writing
from pixkit.tasks.score import Watch


def draw_samples(model: Model, recipe: Recipe, run: Run, name: str, watch: Watch) -> Path:
    """Draw what the recipe's `sample` section says into samples/NAME.npz, then the picture; return its path.

    `watch(images done, images in all)` is told of the progress; if it raises, nothing is written.

    Raises:
        RunError: if the files cannot be written.
    """
    config = recipe.sample
    with evaluating(model), isolated_rng(model.device):
        x = model.sample(
            config.count,
            seed=derive(recipe.seed, "sample"),
            temperature=config.temperature,
            batch_size=config.batch_size,
            sampler=config.type,
            progress=watch,
        )
    # The numbers first: whatever becomes of the picture, the samples are there.
    with writing(run.samples):
        save_npz(x, model.spec.levels, run.samples / f"{name}.npz")
        columns = model.classes if model.labelled else None  # where labels come in turn, a column is a class
        return save_grid(x, model.spec.levels, run.samples / f"{name}.png", columns=columns)
