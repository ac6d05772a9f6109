"""`pixkit sweep`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from pixkit.cli.group import plugin_option
from pixkit.cli.options import device_option, json_option, quiet_option
from pixkit.cli.output import emit, emit_json, say, shown_path, warn
from pixkit.cli.plugins import loaded_plugins, plugin_options
from pixkit.cli.progress import show_progress
from pixkit.cli.recipes import DASH
from pixkit.cli.sweeps import SweepWatcher, closing, member_of, sweep_table
from pixkit.components.plugins import plugins
from pixkit.ranks import for_one_process
from pixkit.training.crew import Crew, Work, threads_of
from pixkit.training.sweep import TAKEN, Sweep, ended_as, plan_sweep


@click.command()
@click.argument("recipe")
@click.argument("keys", nargs=-1, required=True, metavar="KEY=A,B... [KEY=0..2]...")
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), help="The folder of the runs.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Number of concurrent builds.")
@click.option("--dry-run", is_flag=True, help="Show which runs there would be; write nothing.")
@plugin_option
@device_option
@json_option
@quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    recipe: str,
    keys: tuple[str, ...],
    out: Path | None,
    jobs: int,
    dry_run: bool,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Build a recipe with every combination of some keys' values.

    KEY=A,B takes these values, KEY=0..2 the integers from 0 to 2; KEY=VALUE holds for all runs. They go to
    runs/NAME-sweep/KEY=VALUE,KEY=VALUE, or below -o. Finished runs are kept: repeating a sweep continues it, and
    retries failed builds. --jobs N shares the processor's cores among N builds.

    At the end there is a table, sorted by the score of the validation images. Ctrl-C lets the builds finish their step
    and save; a second one stops them at once. The exit code is 1 if a build failed.

    --json gives the `folder`, `jobs` (concurrent builds), `threads` (of each), `remarks` (why scores may not be
    comparable), `interrupted` (the signal's number, or null), `next` (the command to continue, or null) and the `runs`:
    `name`, `path`, `values`, `overrides`, `state` (new, running, stopped, done, failed or damaged), `error`, `step`,
    `steps`, `validation` (as in `pixkit ls runs --json`) and `seconds`.
    """
    if recipe == DASH:
        raise click.UsageError("a sweep reads its recipe again for each run: name a file instead of -")
    for_one_process("a sweep")
    loaded_plugins()
    sweep = plan_sweep(recipe, keys, out)
    at_once = min(jobs, len(sweep.members))
    crew = Crew(at_once, threads_of(at_once), wanted=lambda one: member_of(sweep, one).state not in TAKEN)
    work = sweep.work(device, plugins().files)
    signal = None if dry_run or not work else _build(sweep, crew, work, device, quiet)
    by_name = {one.name: one for one in work}
    rows = [ended_as(member, by_name.get(member.setting.name)) for member in sweep.members]
    left = [row for row in rows if row["state"] != "done"]
    following = _again(recipe, keys, out, jobs, device) if left else None
    remarks = sweep.score_remarks(rows)
    if as_json:
        about = {"folder": str(sweep.folder), "jobs": at_once, "threads": crew.threads, "remarks": remarks}
        emit_json({**about, "interrupted": signal, "next": following, "runs": rows})
    else:
        emit(sweep_table(rows, by_score=not dry_run))
        for remark in () if quiet else remarks:
            warn(remark)
        say(f"stopped; to continue: {following}" if signal else closing(rows, at_once, crew.threads))
    if signal:
        ctx.exit(128 + signal)
    ctx.exit(int(any(row["state"] not in TAKEN for row in rows) and not dry_run))


def _build(sweep: Sweep, crew: Crew, work: Sequence[Work], device: str, quiet: bool) -> int | None:
    """Run the builds; return the number of the signal that ended them, if one did."""
    sweep.prepare(device)
    with show_progress(quiet) as progress:
        for remark in sweep.remarks():
            progress.say(remark)
        crew.watcher = SweepWatcher(progress, sweep, len(sweep.members) - len(work))
        return crew.run(work)


def _again(recipe: str, keys: Sequence[str], out: Path | None, jobs: int, device: str) -> str:
    """The command to continue the sweep."""
    options = [*(["-o", shown_path(out)] if out else []), *(["--jobs", str(jobs)] if jobs > 1 else [])]
    options += ["--device", device] if device != "auto" else []
    return shlex.join(["pixkit", "sweep", recipe, *keys, *options]) + plugin_options()
