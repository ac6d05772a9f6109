"""`pixkit bench train` and `pixkit bench scaling`."""

from __future__ import annotations

from typing import Any

import click

from pixkit.cli.group import plugin_option
from pixkit.cli.options import (
    device_option,
    json_option,
    naming_options,
    overrides_argument,
    quiet_option,
    shape_option,
)
from pixkit.cli.output import emit, emit_json
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.progress import show_progress
from pixkit.cli.recipes import piped
from pixkit.cli.timings import scaling_in_words, training_in_words
from pixkit.ranks import launched
from pixkit.recipe import load_recipe
from pixkit.runs.load import revised
from pixkit.runs.record import pick_device
from pixkit.tasks.networks import spec_of
from pixkit.training.scaling import AXES, time_scaling
from pixkit.training.throughput import OPTIONS, time_training

rounds_option = click.option(
    "--rounds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Number of turns, of which medians are taken.",
)


class _Over(click.ParamType):
    """An axis, optionally with values: width, or width=16,32,64."""

    name = "axis"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, list[int]]:
        """The axis and its values."""
        if isinstance(value, tuple):
            return value
        axis, given, values = value.partition("=")
        parts = [part.strip() for part in values.split(",")] if given else []
        if not axis or ("." not in axis and axis not in AXES) or not all(p.isascii() and p.isdigit() for p in parts):
            self.fail(f"'{value}' is not an axis ({', '.join(AXES)}, or a recipe's key) or AXIS=N,N,N", param, ctx)
        return axis, [int(part) for part in parts]


@click.command()
@click.argument("recipe")
@overrides_argument
@click.option(
    "--option",
    "options",
    type=click.Choice(OPTIONS),
    multiple=True,
    help="An option to switch, instead of all; may be repeated.",
)
@rounds_option
@shape_option
@plugin_option
@device_option
@json_option
@quiet_option
def train(
    *,
    recipe: str,
    overrides: tuple[str, ...],
    options: tuple[str, ...],
    rounds: int,
    shape: tuple[int, ...] | None,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Time training steps, on random images, with the recipe's options and with each of them switched.

    All take turns in one process, and medians are reported; "speed" is a row's images per second relative to the first
    row's in the same turn. Options that the recipe leaves to measurement (auto) are plain in the first row. "Of
    products" is a step's rate of products as a share of the rate at which the device multiplies large matrices in the
    same precision, also measured in each turn. Memory is what training takes at its peak: measured on a GPU, estimated
    on a CPU.

    Under torchrun all ranks make each step together.
    """
    loaded_plugins()
    found = revised(given, overrides) if not isinstance(given := piped(recipe), str) else load_recipe(given, overrides)
    with launched() as ranks, naming_options(), show_progress(quiet or not ranks.first) as progress:
        spec, classes = spec_of(found, shape, progress.update)
        may: Any = {"options": options or OPTIONS, "rounds": rounds, "ranks": ranks, "progress": progress.update}
        times = time_training(found.recipe, spec, classes, pick_device(device, ranks), **may)
        first = ranks.first
    if not first:
        return
    if as_json:
        emit_json({"recipe": found.recipe.name, "image": spec.dump(), **times.dump()})
    else:
        emit(training_in_words(found.recipe.name, times))


@click.command()
@click.argument("recipe")
@overrides_argument
@click.option(
    "--over",
    type=_Over(),
    multiple=True,
    metavar="AXIS[=N,...]",
    help="What to vary, and its values: width, depth, side, batch, ranks, or a key of the recipe; may be "
    "repeated. By default the first four, at a half, one and two times the recipe's value.",
)
@rounds_option
@shape_option
@plugin_option
@device_option
@json_option
@quiet_option
def scaling(
    *,
    recipe: str,
    overrides: tuple[str, ...],
    over: tuple[tuple[str, list[int]], ...],
    rounds: int,
    shape: tuple[int, ...] | None,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Time training steps at several widths, depths, sides and batch sizes, and fit how they grow.

    Values of an axis take turns in one process, all else as in the recipe. An exponent e means that a figure grows as
    the axis to the power of e: least squares of its logarithm, with the slope's standard error.

    Under torchrun, --over ranks=1,2,4 has only the first 1, 2 and 4 ranks make each step; all else is measured with all
    ranks.
    """
    loaded_plugins()
    found = revised(given, overrides) if not isinstance(given := piped(recipe), str) else load_recipe(given, overrides)
    with launched() as ranks, naming_options(), show_progress(quiet or not ranks.first) as progress:
        spec, classes = spec_of(found, shape, progress.update)
        axes: dict[str, list[int]] = dict(over) or {axis: [] for axis in AXES if axis != "ranks" or not ranks.alone}
        may: Any = {"rounds": rounds, "ranks": ranks, "progress": progress.update}
        grown = time_scaling(found, spec, classes, pick_device(device, ranks), axes, **may)
        first = ranks.first
    if not first:
        return
    if as_json:
        emit_json({"recipe": found.recipe.name, "image": spec.dump(), **grown.dump()})
    else:
        emit(scaling_in_words(found.recipe.name, grown))
