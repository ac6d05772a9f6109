"""`pixkit sample`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from pixkit.cli.drawing import NAMED, conditions_given, drawing_options, picture, saver
from pixkit.cli.options import Codes, Weight, naming_options, quiet_option, run_argument
from pixkit.cli.output import emit_line, emit_picture, is_terminal
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.progress import show_progress
from pixkit.cli.runs import opened_run
from pixkit.figures.targets import saving
from pixkit.tasks.sample import incompatible, sample


@click.command()
@run_argument
@click.option("-n", "count", type=click.IntRange(1), help="Number of images; the recipe's sample.count by default.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="CLASS[,CLASS...]|all|none",
    help="Draw -n images of each of these classes; may be given several times.",
)
@click.option("--code", "codes", type=Codes(), metavar="K[,K...]|all", help="Draw -n images of each categorical code.")
@click.option(
    "--interpolate", nargs=2, metavar="A B", help="From the code of one image to that of another; see --given."
)
@click.option(
    "--vary",
    metavar="pixels|latent|latentL|CONDITION",
    multiple=True,
    help="What differs: the pixels' noise (under one code or condition), the code (under one noise), only latent level "
    "L, or a condition by its name (under one noise). Given twice: from row to row, and within a row.",
)
@click.option(
    "--guidance",
    type=Weight(),
    multiple=True,
    metavar="W|CONDITION=W",
    help="Strengthen the influence of all conditions that have dropout, or of one; 0 is the model itself.",
)
@click.option(
    "--given",
    metavar="IMAGE|NAME=FILE",
    multiple=True,
    help="With --rows: an image to continue, or a folder: a file, or test:NUMBER of the run's data; may be several. "
    "Without: the values of a list of conditions, NAME=FILE, NAME=test:NUMBER, label=CLASS, NAME=1,0.5 for a vector, "
    "or test:NUMBER for all of that image's; named ones replace those of the images.",
)
@click.option("--rows", type=click.IntRange(1), help="With --given: the number of its rows that are given.")
@drawing_options
@click.option("-o", "--out", type=click.Path(path_type=Path), help="FILE.png, FILE.npz or a folder.")
@quiet_option
def command(
    *,
    run: Path,
    drawing: dict[str, Any],
    count: int | None,
    labels: tuple[str, ...],
    codes: tuple[int, ...] | str | None,
    interpolate: tuple[str, str] | None,
    vary: tuple[str, ...],
    guidance: tuple[tuple[str, float], ...],
    given: tuple[str, ...],
    rows: int | None,
    out: Path | None,
    quiet: bool,
) -> None:
    """Draw images from a trained model.

    With -o they go into a grid (FILE.png), an archive of the levels themselves (FILE.npz, array `samples`, [N, C, H,
    W]) or a folder of PNG pictures, whose path is printed. On a terminal they are also shown there. Codes that the
    run's data source decodes are shown as pictures; an archive has the codes.

    Defaults come from the recipe's section `sample`. An image depends only on the seed and its number, not on how many
    are drawn or how.

    With --label the images of a class form a row of the grid. Without it, a model with labels cycles through the
    classes. With --given and --rows the first rows are an image's own and the others are drawn; under a raster ordering
    that is exact. For several images, -n are drawn for each, a row of the grid; with --label for each under each of the
    labels. Without --rows it sets what a model with a list of conditions draws given: -n images for each, in a row
    behind a picture of the condition, if that is an image; by default those of the validation images in turn.

    A class is given by its name or, if no name is a number, by its number. name:CLASS is a class that is called all,
    none or by a number.

    Under torchrun the ranks share the batches of --batch-size images, and rank 0 writes what one process would.

    --vary shows what one thing decides while all else is held. A condition, as in --vary label, takes n of the values
    that are given, of the classes, or of those of the validation images; its picture, or the class's name, is above
    each column, and the images of a row have one noise. The other conditions are those of --given, a row for each, or
    else of the first validation image. --vary pixels does the reverse: each row is under the conditions of --given, and
    a column has one noise. --vary small --vary label makes a grid of two: a row for each picture, a column for each
    class, all under one noise.

    For a latent model, --code does the same for each value of a categorical code, and --interpolate and --vary show
    what the code and the pixels' noise each decide.
    """
    if rows is not None and not given:
        raise click.UsageError("--given and --rows go together: --given IMAGE --rows 10")
    images, context = _parted(given, rows)
    wish: dict[str, Any] = {
        "labels": labels[0] if len(labels) == 1 else [*labels] or None,
        "codes": codes,
        "given": images or None,
        "context": context or None,
        "interpolate": interpolate,
        "vary": vary or None,
    }
    asked = {name: value for name, value in (wish | {"guidance": _weights(guidance)}).items() if value is not None}
    if incompatible(asked, vary or None):
        spelt = {"labels": "--label", "codes": "--code"}
        raise click.UsageError(f"{' and '.join(spelt.get(name, f'--{name}') for name in asked)} cannot be combined")
    save = None if out is None else saver(out)
    shown = is_terminal(sys.stdout)
    if save is None and not shown:
        raise click.UsageError("stdout is not a terminal to show images on: name a file or a folder with -o")
    loaded_plugins()
    quiet = quiet or not drawing["ranks"].first
    with naming_options(), show_progress(quiet) as progress:
        opened = opened_run(run, quiet)
        drawn = sample(opened, count, rows=rows, **asked, **drawing, **progress.hooks("sampling"))
        progress.remark(drawn.summary)
    if not drawing["ranks"].first:
        return
    if shown:
        emit_picture(picture(*drawn.figure(opened.spec)[:2]))
    if save is not None and out is not None:
        x, levels, columns = drawn.figure(opened.spec, grid=out.suffix == ".png")
        if out.suffix == ".npz":
            x, levels = drawn.images, opened.spec
        with saving(out):
            save(x, levels, out, columns, drawn.titles)
        emit_line(out)


def _weights(given: tuple[tuple[str, float], ...]) -> float | dict[str, float] | None:
    """What --guidance says: a number for all conditions, or one for each by name."""
    named = {name: weight for name, weight in given if name}
    if not given:
        return None
    if named and len(named) == len(given):
        return named
    if len(given) > 1:
        raise click.UsageError("--guidance names each condition once, or gives one weight for all")
    return given[0][1]


def _parted(given: tuple[str, ...], rows: int | None) -> tuple[list[str], list[str | dict[str, str]]]:
    """What --given names: images to continue, and what a list of conditions is to be."""
    if rows is None:
        return [], conditions_given(given)
    named = [text for text in given if "=" in text and NAMED.match(text.partition("=")[0])]
    return [text for text in given if text not in named], conditions_given(named)
