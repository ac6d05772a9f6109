"""`pixkit build`."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import click

from pixkit.cli.building import BuildReporter
from pixkit.cli.group import plugin_option
from pixkit.cli.options import device_option, json_option, overrides_argument, quiet_option
from pixkit.cli.output import duration, emit, emit_json, pairs, say, shown_path
from pixkit.cli.plugins import loaded_plugins, plugin_options
from pixkit.cli.progress import show_progress
from pixkit.cli.recipes import piped
from pixkit.cli.scores import headline, score_table
from pixkit.errors import printable
from pixkit.memory import in_words
from pixkit.numerals import significant
from pixkit.ranks import for_one_process, launched
from pixkit.recipe import LoadedRecipe
from pixkit.runs.load import recipe_to_build
from pixkit.training import build as builds


class _Build(click.Command):
    """click supports options with and without a value, but not a value that may be left out before other arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["--resume-auto" if one == "--resume=auto" else one for one in args])


@click.command(cls=_Build)
@click.argument("recipe")
@overrides_argument
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The run's folder; runs/NAME by default.")
@click.option(
    "--resume",
    is_flag=True,
    help="Continue a run; RECIPE may be the run's folder. With --resume=auto, start it if there is none.",
)
@click.option("--resume-auto", is_flag=True, hidden=True, help="The meaning of --resume=auto.")
@click.option("--extend", type=click.IntRange(min=1), metavar="N", help="Give a run that has ended N more steps.")
@click.option("--overwrite", is_flag=True, help="Replace the run that is there.")
@click.option("--break-lock", is_flag=True, help="Take the run over from a build that died while holding it.")
@click.option("--dry-run", is_flag=True, help="Show what would be built, how large and how long; write nothing.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="The same as seed=N.")
@plugin_option
@device_option
@json_option
@quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    recipe: str,
    overrides: tuple[str, ...],
    out: Path | None,
    resume: bool,
    resume_auto: bool,
    extend: int | None,
    overwrite: bool,
    break_lock: bool,
    dry_run: bool,
    seed: int | None,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a recipe's model into a run folder.

    RECIPE is a path, a name from `pixkit ls recipes`, or - for standard input; KEY=VALUE changes it (train.steps=500,
    model.backbone.width=32). Relative paths in overrides start from the working directory.

    Ctrl-C finishes the step, saves and prints how to continue; a second one stops at once.
    """
    resume = resume or extend is not None or resume_auto
    if resume and overwrite:
        option = "--resume" if extend is None else "--extend"
        raise click.UsageError(f"{option} continues a run, --overwrite replaces it: give one of them")
    if dry_run and extend is not None:
        raise click.UsageError("--dry-run shows a build from its start: leave out --extend")
    loaded_plugins()
    overrides += () if seed is None else (f"seed={seed}",)
    if dry_run or recipe == "-":
        for_one_process("--dry-run" if dry_run else "a recipe from standard input")
    with launched() as ranks:
        loaded, resumed = recipe_to_build(piped(recipe), overrides, resume=resume)
        if dry_run:
            with show_progress(quiet) as progress:
                found = builds.dry_run(loaded, device, BuildReporter(progress))
            _report_dry(found, as_json)
            return
        may: Any = {"resume": "auto" if resume_auto else resume, "overwrite": overwrite, "break_lock": break_lock}
        with show_progress(quiet or not ranks.first) as progress:
            may |= {"device": device, "reporter": BuildReporter(progress), "extend": extend, "ranks": ranks}
            result = builds.build(loaded, out or resumed, **may)
        if ranks.first:
            _report(result, loaded, as_json)
    if result.interrupted:
        ctx.exit(128 + result.interrupted)


def _report(result: builds.BuildResult, loaded: LoadedRecipe, as_json: bool) -> None:
    """The final table and the next commands; for an interrupted build, how to continue."""
    run, files = shown_path(result.run.path), plugin_options()
    rows = [scores.dump() for scores in result.scores]
    resume = f"pixkit build {shlex.quote(run)} --resume{files}" if result.run.started else None
    following = resume if result.interrupted else f"pixkit sample {shlex.quote(run)} -n 16 -o samples.png{files}"
    if as_json:
        emit_json(
            {
                "name": loaded.recipe.name,
                "run": run,
                "interrupted": result.interrupted,
                "scores": rows,
                "samples": None if result.grid_path is None else shown_path(result.grid_path),
                "next": following,
            }
        )
    elif result.interrupted:
        say(f"stopped and saved; to continue: {following}" if following else "stopped before training")
    else:
        emit(f"{printable(headline(rows))}\n\n{score_table(rows)}\n")
        samples = "none" if result.grid_path is None else shown_path(result.grid_path)
        emit(pairs({"samples": samples, "next": following or ""}))


def _report_dry(found: builds.DryRun, as_json: bool) -> None:
    if as_json:
        emit_json({**dataclasses.asdict(found), "spec": found.spec.dump()})
        return
    emit(
        pairs(
            {
                "recipe": found.name,
                "model": f"{found.model}, {found.memory.parameters:,} parameters",
                "images": f"{found.spec}; {found.data}; {found.values}",
                "splits": ", ".join(f"{count} {split}" for split, count in found.sizes.items()),
                "device": found.device,
                "memory": f"about {in_words(found.memory.total)}; {found.memory.room}",
                "arithmetic": found.arithmetic,
                "first step": ", ".join(f"{name} {significant(value, 5)}" for name, value in found.losses.items()),
                "time": f"{significant(found.seconds_per_step, 3)} s a step, "
                f"{duration(found.seconds)} in all, without scoring",
            }
        )
    )
