"""`pixkit ls`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pixkit.cli.group import plugin_option
from pixkit.cli.options import KIND, json_option
from pixkit.cli.output import emit, emit_json, say, table
from pixkit.cli.plugins import loaded_plugins
from pixkit.distribution import OWN
from pixkit.errors import PixkitError, message, printable

if TYPE_CHECKING:
    from pixkit.runs.run import Run

Row = dict[str, object]


@click.command()
@click.argument("kind", required=False, type=KIND)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@plugin_option
@json_option
@click.option("--markdown", is_flag=True, help="Print a Markdown table, as README.md has it.")
def command(kind: str | None, folder: Path | None, as_json: bool, markdown: bool) -> None:
    """List components, recipes or runs.

    KIND is ordering, mask, backbone, head, sampler, model, data, recipe or run; the plural does as
    well. Without it, all components and recipes. `ls runs` takes the FOLDER to look in (default: runs).
    """
    if folder is not None and kind != "run":
        raise click.UsageError("only `ls runs` takes a folder")
    if kind == "run":
        rows, columns = run_rows(folder or Path("runs")), ["name", "model", "data", "step", "score", "path"]
    else:
        rows, columns = [], ["kind", "name", "from", "summary"]
        if kind != "recipe":
            rows += component_rows(kind)
        if kind in ("recipe", None):
            rows += recipe_rows()
    if as_json:
        emit_json(rows)
    elif markdown:
        emit(markdown_table(rows, columns))
    elif rows:
        emit(table(columns, [[str(row[column]) for column in columns] for row in rows]))
    else:
        say(f"no {kind}s here")


def markdown_table(rows: list[Row], columns: list[str]) -> str:
    """A Markdown table with a column for each key."""
    lines = [columns, ["---"] * len(columns), *([printable(str(row[column])) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def component_rows(kind: str | None) -> list[Row]:
    """The components of one kind, or of all."""
    return [
        {
            "kind": entry.kind,
            "name": entry.name,
            "from": f"{entry.distribution} {entry.version}",
            "summary": entry.summary,
        }
        for entry in loaded_plugins().registry
        if kind in (None, entry.kind)
    ]


def recipe_rows() -> list[Row]:
    """The packaged recipes."""
    from pixkit.recipe.packaged import packaged_recipes, summary_of

    return [
        {"kind": "recipe", "name": name, "from": OWN, "summary": summary_of(path)}
        for name, path in sorted(packaged_recipes().items())
    ]


def run_rows(folder: Path) -> list[Row]:
    """The runs in a folder, the folder itself included if it is one."""
    from pixkit.runs.summary import find_runs

    return [_run_row(run) for run in find_runs(folder)]


def _run_row(run: Run) -> Row:
    """What a run is; of one that cannot be read, why."""
    from pixkit.cli.scores import headline
    from pixkit.runs.summary import summary

    try:
        row = summary(run)
    except PixkitError as error:
        reason = message(error)
        row = {"name": run.path.name, "path": str(run.path), "model": "?", "data": "?", "step": "?", "scores": []}
        return {**row, "score": reason, "error": reason}
    return {**row, "score": headline(row["scores"])}
