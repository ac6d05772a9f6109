"""`pixkit compare`."""

from __future__ import annotations

from pathlib import Path

import click

from pixkit.cli.options import json_option, quiet_option
from pixkit.cli.output import emit, emit_json, emit_line, table, warn
from pixkit.cli.runs import opened_run
from pixkit.errors import UsageError
from pixkit.recipe.diff import in_short
from pixkit.runs.comparison import Compared, Comparison, compare
from pixkit.runs.figures import UNITS, score_cell

LINES = 8
"""The number of steps whose scores are shown."""


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN RUN...")
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.png", help="Draw the curves.")
@json_option
@quiet_option
def command(runs: tuple[Path, ...], png: Path | None, as_json: bool, quiet: bool) -> None:
    """Compare runs: recipes, scores and curves.

    Scores are those of the validation images, for the best checkpoint, with averaged weights if there are any; lower is
    better. They are also shown step by step. With --png the curves are drawn: scores as dots, and the training loss as
    a pale line. Runs in progress are read as they are.

    --json gives, for each run, the keys of `pixkit ls runs --json`, its `curves` (`unit`, and pairs of step and score,
    `validation` and `training`) and how far it is `behind` the best; `differs` has the keys in full.
    """
    if len(runs) < 2:
        raise click.UsageError("a comparison takes two runs or more; `pixkit show run RUN` shows one")
    if png is not None:
        from pixkit.figures.targets import require_file  # figures import torch, which nothing else here needs

        if png.suffix != ".png":
            raise click.UsageError(f"--png {png}: name a .png")
        require_file(png)
    found = compare([opened_run(run, quiet or as_json) for run in runs])
    if png is not None:
        _draw(found, png)
    if as_json:
        emit_json({**found.dump(), "png": None if png is None else str(png)})
        return
    emit(_in_words(found))
    if not quiet:
        for remark in found.remarks:
            warn(remark)
    if png is not None:
        emit_line(png)


def _in_words(found: Comparison) -> str:
    marks = _marks(found)
    parts = ["\n".join(f"{mark}  {run.summary['path']}" for mark, run in zip(marks, found.runs, strict=True))]
    keys = list(dict.fromkeys(key for run in found.runs for key in run.differs))
    rows = [[key, *(in_short(run.differs[key]) if key in run.differs else "" for run in found.runs)] for key in keys]
    parts.append(table(("key", *marks), rows) if rows else "The recipes are the same.")
    parts.append(table(("", *marks), _scores(found)))
    curves = _curves(found)
    if curves:
        parts.append(table((f"step, {_name(found.unit)}", *marks), curves))
    return "\n\n".join(parts)


def _marks(found: Comparison) -> list[str]:
    """Short names of runs for tables, which have no room for paths."""
    return [f"#{number}" for number in range(1, len(found.runs) + 1)]


def _scores(found: Comparison) -> list[list[str]]:
    def told(name: str, *cells: str) -> list[list[str]]:
        return [[name, *cells]] if any(cells) else []

    summaries = [run.summary for run in found.runs]
    return [
        *told("state", *(row["state"] for row in summaries)),
        *told("steps", *(f"{row['step']}/{row['steps']}" for row in summaries)),
        *told("parameters", *(f"{row['parameters']:,}" for row in summaries)),
        *told("validation", *(score_cell(row["validation"]) for row in summaries)),
        *told("behind the best", *("" if behind is None else f"{behind:.4f}" for behind in found.behind)),
        *told("nats/image", *map(_nats, found.runs)),
        *told("best step", *(str(row["validation"]["step"]) if row["validation"] else "" for row in summaries)),
    ]


def _nats(run: Compared) -> str:
    score = run.validation
    if score is None or score.nats is None:
        return ""
    return f"{score.nats:.3f}" + ("" if score.stderr is None else f" +- {score.stderr:.3f}")


def _curves(found: Comparison) -> list[list[str]]:
    """Scores at a few steps, those that most runs have."""
    scores = [dict(run.curves.validation) for run in found.runs]
    counts = {step: sum(step in one for one in scores) for one in scores for step in one}
    if not counts or found.unit is None:
        return []
    shared = sorted(step for step, count in counts.items() if count == max(counts.values()))
    if any(one and not one.keys() & set(shared) for one in scores):
        shared = sorted(counts)
    few = min(LINES, len(shared))
    chosen = sorted({shared[-1 - round(number * (len(shared) - 1) / max(few - 1, 1))] for number in range(few)})
    return [[str(step), *(f"{one[step]:.4f}" if step in one else "" for one in scores)] for step in chosen]


def _name(unit: str | None) -> str:
    return UNITS.get(str(unit), str(unit))


def _draw(found: Comparison, png: Path) -> None:
    from pixkit.figures.curves import Curve, save_curves
    from pixkit.figures.targets import saving

    if found.unit is None or not any(run.curves.validation for run in found.runs):
        why = "; ".join(found.remarks) or "no scores yet"
        raise UsageError("there is nothing to draw", where="--png", found=why, hint="leave it out")
    curves = []
    for mark, run in zip(_marks(found), found.runs, strict=True):
        keys = " ".join(f"{key.rpartition('.')[2]}={in_short(value)}" for key, value in run.differs.items())
        parts = [mark, score_cell(run.summary["validation"]), run.summary["path"], keys]
        curves.append(Curve("   ".join(filter(None, parts)), run.curves.validation, run.curves.training))
    with saving(png):
        save_curves(curves, png, across="step", up=f"{_name(found.unit)}, validation (dots) and training (pale)")
