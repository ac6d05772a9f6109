"""`pixkit eval`."""

from __future__ import annotations

from pathlib import Path

import click
import torch

from pixkit.cli.door import open_door
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
from pixkit.cli.progress import talking
from pixkit.cli.scores import score_table
from pixkit.data import prepare
from pixkit.data.dataset import Dataset
from pixkit.errors import UsageError
from pixkit.models.base import Model
from pixkit.models.latent import LatentModel
from pixkit.runs.load import load, locked_recipe
from pixkit.runs.run import Run
from pixkit.tasks.score import Scores, evaluate

UNIT_IMAGES = 1000
"""Most images that activity of latent units is measured on."""


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
    "--batch-size", type=click.IntRange(1), help="Images at a time; the recipe's train.batch_size if left out."
)
@click.option("--limit", type=click.IntRange(1), help="At most so many images, spread over the split.")
@click.option(
    "--importance",
    type=click.IntRange(1),
    metavar="N",
    help="Of a latent model: estimate from N samples an image, too.",
)
@checkpoint_option
@weights_option
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

    Of a latent model the score is a bound, marked "<=", with its parts. With --importance the likelihood is
    estimated, too, marked "~": the more samples the nearer.

    Overrides are of the data alone (data.root=DIR if they have moved); relative paths in them start
    from the working directory.
    """
    _check(overrides)
    open_door()
    opened = Run.open(run)
    recipe = locked_recipe(opened, overrides)
    model = load(opened, device=device, checkpoint=checkpoint, weights=weights)
    with talking(quiet) as talk:
        dataset = prepare(recipe.data, Path.cwd(), talk.progress)

        def scored(what: str, samples: int | None) -> Scores:
            return evaluate(
                model,
                dataset,
                split,
                batch_size or recipe.train.batch_size,
                weights=weights,
                limit=limit,
                importance=samples,
                watch=lambda done, total: talk.progress(what, done, total),
            )

        # The estimate first: a model that has none says so before anything is spent.
        estimate = [] if importance is None else [scored("estimating", importance)]
        scores = scored("scoring", None)
        units = _active_units(model, dataset, split)
    rows = [row.dump() for row in (scores, *estimate)]
    remarks = model.remarks(scores.parts)
    if as_json:
        more = {"estimate": rows[1]} if estimate else {}
        head = {"run": str(run), "data": dataset.description, "checkpoint": checkpoint}
        emit_json({**head, **rows[0], **more, "active_units": units, "remarks": remarks})
    else:
        lines = [f"z_{level}: {active} of {count} units active" for level, (active, count) in enumerate(units, 1)]
        given = ", given the labels" if model.labelled else ""
        emit("\n".join([f"{dataset.description}{given}", score_table(rows), *lines, *remarks]))


def _active_units(model: Model, dataset: Dataset, split: str) -> list[tuple[int, int]]:
    """Of a latent model: active units of each level, and how many there are, on images from all over a split."""
    if not isinstance(model, LatentModel):
        return []
    some = torch.arange(0, dataset.size(split), -(-dataset.size(split) // UNIT_IMAGES))
    return model.active_units(dataset.batch(split, some).x)


def _check(overrides: tuple[str, ...]) -> None:
    for text in overrides:
        if not text.startswith("data."):
            raise UsageError(
                "only the data of a run can be overridden: the rest is what was trained",
                where=f'override "{text}"',
                expected="data.KEY=VALUE",
            )
