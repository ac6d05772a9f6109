"""`pixkit report`."""

from __future__ import annotations

from pathlib import Path

import click

from pixkit.cli.group import plugin_option
from pixkit.cli.options import json_option, quiet_option
from pixkit.cli.output import emit_json, emit_line, warn
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.runs import opened_run
from pixkit.figures.targets import require_file, saving
from pixkit.files import write_text
from pixkit.ranks import for_one_process
from pixkit.report import page


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    metavar="FILE.html",
    help="The page to write; an older one is replaced.",
)
@click.option(
    "--field/--no-field",
    default=True,
    help="Show what a pixel sees, for which each model is built and traced, or leave it out.",
    show_default=True,
)
@plugin_option
@json_option
@quiet_option
def command(runs: tuple[Path, ...], out: Path, field: bool, as_json: bool, quiet: bool) -> None:
    """Write a page about runs: curves, scores, samples, recipes.

    One self-contained HTML file: it loads nothing and runs nothing, and suits print and dark mode. It shows learning
    curves over steps and over time, scores beside the published figure, samples over time, what a pixel sees and the
    order of drawing, the recipe and its differences from the packaged one and between the runs, machine, data and time.
    Runs in progress are read as they are.

    --json prints the file's `path` and `bytes`, the `runs`, and as `missing` what could not be shown.
    """
    for_one_process("a report")
    if out.suffix not in (".html", ".htm"):
        raise click.UsageError(f"-o {out}: name a .html")
    require_file(out)
    loaded_plugins()
    missing: list[str] = []
    text = page([opened_run(run, quiet or as_json) for run in runs], field=field, say=missing.append)
    with saving(out):
        write_text(out, text)
    if as_json:
        emit_json(
            {"path": str(out), "bytes": out.stat().st_size, "runs": [str(run) for run in runs], "missing": missing}
        )
        return
    for remark in missing if not quiet else ():
        warn(remark)
    emit_line(out)
