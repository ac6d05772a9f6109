"""`pixkit new-plugin`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from pixkit.catalogue.kinds import KINDS, one_of
from pixkit.cli.look import catalogue
from pixkit.cli.options import json_option
from pixkit.cli.output import emit_json, emit_line, explain, warn
from pixkit.starter import names_for, new_plugin

NEXT = """\
next:
  cd {folder}
  pip install -e '.[test]'
  pytest
  pixkit build recipe.yaml
"""


@click.command()
@click.argument("plugin", metavar="NAME")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="The kind of its component.")
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Its folder; by default NAME."
)
@json_option
def command(plugin: str, kind: str, output: Path | None, as_json: bool) -> None:
    """Start a plugin: a distribution with one component.

    NAME is the name for pip, as in pixkit-waves; recipes name its component without the pixkit-. Writes a
    pyproject.toml with the entry point, a module with a working component, a test of its contract, a recipe that uses
    it, and a README. Prints their paths. Existing files are never overwritten.
    """
    names = names_for(kind, plugin)
    folder = output or Path(names.distribution)
    written = new_plugin(kind, names, folder)
    for other in catalogue(quiet=True).components:
        if (other.kind, other.name) == (kind, names.component) and other.distribution != names.distribution:
            also = f"{other.distribution} also has {one_of(kind)} '{other.name}'"
            warn(f"{also}: while both are installed, recipes must name {names.distribution}:{other.name}")
    if as_json:
        emit_json({"kind": kind, **vars(names), "files": [str(path) for path in written]})
        return
    for path in written:
        emit_line(path)
    explain(NEXT.format(folder=shlex.quote(os.fspath(folder))))
