"""`pixkit eval`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from pixkit.cli.group import plugin_option
from pixkit.cli.options import (
    checkpoint_option,
    device_option,
    json_option,
    overrides_argument,
    quiet_option,
    run_argument,
    weights_option,
)
from pixkit.cli.output import emit, emit_json
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.progress import show_progress
from pixkit.cli.runs import opened_run
from pixkit.cli.scores import score_table
from pixkit.errors import UsageError, printable
from pixkit.ranks import launched
from pixkit.runs.load import load, load_data, locked_recipe
from pixkit.runs.record import pick_device
from pixkit.tasks.beside import scored_given
from pixkit.tasks.evaluate import evaluate
from pixkit.tasks.labels import check_classes
from pixkit.tasks.score import active_units
from pixkit.tasks.scores import TOKENS
from pixkit.training.together import check_same


@click.command()
@run_argument
@overrides_argument
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    default="test",
    show_default=True,
    help="Which images.",
)
@click.option(
    "--batch-size", type=click.IntRange(1), help="Images at a time; the recipe's train.batch_size by default."
)
@click.option("--limit", type=click.IntRange(1), help="At most this many images, spread over the split.")
@click.option(
    "--importance",
    type=click.IntRange(1),
    metavar="N",
    help="For a latent model: also estimate the likelihood from N samples an image.",
)
@checkpoint_option
@weights_option
@plugin_option
@device_option
@json_option
@quiet_option
def command(
    *,
    run: Path,
    overrides: tuple[str, ...],
    split: str,
    batch_size: int | None,
    limit: int | None,
    importance: int | None,
    checkpoint: str,
    weights: str,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score a trained model on a split of its data.

    For a latent model the score is a bound, marked "<=", with its parts. With --importance the likelihood is also
    estimated, marked "~": the more samples, the closer.

    Under torchrun the ranks share the batches, and rank 0 prints the score, which equals that of one process.

    Overrides may only change the data (data.root=DIR if they have moved); relative paths in them start from the working
    directory.
    """
    _check(overrides)
    loaded_plugins()
    with launched() as ranks, show_progress(quiet or not ranks.first) as progress:
        opened = opened_run(run, quiet or not ranks.first)
        recipe = locked_recipe(opened, overrides)
        model = load(opened, device=str(pick_device(device, ranks)), checkpoint=checkpoint, weights=weights)
        check_classes(model, recipe.data, Path.cwd())
        with ranks.first_before_others():
            dataset = load_data(opened, overrides, ranks.telling(progress.update))
        check_same(ranks, "the images", {part: digest[:12] for part, digest in dataset.hashes().items()})
        for note in dataset.notes:
            progress.remark(note)
        size = batch_size or recipe.train.batch_size
        may: dict[str, Any] = {"weights": weights, "limit": limit, "ranks": ranks}
        scored = functools.partial(evaluate, model, dataset, split, size, **may)
        # The estimate first: a model without one reports that before anything is spent.
        watch = functools.partial(progress.update, "estimating")
        estimate = [] if importance is None else [scored(importance=importance, watch=watch)]
        scores = scored(watch=functools.partial(progress.update, "scoring"))
        if not ranks.first:
            return
        units = active_units(model, dataset, split)
    rows = [row.dump() for row in (scores, *estimate)]
    remarks = model.remarks(scores.parts)
    moved, palette = dataset.part(split).moved, model.spec.palette
    if as_json:
        more: dict[str, Any] = {"estimate": rows[1]} if estimate else {}
        head = {"run": str(run), "data": dataset.description, "checkpoint": checkpoint}
        if palette is not None:
            more["palette"] = {"colours": len(palette), "sha256": palette.digest, "moved": moved}
        emit_json({**head, **rows[0], **more, "active_units": units, "remarks": remarks})
    else:
        given = scored_given(model)
        lines = [] if moved is None else [f"{TOKENS}; colours were moved to the nearest by {moved:.2f} levels RMS"]
        lines += [f"z_{level}: {active} of {count} units active" for level, (active, count) in enumerate(units, 1)]
        title = printable(f"{dataset.description}, given {given}" if given else dataset.description)
        emit("\n".join([title, score_table(rows), *lines, *map(printable, remarks)]))


def _check(overrides: tuple[str, ...]) -> None:
    for text in overrides:
        if not text.startswith("data."):
            raise UsageError(
                "only the data of a run can be overridden: the rest was fixed by training",
                where=f'override "{text}"',
                expected="data.KEY=VALUE",
            )
