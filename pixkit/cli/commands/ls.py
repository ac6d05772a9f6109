"""`pixkit ls`."""

from __future__ import annotations

from pathlib import Path

import click

from pixkit.catalogue.recipes import packaged_recipes, summary_of
from pixkit.catalogue.zoo import PREFIX, zoo_runs
from pixkit.cli.group import plugin_option
from pixkit.cli.look import catalogue, importing
from pixkit.cli.options import KIND, json_option
from pixkit.cli.output import emit, emit_json, say, table, table_with_details, warn
from pixkit.distribution import OWN
from pixkit.errors import printable
from pixkit.files import is_there, looking_at

Row = dict[str, object]


@click.command()
@click.argument("kind", required=False, type=KIND)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@plugin_option
@json_option
@click.option("--sort", metavar="KEY", help="Sort runs by folder, state, step, validation, date, or one of their keys.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table, as in README.md.")
def command(kind: str | None, folder: Path | None, as_json: bool, sort: str | None, markdown: bool) -> None:
    """List components, recipes, runs or the zoo.

    KIND is a kind of component (ordering, backbone, head, activation, ...), recipe, run or zoo, or its plural. Without
    it, all components and recipes are listed.

    `ls zoo` lists the trained runs that come with pixkit and with plugins: every command takes zoo:NAME for a run.

    `ls runs` takes the FOLDER to look in (default: runs), including its subfolders. For each run it shows whether it is
    running, stopped or done, its steps, the score of its best checkpoint on the validation images, when it was last
    written to, and the keys in which recipes differ. --sort validation puts the best first, --sort date the newest. The
    keys of --json are documented in recipes/README.md.
    """
    if (folder is not None or sort is not None) and kind != "run":
        raise click.UsageError("only `ls runs` takes a folder, or --sort")
    if kind == "run":
        with importing():
            from pixkit.cli.runs import run_columns

        rows = run_rows(folder, sort or "folder")
        columns, shown = run_columns(rows)
    elif kind == "zoo":
        columns = ["run", "from", "score", "licence", "summary"]
        rows = shown = zoo_rows()
    else:
        rows, columns = [], ["kind", "name", "from", "summary"]
        if kind != "recipe":
            rows += component_rows(kind)
        if kind in ("recipe", None):
            rows += recipe_rows()
        shown = rows
    if as_json:
        emit_json(rows)
    elif markdown:
        emit(markdown_table(shown, columns))
    elif rows:
        layout = table_with_details if kind in ("run", "zoo") else table
        emit(layout(columns, [[str(row[column]) for column in columns] for row in shown]))
    else:
        say("no runs here; pixkit build RECIPE makes one" if kind == "run" else f"no {kind}s here")
    if kind == "zoo":
        for fault in zoo_runs()[1]:
            warn(fault)


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
        for entry in catalogue().components
        if kind in (None, entry.kind)
    ]


def recipe_rows() -> list[Row]:
    """The packaged recipes."""
    return [
        {"kind": "recipe", "name": name, "from": OWN, "summary": summary_of(path)}
        for name, path in sorted(packaged_recipes().items())
    ]


def zoo_rows() -> list[Row]:
    """The zoo: each run's card; only its name if the card is missing or damaged."""
    with importing():
        from pixkit.runs.card import read_card, score_of
        from pixkit.runs.run import Run

    rows: list[Row] = []
    runs, _ = zoo_runs()
    names = [run.name for run in runs]
    for run in runs:
        card = read_card(Run(run.path))
        told = [] if card is None else [score_of(row) for row in card.scores if row.split == "test"]
        rows.append(
            {
                "run": f"{PREFIX}{run.name}" if names.count(run.name) == 1 else run.qualified,
                "from": f"{run.distribution} {run.version}",
                "score": "; ".join(told),
                "licence": card.licence if card else "",
                "summary": card.summary if card else "",
                "path": str(run.path),
                "card": card.model_dump() if card else None,
            }
        )
    return rows


def run_rows(folder: Path | None, sort: str) -> list[Row]:
    """The runs in a folder and its subfolders; the folder itself if it is one.

    By default those in the folder runs, which need not exist.
    """
    from pixkit.cli.runs import in_order
    from pixkit.runs import find_runs, summaries
    from pixkit.runs.finding import RUNS

    with looking_at(RUNS):
        if folder is None and not is_there(RUNS):
            return []
    return in_order(summaries(find_runs(folder or RUNS)), sort)
