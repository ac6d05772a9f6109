"""`pixkit studio`."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

import click

from pixkit.cli.group import plugin_option
from pixkit.cli.options import (
    checkpoint_option,
    device_option,
    json_option,
    naming_options,
    quiet_option,
    run_argument,
    weights_option,
)
from pixkit.cli.output import emit_json, emit_line, is_terminal, say
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.runs import opened_run
from pixkit.ranks import for_one_process
from pixkit.studio import Studio, StudioServer, serve
from pixkit.tasks.drawer import open_drawer

PORT = 7440


@click.command()
@run_argument
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Port of the page; 0 takes any free one.",
)
@click.option("--no-browser", is_flag=True, help="Do not open a browser; one is opened only from a terminal.")
@checkpoint_option
@weights_option
@device_option
@plugin_option
@json_option
@quiet_option
def command(
    *,
    run: Path,
    port: int,
    no_browser: bool,
    checkpoint: str,
    weights: str,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Serve a page to play with a trained model.

    Draw a part of an image with mouse, finger or keys, and watch the model complete it in its order; see what a pixel's
    prediction reads, how uncertain each pixel is, and how many nats the drawing and its completions have. For a model
    that cannot complete images, the page draws whole ones.

    The page is only for this machine, and needs no network: its address, which is printed, has a token. Ctrl-C ends it.
    From another machine: ssh -L 7440:localhost:7440 HOST, and open the address there.
    """
    for_one_process("the studio")
    loaded_plugins()
    with naming_options():
        drawer = open_drawer(opened_run(run, quiet), device=device, checkpoint=checkpoint, weights=weights)
        server = StudioServer(Studio(drawer, str(run)), port)
    if as_json:
        emit_json({"run": str(run), "url": server.url})
    else:
        emit_line(server.url)
    sys.stdout.flush()
    if not quiet:
        say("Ctrl-C ends it")
    if is_terminal(sys.stdout) and not no_browser:
        webbrowser.open(server.url)
    serve(server)
