"""Scores and samples that a build makes: of its weights during training, and of the best checkpoint at the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pixkit.data.dataset import Dataset
from pixkit.execution.reference import Progress
from pixkit.figures.grids import save_grid, save_npz
from pixkit.layers.modes import evaluating
from pixkit.models.base import Model
from pixkit.models.capabilities import NO_LIKELIHOOD
from pixkit.randomness import derive, isolated_rng
from pixkit.ranks import ALONE, Ranks
from pixkit.recipe.schema import Recipe
from pixkit.runs.checkpoint import load_model
from pixkit.runs.load import WEIGHTS, read_weights
from pixkit.runs.run import Run
from pixkit.tasks.beside import rows_in_turn, scored_given
from pixkit.tasks.decoded import PICTURE, decoded, decoder_of
from pixkit.tasks.labels import class_titles
from pixkit.tasks.pictured import PAIRS, beside_each, pictures_of
from pixkit.tasks.score import score
from pixkit.tasks.scores import TOKENS, Scores
from pixkit.training.precision import Arithmetic
from pixkit.training.rescue import attempt
from pixkit.training.rounding import remark
from pixkit.training.watch import Interrupt, Interrupted, Reporter


def validate(
    model: Model,
    recipe: Recipe,
    dataset: Dataset,
    averaged: Callable[[], AbstractContextManager[None]] | None,
    watch: Progress,
    *,
    ranks: Ranks = ALONE,
) -> tuple[Scores, dict[str, Any]]:
    """Score the validation images; return the scores that select the best checkpoint, and the values to log.

    Args:
        model: the model, with its current weights.
        recipe: gives the number of images and the batch size.
        dataset: holds the images.
        averaged: gives the model the averaged weights within its context; their scores are the ones that select. None
            if there is no average.
        watch: as in `score`.
        ranks: the ranks that score together, as in `score`.
    """

    def scored(weights: str) -> Scores:
        size = recipe.train.batch_size
        may: dict[str, Any] = {"seed": recipe.seed, "limit": recipe.train.eval_images}
        return score(model, dataset, "validation", size, weights=weights, watch=watch, ranks=ranks, **may)

    raw = scored("raw")
    figures = {"images": raw.images, "kind": raw.kind, **raw.figures, **raw.parts}
    if averaged is None:
        return raw, figures
    with averaged():
        mean = scored("ema")
    return mean, figures | {f"{name}_ema": value for name, value in {**mean.figures, **mean.parts}.items()}


def draw_samples(model: Model, recipe: Recipe, run: Run, dataset: Dataset, name: str, *, watch: Progress) -> Path:
    """Draw what the recipe's `sample` section says into samples/NAME.npz, then the picture; return its path.

    The noise is the same each time, so that one sees the model change and not the draw. A model with a list of
    conditions is given those of validation images; one that is a picture stands on the left of its sample. Codes that
    the data source decodes are shown as pictures.
    `watch(images done, images in all)` is told of the progress; if it raises, nothing is written.

    Raises:
        RunError: if the files cannot be written.
    """
    config = recipe.sample
    context = rows_in_turn(model, dataset, config.count)
    with evaluating(model), isolated_rng(model.device):
        x = model.sample(
            config.count,
            seed=derive(recipe.seed, "sample"),
            temperature=config.temperature,
            batch_size=config.batch_size,
            sampler=config.type,
            context=context,
            guidance=config.guidance,
            progress=watch,
        )
    # The numbers first: if the picture fails, the samples are there.
    with run.writing(run.samples):
        save_npz(x, model.spec, run.samples / f"{name}.npz")
        path, decoder = run.samples / f"{name}.png", decoder_of(dataset.source)
        shown, levels = (x, model.spec) if decoder is None else (decoded(decoder, model, x, context), PICTURE)
        if context is not None:
            pictures = None if decoder else pictures_of(model, context)
            shown = shown if pictures is None else beside_each(shown, pictures, 1)
            return save_grid(shown, levels, path, columns=None if pictures is None else PAIRS)
        columns = model.classes if model.labelled else None  # where labels come in turn, a column is a class
        titles = class_titles(model, "columns")
        return save_grid(shown, levels, path, columns=columns, titles=titles)


def final_results(
    run: Run,
    recipe: Recipe,
    model: Model,
    dataset: Dataset,
    *,
    arithmetic: Arithmetic,
    interrupt: Interrupt,
    reporter: Reporter,
    ranks: Ranks = ALONE,
) -> tuple[list[Scores], Path | None]:
    """Score and sample the best checkpoint into scores.json and samples/best; return the table and the picture.

    All ranks score; rank 0 does the rest while the others wait.

    If training used an `arithmetic` coarser than float32, a note says how far that moves a score. The model is left
    with the best averaged weights. If it cannot be sampled, that is reported and there is no picture.

    Raises:
        Interrupted: if a signal arrives meanwhile.
        RunError: if something cannot be written.
    """

    def watched(what: str) -> Progress:
        check = interrupt.watching(ranks)

        def watch(done: int, total: int) -> None:
            check()
            reporter.working(what, done, total)

        return watch

    # Written by rank 0: on a shared file system, other ranks may still see an older `best`.
    folder = Path(ranks.decided(lambda: str(run.checkpoint("best"))))
    kinds = [kind for kind in WEIGHTS if kind == "raw" or recipe.train.ema]
    table: list[Scores] = []
    for kind in reversed(kinds):
        load_model(model, read_weights(folder, kind, recipe.train.ema > 0), str(folder))
        if model.scorable:
            table += _scores(model, dataset, recipe, kind, watched, ranks=ranks)

    def drawing(done: int, total: int) -> None:
        interrupt.check()
        reporter.working("sampling", done, total)

    def shown() -> str | None:
        """The picture, if there is one; empty if a signal came."""
        moved = remark(model, dataset, recipe.train.batch_size, arithmetic)
        if moved is not None:
            reporter.message(moved)
        run.write_json(
            run.scores,
            {
                "checkpoint": folder.name,
                "data": dataset.description,
                "scores": [row.dump() for row in table],
                "notes": [*_notes(dataset, table, model), *([] if moved is None else [moved])],
            },
        )
        try:
            found = attempt(lambda: draw_samples(model, recipe, run, dataset, "best", watch=ranks.telling(drawing)))
        except Interrupted:
            return ""
        if isinstance(found, Path):
            return str(found)
        reporter.problem(f"of the best checkpoint, {found.text}")
        return None

    if (picture := ranks.decided(shown)) == "":
        interrupt.watching(ranks)()
    return table, None if picture is None else Path(picture)


def _scores(
    model: Model, dataset: Dataset, recipe: Recipe, kind: str, watched: Callable[[str], Progress], *, ranks: Ranks
) -> list[Scores]:
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
            ranks=ranks,
        )
        for split in Dataset.SPLITS
        if dataset.size(split)
    ]


def _remarks(table: list[Scores], model: Model) -> list[str]:
    """The model's remarks on the rows; a remark on all of them is made once."""
    said: dict[str, list[str]] = {}
    for row in table:
        for text in model.remarks(row.parts):
            said.setdefault(text, []).append(f"{row.split}, {row.weights} weights")
    return [text if len(rows) == len(table) else f"{'; '.join(rows)}: {text}" for text, rows in said.items()]


def _notes(dataset: Dataset, table: list[Scores], model: Model) -> list[str]:
    """Notes for readers of the table."""
    general = [NO_LIKELIHOOD] if model.score_kind == "none" else []
    if model.spec.palette is not None and table:
        general.append(TOKENS)
    if given := scored_given(model):
        general.append(f"scores are of images given {given}")
    if not table:
        return general
    images = next((row.images for row in table if row.split == "train"), 0)
    notes = _remarks(table, model)
    if images < dataset.size("train"):
        chosen = f"train: a seeded choice of {images} of {dataset.size('train')} images, as many as the test set has"
        return [*general, chosen, *notes]
    return [*general, *notes]
