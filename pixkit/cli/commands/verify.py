"""`pixkit verify`."""

from __future__ import annotations

from pathlib import Path

import click
import torch

from pixkit.cli.door import open_door
from pixkit.cli.options import json_option, overrides_argument, quiet_option
from pixkit.cli.output import emit, emit_json, fail, pairs
from pixkit.cli.progress import talking
from pixkit.cli.untrained import Numbers, shape_option, subject
from pixkit.figures.fields import Colour, save_field, save_order
from pixkit.readiness.report import CHARACTERS, WORDS, Report, Sight, examine, rows_of
from pixkit.recipe import load_recipe

COLOURS: dict[Sight, Colour] = {
    Sight.SEEN: (52, 120, 190),
    Sight.BLIND: (240, 160, 40),
    Sight.LATER: (225, 225, 225),
    Sight.ITSELF: (20, 20, 20),
    Sight.LEAK: (200, 30, 40),
}
PNG = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("recipe")
@overrides_argument
@click.option(
    "--pixel",
    type=Numbers(lambda numbers: len(numbers) == 3, "colour,row,column"),
    metavar="C,H,W",
    help="Whose receptive field: colour, row, column; by default the last colour in the middle of the image.",
)
@click.option("--field", type=PNG, metavar="FILE.png", help="Draw what the pixel sees, may see and may not see.")
@click.option("--order", type=PNG, metavar="FILE.png", help="Draw the steps of the ordering.")
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
    """Prove a recipe's model causal, or show its leak.

    The proof follows every operation of the network, site by site and colour by colour, and needs no
    training; besides, single sub-pixels are changed in float64 and the predictions compared. The exit code is
    0 only if causality is proved.

    The blind spot of a pixel is what is drawn before it and yet never reaches its prediction.
    """
    open_door()
    loaded = load_recipe(recipe, overrides)
    with talking(quiet) as talk:
        _, networks = subject(loaded, shape, torch.device("cpu"), talk)
        reports = {name: examine(network, pixel) for name, network in networks.items()}
    for name, report in reports.items():
        suffix = f"-{name}" if len(reports) > 1 else ""
        if field is not None and report.sight is not None:
            legend = {int(sight): (WORDS[sight], colour) for sight, colour in COLOURS.items()}
            save_field(report.sight, legend, field.with_stem(field.stem + suffix))
        if order is not None:
            save_order(report.network.ordering.steps, order.with_stem(order.stem + suffix))
    if as_json:
        rows = [{"network": name, **report.dump()} for name, report in reports.items()]
        emit_json({"recipe": loaded.recipe.name, "networks": rows})
    else:
        emit("\n\n".join(_in_words(name, report) for name, report in reports.items()))
    for report in reports.values():
        if report.verdict != "proved":
            fail(_verdict(report))
    ctx.exit(max(int(report.verdict != "proved") for report in reports.values()))


def _in_words(name: str, report: Report) -> str:
    ordering, spec = report.network.ordering, report.network.spec
    traced = "not traced" if report.trace is None else f"{len(report.trace.operations)} operations"
    lines = {
        "network": f"{name}: {type(report.network.backbone).__name__}, {spec}, {traced}",
        "ordering": f"{type(ordering).__name__}, {ordering.colours} colours, {ordering.count} steps",
        "causal": _verdict(report),
        "probe": f"{report.probes} sub-pixels changed in float64: {report.seen_leak or 'no leak seen'}",
    }
    if report.sight is None:
        return f"{pairs(lines)}\n\n{report.problem}"
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
    if report.verdict == "leaks":
        return f"no: it leaks{blamed}"
    return f"not proved{blamed}, though no leak was seen; it can only be sampled by whole passes"


def _map(sight: torch.Tensor) -> str:
    """The colours side by side, row by row, and what the characters mean."""
    panels = rows_of(sight)
    rows = ["  ".join(colour[row] for colour in panels) for row in range(len(panels[0]))]
    kinds = [kind for kind in WORDS if bool((sight == kind).any())]
    return "\n".join([*rows, "", "  ".join(f"{CHARACTERS[kind]} {WORDS[kind]}" for kind in kinds)])
