"""`pixkit schema`."""

from __future__ import annotations

import click

from pixkit.cli.group import plugin_option
from pixkit.cli.output import emit_json
from pixkit.cli.plugins import loaded_plugins
from pixkit.recipe import json_schema


@click.command()
@plugin_option
def command() -> None:
    """Print the JSON Schema of recipes.

    It covers the components of every installed plugin; editors can use it to complete and check recipes.
    """
    emit_json(json_schema(loaded_plugins().registry))
