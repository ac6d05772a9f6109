"""`pixkit sample`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pixkit import figures
from pixkit.build import load
from pixkit.cli.conditions import Labels, given_image, known_rows, labels_to_draw
from pixkit.cli.door import open_door
from pixkit.cli.options import checkpoint_option, device_option, quiet_option, run_argument, weights_option
from pixkit.cli.output import emit, is_terminal
from pixkit.cli.talk import talking
from pixkit.run import Run
from pixkit.samplers import sampler_for

Save = Callable[[Any, int, Path, int | None], object]
"""Called as save(images, levels, path, columns of a grid)."""


@click.command()
@run_argument
@click.option("-n", "count", type=click.IntRange(1), help="How many images; the recipe's sample.count if left out.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Names the noise.")
@click.option(
    "--label", "labels", type=Labels(), metavar="N[,N...]|all", help="Draw -n images of each of these classes."
)
@click.option("--guidance", type=click.FloatRange(0), help="More like the label than the model says; 0 is the model.")
@click.option("--given", metavar="IMAGE", help="Continue an image: a file, or test:NUMBER of the run's data.")
@click.option("--rows", type=click.IntRange(1), help="With --given: how many of its rows are given.")
@click.option("--temperature", type=click.FloatRange(0, min_open=True), help="Divides logits; 1 is the model's own.")
@click.option("--batch-size", type=click.IntRange(1), help="Images drawn together; the result does not depend on it.")
@click.option("--sampler", help="A sampler's name, or auto: the fastest exact one.")
@checkpoint_option
@weights_option
@device_option
@click.option("-o", "--out", type=click.Path(path_type=Path), help="FILE.png, FILE.npz or a folder.")
@quiet_option
def command(
    *,
    run: Path,
    count: int | None,
    seed: int,
    labels: tuple[int, ...] | str | None,
    guidance: float | None,
    given: str | None,
    rows: int | None,
    temperature: float | None,
    batch_size: int | None,
    sampler: str | None,
    checkpoint: str,
    weights: str,
    device: str,
    out: Path | None,
    quiet: bool,
) -> None:
    """Draw images from a trained model.

    With -o they go into a grid (FILE.png), an archive of the levels themselves (FILE.npz, array
    `samples`, [N, C, H, W]) or a folder of PNG pictures, whose path is printed. On a terminal they are
    shown there too.

    What is left out is taken from the recipe's section `sample`. An image depends on the seed and its number
    alone, not on how many are drawn or how.

    With --label the images of a class make a row of the grid. A model with labels draws each class in turn where no
    label is given. With --given and --rows the first rows are an image's own and the others are drawn; under a raster
    ordering that is exact.
    """
    if (given is None) != (rows is None):
        raise click.UsageError("--given and --rows go together: --given IMAGE --rows 10")
    save = None if out is None else saver(out)
    shown = is_terminal(sys.stdout)
    if save is None and not shown:
        raise click.UsageError("stdout is no terminal to show images on: name a file or a folder with -o")
    open_door()
    opened = Run.open(run)
    defaults = opened.recipe().sample
    model = load(opened, device=device, checkpoint=checkpoint, weights=weights)
    chosen = sampler_for(sampler or defaults.type)
    number = count or (8 if labels else defaults.count)
    options: dict[str, Any] = {"guidance": guidance} if guidance else {}
    with talking(quiet) as talk:
        if labels is not None:
            options["context"] = labels_to_draw(model, labels, number)
        if given is not None and rows is not None:
            options["known"] = known_rows(given_image(given, opened, model.spec, talk), rows)
        x = model.sample(
            len(options["context"]) if labels else number,
            seed=seed,
            temperature=temperature or defaults.temperature,
            batch_size=batch_size or defaults.batch_size,
            sampler=chosen,
            progress=lambda done, total: talk.progress("sampling", done, total),
            **options,
        )
        if chosen.summary():
            talk.say(chosen.summary())
    if shown:
        emit(picture(x, model.spec.levels))
    if save is not None and out is not None:
        save(x, model.spec.levels, out, number if labels else None)
        emit(str(out))


def saver(out: Path) -> Save:
    """What writes to that path: its suffix says it.

    Raises:
        click.UsageError: for another suffix.
        RunError: for a folder with something in it.
    """
    if out.suffix == ".png":
        return lambda x, levels, path, columns: figures.save_grid(x, levels, path, columns=columns)
    if out.suffix == ".npz":
        return lambda x, levels, path, columns: figures.save_npz(x, levels, path)
    if out.suffix and not out.is_dir():
        raise click.UsageError(f"-o {out}: name a .png, a .npz, or a folder (no suffix)")
    figures.require_empty(out)
    return lambda x, levels, path, columns: figures.save_images(x, levels, path)


def picture(x: Any, levels: int) -> str:
    """As many of the images as fit the terminal."""
    size = shutil.get_terminal_size()
    plain = os.environ.get("NO_COLOR") or "utf" not in (sys.stdout.encoding or "").lower()
    paint = figures.shades if plain else figures.truecolour
    return figures.preview(x, levels, paint, width=size.columns, lines=size.lines - 3)
