"""`pixkit upscale`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from pixkit.cli.commands.complete import told
from pixkit.cli.drawing import drawing_options, one_of, picture, saver
from pixkit.cli.options import images_argument, json_option, naming_options, quiet_option, run_argument
from pixkit.cli.output import emit, emit_json, emit_line, emit_picture, is_terminal, pairs
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.progress import show_progress
from pixkit.cli.runs import opened_run
from pixkit.figures.targets import saving
from pixkit.tasks.upscale import Upscaling, upscale_each


@click.command()
@run_argument
@images_argument
@click.option("-n", "count", type=click.IntRange(1), default=4, show_default=True, help="Number of samples.")
@click.option("--factor", type=click.IntRange(2), default=2, show_default=True, help="Factor of enlargement.")
@click.option("--label", metavar="CLASS", help="The image's class, for a model with labels.")
@drawing_options
@click.option("-o", "--out", type=click.Path(path_type=Path), help="FILE.png, FILE.npz or a folder.")
@json_option
@quiet_option
def command(
    *,
    run: Path,
    drawing: dict[str, Any],
    images: tuple[str, ...],
    count: int,
    factor: int,
    label: str | None,
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw the pixels between those of a small image.

    IMAGE is taken as every n-th pixel (n is --factor) of an image of the model's size, and the others are drawn from
    their exact distribution given these. That works for models whose ordering draws every n-th pixel before all others,
    such as `multiscale`; others are refused.

    IMAGE is a picture or an array (.npy, .npz) of the small size, a folder or archive of such pictures, or test:NUMBER
    of the run's data, of which every n-th pixel is taken. Beware of pictures that were reduced by averaging, which are
    unlike those that the model was trained on.

    For several images the results are in FILE-0.png, FILE-1.png and so on, or in subfolders. FILE.png shows the small
    image enlarged, the samples, and, for the run's data, the image itself. FILE.npz and a folder hold the samples. For
    the run's data, the nats of the image's other pixels given every n-th are also shown.
    """
    shown = is_terminal(sys.stdout) and not as_json
    if out is None and not shown and not as_json:
        raise click.UsageError("stdout is not a terminal to show images on: name a file or a folder with -o")
    if out is not None:
        saver(out)
    loaded_plugins()
    quiet = quiet or not drawing["ranks"].first
    with naming_options(), show_progress(quiet) as progress:
        options: dict[str, Any] = {"factor": factor, "label": label, **drawing, **progress.hooks("sampling")}
        found = upscale_each(opened_run(run, quiet), images, count, **options)
        for summary in dict.fromkeys(each.completion.summary for each in found):
            progress.remark(summary)
    if not drawing["ranks"].first:
        return
    rows = []
    for number, each in enumerate(found):
        place = None if out is None else one_of(out, number, len(found))
        rows.append(
            {"image": each.completion.name, **each.completion.dump(), "out": None if place is None else str(place)}
        )
        _save(each, place)
        if not as_json:
            _show(each, place, images=shown, named=len(found) > 1)
    if as_json:
        emit_json({"run": str(run), **(rows[0] if len(rows) == 1 else {"upscalings": rows})})


def _save(found: Upscaling, out: Path | None) -> None:
    if out is None:
        return
    panels = found.panels()
    columns = len(panels) if len(panels) <= 10 else None
    with saving(out):
        saver(out)(panels if out.suffix == ".png" else found.samples, found.spec, out, columns)


def _show(found: Upscaling, out: Path | None, *, images: bool, named: bool) -> None:
    if images:
        emit_picture(picture(found.panels(), found.spec))
    emit(pairs(({"image": found.completion.name} if named else {}) | told(found.completion)))
    if out is not None:
        emit_line(out)
