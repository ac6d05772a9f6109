"""`pixkit plugins`."""

from __future__ import annotations

from typing import Any

import click

from pixkit.cli.group import plugin_option
from pixkit.cli.options import json_option
from pixkit.cli.output import emit, emit_json, table
from pixkit.cli.plugins import commands_of
from pixkit.components.plugins import PluginInfo, plugins


@click.command()
@plugin_option
@json_option
def command(as_json: bool) -> None:
    """List plugins, their components and their state.

    A broken plugin is left out, and so is one named in PIXKIT_DISABLE_PLUGINS (names of plugins or of distributions,
    separated by commas).
    """
    loaded = plugins()
    commands = [sorted(commands_of(loaded, info)) for info in loaded.infos]
    rows = [_row(info, names) for info, names in zip(loaded.infos, commands, strict=True)]
    if as_json:
        emit_json(rows)
        return
    emit(table(("plugin", "from", "health", "brings"), map(_cells, rows)))


def _row(info: PluginInfo, commands: list[str]) -> dict[str, object]:
    return {
        "name": info.name,
        "distribution": info.distribution,
        "version": info.version,
        "health": info.health,
        "detail": info.detail,
        "components": [{"kind": kind, "name": name} for kind, name in info.components],
        "commands": commands,
    }


def _cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    brings = [f"{item['kind']} {item['name']}" for item in row["components"]]
    brings += [f"command {name}" for name in row["commands"]]
    health = f"{row['health']}: {row['detail']}" if row["detail"] else row["health"]
    return row["name"], f"{row['distribution']} {row['version']}", health, ", ".join(brings)
