"""`pixkit bench`."""

from __future__ import annotations

import click

from pixkit.cli.commands.bench_compress import compress
from pixkit.cli.commands.bench_train import scaling, train
from pixkit.cli.group import plugin_option
from pixkit.cli.options import (
    Numbers,
    device_option,
    json_option,
    naming_options,
    overrides_argument,
    quiet_option,
    shape_option,
)
from pixkit.cli.output import emit, emit_json, table
from pixkit.cli.plugins import loaded_plugins
from pixkit.cli.progress import show_progress
from pixkit.cli.recipes import piped
from pixkit.errors import printable
from pixkit.ranks import for_one_process
from pixkit.tasks.bench import bench
from pixkit.tasks.networks import find_examined, name_of
from pixkit.tasks.timing import Row, SamplingTimes


@click.group()
@plugin_option
def command() -> None:
    """Measure how fast a recipe's model works."""


@command.command()
@click.argument("recipe")
@overrides_argument
@click.option(
    "--batch",
    "batches",
    type=Numbers(lambda numbers: min(numbers) >= 1, "batch sizes such as 1,16,64"),
    default="1,16,64,256",
    show_default=True,
    metavar="N,...",
    help="Batch sizes, one measurement each.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Number of turns, of which medians are taken.",
)
@shape_option
@plugin_option
@device_option
@json_option
@quiet_option
def sample(
    *,
    recipe: str,
    overrides: tuple[str, ...],
    batches: tuple[int, ...],
    rounds: int,
    shape: tuple[int, ...] | None,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Time sampling, with untrained weights.

    One forward pass, ancestral sampling (some of its steps, the rest extrapolated) and cached sampling with every
    executor that runs the model take turns in one process; medians are reported. "Per forward" is the time of sampling
    a batch divided by that of one forward pass of it. A first call of sample also traces, plans and packs the model;
    later calls reuse what is kept of that, after checking that it is still valid.
    """
    for_one_process("timing samples")
    loaded_plugins()
    source = find_examined(piped(recipe), overrides)
    with naming_options(), show_progress(quiet) as progress:
        found = bench(source, batches, rounds=rounds, shape=shape, device=device, progress=progress.update)
    if as_json:
        parts = [{"network": name, **times.dump()} for name, times in found.items()]
        emit_json({"recipe": name_of(source), **parts[0], "others": parts[1:]})
    else:
        emit("\n\n".join(_in_words(name, times) for name, times in found.items()))


command.add_command(compress)
command.add_command(train)
command.add_command(scaling)


def _in_words(name: str, times: SamplingTimes) -> str:
    facts = ", ".join(f"{key} {value}" for key, value in times.machine.items())
    preparation = ", ".join(f"{key} {seconds:.2f} s" for key, seconds in times.preparation.items())
    times_of_calls = ("packing", "first call", "later calls")
    headers = ("batch", "sampler", "executor", "seconds", "forward", "per forward", "speed-up", *times_of_calls, "note")
    return (
        f"{printable(name)}: {times.steps} steps; medians of {times.rounds} turns; {printable(facts)}\n"
        f"once: {preparation}\n\n{table(headers, map(_cells, times.rows))}"
    )


def _cells(row: Row) -> tuple[str, ...]:
    def number(value: float | None, digits: str) -> str:
        return "" if value is None else format(value, digits)

    return (
        str(row.batch),
        row.sampler,
        row.executor or "",
        number(row.seconds, ".4g"),
        number(row.forward_seconds, ".4g"),
        number(row.per_forward, ".3g"),
        number(row.speedup, ".3g"),
        number(row.preparation_seconds, ".3g"),
        number(row.first_seconds, ".4g"),
        number(row.later_seconds, ".4g"),
        row.note,
    )
