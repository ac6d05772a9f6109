"""`pixkit bench compress`."""

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
from pixkit.cli.output import emit, emit_json, table
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.progress import show_progress
from pixkit.cli.runs import opened_run
from pixkit.numerals import significant
from pixkit.ranks import for_one_process
from pixkit.tasks.codec_bench import CodecTimes, bench_codec


@click.command()
@run_argument
@images_argument
@labels_option
@checkpoint_option
@weights_option
@json_option
@quiet_option
def compress(
    *,
    run: Path,
    images: tuple[str, ...],
    labels: str | None,
    checkpoint: str,
    weights: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare a trained model's lossless codec with general ones on the same images.

    PNG (optimised), WebP, JPEG XL (effort 9), JPEG-LS, all lossless, and Group 4 for two levels take the images one by
    one, one below the other, or as one mosaic, whichever is smallest; xz takes their levels. JPEG XL and JPEG-LS need
    imagecodecs, an extra. The codec file, which holds the model, is listed separately: it is needed once, for any
    number of images.
    """
    for_one_process("comparing codecs")
    loaded_plugins()
    with naming_options(), show_progress(quiet) as progress:
        opened = opened_run(run, quiet)
        given = {"labels": labels, "checkpoint": checkpoint, "weights": weights}
        found = bench_codec(opened, images, **given, loading=progress.update)  # type: ignore[arg-type]
    if as_json:
        emit_json({"run": str(run), **found.dump()})
        return
    emit(shown(found))


def shown(found: CodecTimes) -> str:
    """The result, for people."""
    rows = [
        ("the model's nats", "", found.ideal),
        ("pixkit's range coder", "blocks", found.words),
        ("pixkit's file", "blocks", found.size),
        *found.general,
    ]
    cells = [(name, layout, f"{size:.0f}", f"{size / found.images:.2f}") for name, layout, size in rows]
    share, seconds = found.size / found.best.size, (found.encode_seconds, found.decode_seconds)
    lines = [
        table(("codec", "layout", "bytes", "an image"), cells),
        "",
        *(f"{name} is left out: {reason}" for name, reason in found.left_out.items()),
        f"{found.images} images: {share:.3f} of {found.best.name}, {100 * found.overhead:.2f}% above the nats",
        f"the model, which is needed once in addition: a codec file of {found.codec_size} bytes",
        "{} images/s encoded, {} decoded".format(*(significant(found.images / each, 3) for each in seconds)),
    ]
    return "\n".join(lines)
