"""`pixkit export`."""

from __future__ import annotations

from pathlib import Path

import click

from pixkit.cli.options import json_option, naming_options, quiet_option, run_argument
from pixkit.cli.output import emit_json, emit_line, say
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.runs import opened_run
from pixkit.errors import listed
from pixkit.tasks.export import export_run


@click.command()
@run_argument
@click.argument("out", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False))
@click.option("--checkpoint", default="best", show_default=True, metavar="best|last|step-N", help="Which checkpoint.")
@click.option(
    "--licence", default="", metavar="NAME", help="Licence of the weights, as model hubs name it: mit, cc-by-4.0."
)
@json_option
@quiet_option
def command(*, run: Path, out: Path, checkpoint: str, licence: str, as_json: bool, quiet: bool) -> None:
    """Write a run into a new folder, to share it.

    The FOLDER is itself a run, which every command takes, and which model hubs show: its recipe, scores and samples,
    the averaged weights of one checkpoint, and README.md, a card that says what it was trained on, by which command,
    and how it scores. It cannot be trained further; train.init_from=FOLDER starts another run from its weights.
    """
    loaded_plugins()
    with naming_options():
        found = export_run(opened_run(run, quiet), out, checkpoint=checkpoint, licence=licence)
    if not quiet and found.local:
        say(f"places on this machine that recipe.lock.yaml names: {listed(found.local)}")
    if as_json:
        emit_json({"run": str(run), "out": str(out), "bytes": found.size, "card": found.card.model_dump()})
    else:
        emit_line(out)
