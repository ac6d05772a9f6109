"""`pixkit decompress`."""

from __future__ import annotations

from pathlib import Path

import click

from pixkit.cli.options import Span, json_option, naming_options, quiet_option
from pixkit.cli.output import emit, emit_json, emit_line, pairs
from pixkit.cli.progress import show_progress
from pixkit.errors import listed
from pixkit.ranks import for_one_process
from pixkit.tasks.decompress import contents, decompress


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--run", type=click.Path(path_type=Path), help="The run whose model it was compressed with.")
@click.option("--codec", type=click.Path(path_type=Path, dir_okay=False), help="Or its codec-HASH.safetensors.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="A new folder for pictures, 00000.png and so on, or FILE.npz."
)
@click.option(
    "--images", type=Span(), metavar="FIRST:END", help="Only these, as a slice in Python: 100:164, 100: or :64."
)
@click.option("--list", "listed", is_flag=True, help="List the contents of the file, and write nothing.")
@json_option
@quiet_option
def command(
    *,
    file: Path,
    run: Path | None,
    codec: Path | None,
    out: Path | None,
    images: slice | None,
    listed: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Restore the images that `pixkit compress` wrote.

    The codec file is looked for in the run, or else next to FILE. Nothing else is needed: no checkpoint, no plugin. A
    file with any damage is refused. FILE.npz has levels, `samples`, and `labels` if there are any, which a folder has
    as labels.npy. With --images only the blocks with these images are decoded. --list needs no codec file.
    """
    for_one_process("decompressing")
    if listed:
        if out is not None or images is not None:
            raise click.UsageError("--list describes the whole file and writes nothing: leave out -o and --images")
        return _list(file, as_json)
    if out is None:
        raise click.UsageError("name a place for the images with -o, or list them with --list")
    with naming_options(), show_progress(quiet) as progress:
        hooks = {"progress": lambda done, total: progress.update("decompressing", done, total)}
        found = decompress(file, out, images=images, run=run, codec=codec, **hooks)
    if as_json:
        emit_json({"file": str(file), "out": str(out), "images": found.count, "names": found.names})
        return
    emit_line(out)


def _list(file: Path, as_json: bool) -> None:
    found = contents(file)
    if as_json:
        emit_json({"file": str(file), **found.dump()})
        return
    said = found.dump()
    said["shape"], said["bits_per_dim"] = str(found.spec), f"{said['bits_per_dim']:.4f}"
    said["blocks"] = (
        f"{len(found.blocks)} of up to {max(found.blocks, default=0)} {'tiles' if found.sizes else 'images'}"
    )
    if found.sizes:
        said["sizes"] = listed(f"{many} of {height} x {width}" for many, height, width in found.sizes)
    emit(pairs({name: str(value) for name, value in said.items() if name not in ("names", "levels")}))
    for number, name in enumerate(found.names):
        emit_line(f"{number}  {name}")
