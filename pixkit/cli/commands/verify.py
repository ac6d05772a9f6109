"""`pixkit verify`."""

from __future__ import annotations

from pathlib import Path

import click
from torch import Tensor

from pixkit.cli.group import plugin_option
from pixkit.cli.options import Numbers, json_option, naming_options, overrides_argument, quiet_option, shape_option
from pixkit.cli.output import emit, emit_json, fail, pairs
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.progress import show_progress
from pixkit.cli.recipes import piped
from pixkit.errors import UsageError, printable
from pixkit.figures.fields import save_order, save_sight
from pixkit.figures.targets import require_file, saving
from pixkit.ranks import for_one_process
from pixkit.readiness.report import CHARACTERS, WORDS, Report, Sight, rows_of
from pixkit.tasks.foreign import EXPECTED, is_function, prove_function
from pixkit.tasks.networks import find_examined, name_of
from pixkit.tasks.verify import verify

PNG = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("recipe")
@overrides_argument
@click.option(
    "--pixel",
    type=Numbers(lambda numbers: len(numbers) == 3, "colour,row,column"),
    metavar="C,H,W",
    help="Prediction to examine: colour, row, column; by default the last colour in the middle of the image.",
)
@click.option("--field", type=PNG, metavar="FILE.png", help="Draw what the pixel sees, may see and may not see.")
@click.option("--order", type=PNG, metavar="FILE.png", help="Draw the steps of the ordering.")
@plugin_option
@shape_option
@json_option
@quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    recipe: str,
    overrides: tuple[str, ...],
    pixel: tuple[int, int, int] | None,
    field: Path | None,
    order: Path | None,
    shape: tuple[int, ...] | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Prove a model, or any module, causal, or show its leak.

    RECIPE is a path, a name from `pixkit ls recipes`, a run's folder, or - for a recipe on standard input. The proof
    follows every operation of the network, site by site and colour by colour, and needs no training; in addition,
    single sub-pixels are changed in float64 and the predictions compared. The exit code is 0 only if causality is
    proved.

    FILE.py:FUNCTION, or package.module:FUNCTION, in place of RECIPE is a function of yours that returns (module, x,
    steps), or a dictionary of the arguments of pixkit.readiness.prove: any module in plain torch, an input, and when
    each of its elements becomes known.

    The blind spot of a pixel is what is drawn before it but never reaches its prediction.
    """
    for_one_process("a proof")
    if is_function(recipe) and not Path(recipe).exists():
        options = {"--pixel": pixel, "--field": field, "--order": order, "--shape": shape, "KEY=VALUE": overrides}
        ctx.exit(_of_function(recipe, [name for name, value in options.items() if value], as_json=as_json))
    if recipe.endswith(".py"):
        expected = f"{recipe}:FUNCTION, a function in it that returns {EXPECTED}"
        raise UsageError("Python code is not a recipe", where=recipe, expected=expected)
    for out in filter(None, (field, order)):
        require_file(out)
    loaded_plugins()
    source = find_examined(piped(recipe), overrides)
    with naming_options(), show_progress(quiet) as progress:
        reports = verify(source, pixel=pixel, shape=shape, loading=progress.update)
    for name, report in reports.items():
        suffix = f"-{name}" if len(reports) > 1 else ""
        if field is not None and report.sight is not None:
            with saving(field):
                save_sight(report.sight, field.with_stem(field.stem + suffix))
        if order is not None:
            with saving(order):
                save_order(report.network.ordering.steps, order.with_stem(order.stem + suffix))
    if as_json:
        rows = [{"network": name, **report.dump()} for name, report in reports.items()]
        emit_json({"recipe": name_of(source), "networks": rows})
    else:
        emit("\n\n".join(_in_words(name, report) for name, report in reports.items()))
    for report in reports.values():
        if report.verdict != "proved":
            fail(printable(_verdict(report)))
    ctx.exit(max(int(report.verdict != "proved") for report in reports.values()))


def _of_function(target: str, options: list[str], *, as_json: bool) -> int:
    """Print the proof of a function's module, and return the exit code."""
    if options:
        raise UsageError("this goes only with recipes", where=options[0], found=target)
    proof = prove_function(target)
    if as_json:
        emit_json({"function": target, **proof.dump()})
    else:
        emit(str(proof))
    if proof.verdict != "proved":
        fail(printable(f"{target}: {proof.verdict}"))
    return int(proof.verdict != "proved")


def _in_words(name: str, report: Report) -> str:
    ordering, spec = report.network.ordering, report.network.spec
    traced = "not traced" if report.trace is None else f"{len(report.trace.operations)} operations"
    if report.trace is None and report.proof is not None:
        traced = f"{report.proof.operations} operations of torch"
    lines = {
        "network": f"{name}: {type(report.network.backbone).__name__}, {spec}, {traced}",
        "ordering": f"{type(ordering).__name__}, {ordering.colours} colours, {ordering.count} steps",
        "causal": _verdict(report),
        "probe": f"{report.probes} sub-pixels changed in float64: {report.seen_leak or 'no leak seen'}",
    }
    if report.sight is None:
        return pairs(lines) if report.problem is None else f"{pairs(lines)}\n\n{report.problem}"
    place = ", ".join(map(str, report.pixel))
    seen, blind, early = (report.count(sight) for sight in (Sight.SEEN, Sight.BLIND, Sight.LEAK))
    lines["pixel"] = f"colour, row, column {place}, drawn at step {report.step}"
    lines["sees"] = f"{seen} of the {seen + blind} sub-pixels drawn before it; blind spot: {blind}"
    if early:
        lines["sees too early"] = str(early)
    problem = "" if report.problem is None else f"\n\n{report.problem}"
    return f"{pairs(lines)}{problem}\n\n{_map(report.sight)}"


def _verdict(report: Report) -> str:
    if report.verdict == "proved":
        return "proved"
    blamed = "" if report.leak is None else f", and {report.leak.blamed.label} is to blame"
    if report.leak is None and report.proof is not None and report.proof.blame is not None:
        blamed = f", and {report.proof.blame.file}:{report.proof.blame.line} is to blame"
    if report.verdict == "underflow" and report.proof is not None:
        found = f"the largest influence found is {report.proof.influence:.3g}, with large inputs and weights"
        return f"only by underflow{blamed}: {found}"
    if report.verdict == "leaks":
        return f"no: it leaks{blamed}"
    return f"not proved{blamed}, though no leak was seen; it can only be sampled by whole passes"


def _map(sight: Tensor) -> str:
    """The colours side by side, row by row, with a legend of the characters."""
    panels = rows_of(sight)
    rows = ["  ".join(colour[row] for colour in panels) for row in range(len(panels[0]))]
    kinds = [kind for kind in WORDS if bool((sight == kind).any())]
    return "\n".join([*rows, "", "  ".join(f"{CHARACTERS[kind]} {WORDS[kind]}" for kind in kinds)])
