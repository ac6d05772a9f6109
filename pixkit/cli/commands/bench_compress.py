"""`pixkit bench compress`."""

from __future__ import annotations

from pathlib import Path

import click

from pixkit.cli.options import (
    checkpoint_option,
    images_argument,
    json_option,
    naming_options,
    quiet_option,
    run_argument,
    weights_option,
)
from pixkit.cli.output import emit, emit_json, table
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.progress import show_progress
from pixkit.cli.runs import opened_run
from pixkit.tasks.codec_bench import bench_codec


@click.command()
@run_argument
@images_argument
@checkpoint_option
@weights_option
@json_option
@quiet_option
def compress(*, run: Path, images: tuple[str, ...], checkpoint: str, weights: str, as_json: bool, quiet: bool) -> None:
    """Compare a trained model's lossless codec with general ones on the same images.

    PNG (optimised), WebP (lossless) and xz take the images one by one or as one picture, whichever is smaller. The
    codec file, which holds the model, is told apart: it is needed once, for any number of images.
    """
    loaded_plugins()
    with naming_options(), show_progress(quiet) as progress:
        opened = opened_run(run, quiet)
        found = bench_codec(opened, images, checkpoint=checkpoint, weights=weights, loading=progress.update)
    if as_json:
        emit_json({"run": str(run), **found.dump()})
        return
    rows = [("model", "blocks", found.size), *found.general]
    cells = [(name, layout, str(size), f"{size / found.images:.2f}") for name, layout, size in rows]
    emit(
        f"{found.images} images, {found.ideal:.1f} bytes by their nats, a file {100 * found.overhead:.2f}% larger, "
        f"a codec file of {found.codec_size} bytes\n"
        f"{found.images / found.encode_seconds:.3g} images/s encoded, "
        f"{found.images / found.decode_seconds:.3g} decoded\n\n"
        + table(("codec", "layout", "bytes", "an image"), cells)
    )
