"""`pixkit eval`."""

from __future__ import annotations

from pathlib import Path

import click

from pixkit.build import evaluate, load
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
from pixkit.cli.runs import recipe_of
from pixkit.cli.scores import score_table
from pixkit.cli.talk import talking
from pixkit.data import prepare
from pixkit.errors import UsageError
from pixkit.run import Run


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
    checkpoint: str,
    weights: str,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score a trained model on a split of its data.

    Overrides are of the data alone (data.root=DIR if they have moved); relative paths in them start
    from the working directory.
    """
    _check(overrides)
    open_door()
    opened = Run.open(run)
    recipe = recipe_of(opened, overrides)
    model = load(opened, device=device, checkpoint=checkpoint, weights=weights)
    with talking(quiet) as talk:
        dataset = prepare(recipe.data, Path.cwd(), talk.progress)
        scores = evaluate(
            model,
            dataset,
            split,
            batch_size or recipe.train.batch_size,
            weights=weights,
            watch=lambda done, total: talk.progress("scoring", done, total),
        )
    row = scores.dump()
    if as_json:
        emit_json({"run": str(run), "data": dataset.description, "checkpoint": checkpoint, **row})
    else:
        emit(f"{dataset.description}\n{score_table([row])}")


def _check(overrides: tuple[str, ...]) -> None:
    for text in overrides:
        if not text.startswith("data."):
            raise UsageError(
                "only the data of a run can be overridden: the rest is what was trained",
                where=f'override "{text}"',
                expected="data.KEY=VALUE",
            )
