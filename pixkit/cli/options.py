"""Options and argument types that commands share."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import click

from pixkit.components.registry import KINDS

device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a GPU if there is one.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress and no remarks on stderr.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")
weights_option = click.option(
    "--weights",
    type=click.Choice(["ema", "raw"]),
    default="ema",
    show_default=True,
    help="Averaged weights, or those of the last step.",
)
checkpoint_option = click.option(
    "--checkpoint", default="best", show_default=True, metavar="best|last|step-N", help="Which checkpoint to use."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Names the noise."
)
temperature_option = click.option(
    "--temperature", type=click.FloatRange(0, min_open=True), help="Divides logits; 1 is the model's own."
)
batch_size_option = click.option(
    "--batch-size", type=click.IntRange(1), help="Images drawn together; the result does not depend on it."
)
sampler_option = click.option("--sampler", help="A sampler's name, or auto: the fastest exact one.")
overrides_argument = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
run_argument = click.argument("run", type=click.Path(path_type=Path))


class Name(click.ParamType):
    """One of some names, taken in the plural too; the nearest is suggested for any other."""

    name = "kind"

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name in the singular."""
        for name in self.names:
            if value in (name, f"{name}s"):
                return name
        near = difflib.get_close_matches(value, self.names, n=1)
        guess = f" Did you mean '{near[0]}'?" if near else ""
        self.fail(f"no kind '{value}'.{guess} There are: {', '.join(self.names)}.", param, ctx)


KIND = Name((*KINDS, "recipe", "run"))
