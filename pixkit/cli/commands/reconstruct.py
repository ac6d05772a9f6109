"""`pixkit reconstruct`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pixkit import figures
from pixkit.cli.drawing import drawing_options
from pixkit.cli.options import images_argument, json_option, naming_options, quiet_option, run_argument
from pixkit.cli.output import emit, emit_json, emit_line, table
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.progress import show_progress
from pixkit.cli.runs import opened_run
from pixkit.figures.targets import saving
from pixkit.runs.figures import number
from pixkit.tasks.latents import reconstruct

COLUMNS = 16
"""Images in each row of the picture."""


@click.command()
@run_argument
@images_argument
@drawing_options
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="FILE.png, originals on top."
)
@json_option
@quiet_option
def command(
    *,
    run: Path,
    drawing: dict[str, Any],
    images: tuple[str, ...],
    out: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Encode images and draw them again from their codes.

    An IMAGE is a picture, a folder or archive of pictures, an array of levels (.npy, .npz) or test:NUMBER of the run's
    own data; files are prepared like the run's data. In the picture each row of images has their reconstructions below
    it. The code is the encoder's mean; the pixels are drawn again, so that details differ by chance. If the model has a
    bound, each image's is shown.
    """
    if out.suffix != ".png":
        raise click.UsageError(f"-o {out}: name a .png")
    figures.require_file(out)
    loaded_plugins()
    quiet = quiet or not drawing["ranks"].first
    with naming_options(), show_progress(quiet) as progress:
        opened = opened_run(run, quiet)
        found = reconstruct(opened, images, **drawing, **progress.hooks("drawing"))
        progress.remark(found.summary)
    if not drawing["ranks"].first:
        return
    columns = min(len(found.names), COLUMNS)
    with saving(out):
        figures.save_grid(found.in_pairs(columns), opened.spec, out, columns=columns)
    nats = None if found.nats is None else found.nats.tolist()
    if as_json:
        rows = [{"image": text, "nats": nats and nats[row]} for row, text in enumerate(found.names)]
        emit_json({"run": str(run), "out": str(out), "kind": found.kind, "images": rows})
        return
    if nats is not None:
        shown = [number(value, found.kind, 2) for value in nats]
        emit(table(("image", "nats"), zip(found.names, shown, strict=True)))
    emit_line(out)
