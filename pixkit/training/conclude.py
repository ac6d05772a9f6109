"""The end of a build: what the best weights score, and how they draw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pixkit.data.dataset import Dataset
from pixkit.models.base import Model
from pixkit.recipe.schema import Recipe
from pixkit.runs.checkpoint import load_model
from pixkit.runs.load import WEIGHTS, read_weights
from pixkit.runs.run import Run
from pixkit.tasks.score import Scores, Watch, score
from pixkit.training.reporter import Reporter
from pixkit.training.samples import draw_samples
from pixkit.training.signals import Interrupt


def conclude(
    run: Run, recipe: Recipe, model: Model, dataset: Dataset, *, interrupt: Interrupt, reporter: Reporter
) -> tuple[list[Scores], Path]:
    """Score and sample the best checkpoint into scores.json and samples/best; return the table and the picture.

    The model is left with the best averaged weights.

    Raises:
        Interrupted: if a signal comes meanwhile.
    """

    def watched(what: str) -> Watch:
        def watch(done: int, total: int) -> None:
            interrupt.check()
            reporter.working(what, done, total)

        return watch

    folder = run.checkpoint("best")
    kinds = [kind for kind in WEIGHTS if kind == "raw" or recipe.train.ema]
    table: list[Scores] = []
    for kind in reversed(kinds):
        load_model(model, read_weights(folder, kind), str(folder))
        if model.scorable:
            table += _scores(model, dataset, recipe, kind, watched)
    run.write_json(
        run.scores,
        {
            "checkpoint": folder.name,
            "data": dataset.description,
            "scores": [row.dump() for row in table],
            "notes": _notes(dataset, table, model),
        },
    )
    return table, draw_samples(model, recipe, run, "best", watched("sampling"))


def _scores(model: Model, dataset: Dataset, recipe: Recipe, kind: str, watched: Callable[[str], Watch]) -> list[Scores]:
    return [
        score(
            model,
            dataset,
            split,
            recipe.train.batch_size,
            weights=kind,
            seed=recipe.seed,
            limit=dataset.size("test") or None if split == "train" else None,
            watch=watched(f"scoring {split} ({kind})"),
        )
        for split in Dataset.SPLITS
        if dataset.size(split)
    ]


def _remarks(table: list[Scores], model: Model) -> list[str]:
    """The model's remarks on the rows; what it says of all of them is said once."""
    said: dict[str, list[str]] = {}
    for row in table:
        for text in model.remarks(row.parts):
            said.setdefault(text, []).append(f"{row.split}, {row.weights} weights")
    return [text if len(rows) == len(table) else f"{'; '.join(rows)}: {text}" for text, rows in said.items()]


def _notes(dataset: Dataset, table: list[Scores], model: Model) -> list[str]:
    """What one should know when reading the table."""
    general = ["the model gives no likelihood, nor a bound"] if model.score_kind == "none" else []
    if model.labelled:
        general.append("scores are those of images given their labels")
    if not table:
        return general
    images = next((row.images for row in table if row.split == "train"), 0)
    notes = _remarks(table, model)
    if images < dataset.size("train"):
        chosen = f"train: a seeded choice of {images} of {dataset.size('train')} images, as many as the test set has"
        return [*general, chosen, *notes]
    return [*general, *notes]
