"""`pixkit decompress`."""

from __future__ import annotations

from pathlib import Path

import click

from pixkit.cli.options import json_option, naming_options, quiet_option
from pixkit.cli.output import emit_json, emit_line
from pixkit.cli.progress import show_progress
from pixkit.ranks import for_one_process
from pixkit.tasks.compress import decompress


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--run", type=click.Path(path_type=Path), help="The run whose model it was compressed with.")
@click.option("--codec", type=click.Path(path_type=Path, dir_okay=False), help="Or its codec-HASH.safetensors.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="A new folder for pictures, 00000.png and so on, or FILE.npz for levels.",
)
@json_option
@quiet_option
def command(*, file: Path, run: Path | None, codec: Path | None, out: Path, as_json: bool, quiet: bool) -> None:
    """Get back the images that `pixkit compress` wrote.

    The codec file is looked for in the run, or else beside FILE. It is all that is needed: no checkpoint, no plugin. A
    file that was damaged anywhere is refused.
    """
    for_one_process("decompressing")
    with naming_options(), show_progress(quiet) as progress:
        found = decompress(
            file, out, run=run, codec=codec, progress=lambda done, total: progress.update("decompressing", done, total)
        )
    if as_json:
        emit_json({"file": str(file), "out": str(out), "images": len(found.images), "names": found.names})
        return
    emit_line(out)
