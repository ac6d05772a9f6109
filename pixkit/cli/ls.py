"""`pixkit ls`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from pixkit.cli.door import open_door
from pixkit.cli.options import KIND, json_option
from pixkit.cli.output import emit, emit_json, table

Row = dict[str, object]


@click.command()
@click.argument("kind", required=False, type=KIND)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@json_option
def command(kind: str | None, folder: Path | None, as_json: bool) -> None:
    """List components, recipes or runs.

    KIND is ordering, mask, backbone, head, sampler, model, data, recipe or run; the plural does as
    well. Without it, all components and recipes. `ls runs` takes the FOLDER to look in (default: runs).
    """
    if folder is not None and kind != "run":
        raise click.UsageError("only `ls runs` takes a folder")
    if kind == "run":
        rows = run_rows(folder or Path("runs"))
        columns = ["name", "model", "data", "step", "scores"]
    else:
        rows = ([] if kind == "recipe" else component_rows(kind)) + (recipe_rows() if kind in ("recipe", None) else [])
        columns = ["kind", "name", "from", "summary"]
    if as_json:
        emit_json(rows)
    elif rows:
        emit(table(columns, [[_cell(row[column]) for column in columns] for row in rows]))
    else:
        click.echo(f"no {kind}s here", err=True)


def component_rows(kind: str | None) -> list[Row]:
    """The components of one kind, or of all."""
    return [
        {
            "kind": entry.kind,
            "name": entry.name,
            "from": f"{entry.distribution} {entry.version}",
            "summary": entry.summary,
        }
        for entry in open_door().registry
        if kind in (None, entry.kind)
    ]


def recipe_rows() -> list[Row]:
    """The packaged recipes."""
    from pixkit.recipe import packaged_recipes

    return [
        {"kind": "recipe", "name": name, "from": "pixkit", "summary": first_comment(path.read_text(encoding="utf-8"))}
        for name, path in sorted(packaged_recipes().items())
    ]


def first_comment(text: str) -> str:
    """The comment line at the head of a recipe."""
    line = text.split("\n", 1)[0]
    return line.lstrip("# ").rstrip() if line.startswith("#") else ""


def run_rows(folder: Path) -> list[Row]:
    """The runs in a folder, the folder itself included if it is one; those that cannot be read say why."""
    from pixkit.cli.runs import summary
    from pixkit.errors import PixkitError, UsageError
    from pixkit.run import Run

    if not folder.is_dir():
        raise UsageError("there is no such folder", where=str(folder))
    rows: list[Row] = []
    for path in [folder, *sorted(folder.iterdir())]:
        run = Run(path)
        if not path.is_dir() or not run.started:
            continue
        try:
            rows.append(summary(run))
        except PixkitError as error:
            rows.append({"name": path.name, "path": str(path), "error": str(error)})
    return rows


def _cell(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return str(value)
