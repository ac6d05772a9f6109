"""`pixkit compress`."""

from __future__ import annotations

from pathlib import Path

import click

from pixkit.cli.options import (
    checkpoint_option,
    images_argument,
    json_option,
    labels_option,
    naming_options,
    quiet_option,
    run_argument,
    weights_option,
)
from pixkit.cli.output import emit, emit_json, emit_line, pairs
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.progress import show_progress
from pixkit.cli.runs import opened_run
from pixkit.ranks import launched
from pixkit.tasks.compress import compress


@click.command()
@run_argument
@images_argument
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to write: FILE.pxk."
)
@labels_option
@click.option("--tiles", is_flag=True, help="Take images of any size, cut into tiles of the model's.")
@click.option("--no-verify", is_flag=True, help="Do not decode the result to verify it: takes half as long.")
@checkpoint_option
@weights_option
@json_option
@quiet_option
def command(
    *,
    run: Path,
    images: tuple[str, ...],
    out: Path,
    labels: str | None,
    tiles: bool,
    no_verify: bool,
    checkpoint: str,
    weights: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compress images losslessly with a trained model.

    An IMAGE is a picture, a folder or archive of pictures, an array of levels (.npy, .npz) or test:NUMBER of the run's
    own data, whose labels are known; files are first prepared like the run's data, and the result is stored bit by bit.
    Decoding needs the codec file that is written into the run. With --tiles images keep their sizes, for a model that
    was trained on crops.

    Under torchrun the ranks share the blocks of the file, and rank 0 writes it, with the same bytes as one process.
    """
    loaded_plugins()
    with launched() as ranks, naming_options(), show_progress(quiet := quiet or not ranks.first) as progress:
        opened = opened_run(run, quiet)
        hooks = progress.hooks("compressing")
        given = {"labels": labels, "tiles": tiles, "checkpoint": checkpoint, "weights": weights, "ranks": ranks}
        found = compress(opened, images, out, verify=not no_verify, **given, **hooks)  # type: ignore[arg-type]
    if not ranks.first:
        return
    if as_json:
        emit_json({"run": str(run), **found.dump()})
        return
    emit_line(out)
    figures = {"images": found.images, "bytes": found.size, "bits/dim": f"{found.bits_per_dim:.4f}"}
    emit(pairs({name: str(value) for name, value in figures.items()}))
