"""Options and argument types shared by commands."""

from __future__ import annotations

import difflib
import functools
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from pixkit.catalogue.kinds import KINDS
from pixkit.errors import PixkitError
from pixkit.files import is_file

device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a GPU if there is one.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress or remarks on stderr.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print only JSON on stdout.")
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
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of the noise."
)
temperature_option = click.option("--temperature", type=float, help="Divides logits; 1 is the model itself.")
batch_size_option = click.option(
    "--batch-size", type=click.IntRange(1), help="Images drawn together; the result does not depend on it."
)
sampler_option = click.option("--sampler", help="A sampler's name, or auto: the fastest exact one.")
bfloat16_option = click.option(
    "--bfloat16",
    is_flag=True,
    help="Round the weights of linear layers and convolutions to bfloat16, and show how many nats that changes: faster "
    "for one or two images of a wide model on a CPU.",
)
against_options = (
    click.option("--complexity", is_flag=True, help="Also show -log p minus the image's length under a codec."),
    click.option("--typicality", is_flag=True, help="Show how far -log p is from the mean of the validation images."),
    click.option("--background", type=click.Path(path_type=Path), metavar="RUN", help="Show -log p minus that of a run "
                 "of the background of images: of a recipe with model.mutation."),
    click.option("--local", type=click.Path(path_type=Path), metavar="RUN", help="Show -log p minus that of a run that "
                 "sees few pixels around each."),
)  # fmt: skip
"""References with which scores are compared to reveal anomalies."""
overrides_argument = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
images_argument = click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
labels_option = click.option(
    "--labels", metavar="FILE|CLASS", help="The images' classes, for a model with labels: a .npy or .npz, or one class."
)
run_argument = click.argument("run", type=click.Path(path_type=Path))


def with_options(options: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    """A decorator that adds several options to a command, in order."""
    return lambda command: functools.reduce(lambda given, option: option(given), reversed(options), command)


class Name(click.ParamType):
    """One of some names, or its plural; the nearest is suggested for any other."""

    name = "kind"

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name in the singular."""
        for name in self.names:
            if value in (name, f"{name}s"):
                return name
        near = difflib.get_close_matches(value, self.names, n=1)
        guess = _completed(value, ctx) or (f" Did you mean '{near[0]}'?" if near else "")
        self.fail(f"no kind '{value}'.{guess} There are: {', '.join(self.names)}.", param, ctx)


def _completed(name: str, ctx: click.Context | None) -> str:
    """The full command, if a run, a recipe or a component was named without its kind."""
    if ctx is None or ctx.info_name != "show":
        return ""
    from pixkit.catalogue.recipes import packaged_recipes
    from pixkit.cli.look import catalogue
    from pixkit.runs.finding import folder_of_run
    from pixkit.runs.run import Run

    kinds: list[str] = []
    with suppress(OSError, PixkitError):  # nothing can be suggested if it cannot be read
        kinds += ["run"] if Run(folder_of_run(name)).started else []
        kinds += ["recipe"] if is_file(name) or name in packaged_recipes() else []
    if not kinds:
        known = catalogue(quiet=True).components
        [name] = difflib.get_close_matches(name, [each.name for each in known], n=1, cutoff=0.8) or [name]
        kinds = list(dict.fromkeys(each.kind for each in known if each.name == name))
    meant = " or ".join(f"`pixkit show {kind} {shlex.quote(name)}`" for kind in kinds)
    return f" Did you mean {meant}?" if meant else ""


class Numbers(click.ParamType):
    """Integers separated by commas."""

    name = "numbers"

    def __init__(self, accept: Callable[[tuple[int, ...]], bool], words: str) -> None:
        self.accept, self.words = accept, words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in value.split(",")]
        if all(re.fullmatch("[0-9]{1,12}", part) for part in parts):
            numbers = tuple(map(int, parts))
            if self.accept(numbers):
                return numbers
        self.fail(f"'{value}' is not {self.words}", param, ctx)


class Span(click.ParamType):
    """FIRST:END of an ordered sequence, either of which may be left out, as in a slice."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> slice:
        """The slice."""
        if isinstance(value, slice):
            return value
        found = re.fullmatch(r"([0-9]{1,12})?:([0-9]{1,12})?", value)
        if found is None:
            self.fail(f"'{value}' is not FIRST:END, such as 100:164", param, ctx)
        return slice(*(None if each is None else int(each) for each in found.groups()))


class Codes(click.ParamType):
    """`all`, `none`, or numbers of codes separated by commas."""

    name = "codes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...] | str:
        """The numbers, or the word."""
        if isinstance(value, tuple) or value in ("all", "none"):
            return value
        if re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", value):
            return tuple(map(int, value.split(",")))
        self.fail(f"'{value}' is neither a code, nor several (3,5), nor all, nor none", param, ctx)


class Weight(click.ParamType):
    """A number, or NAME=number: a condition's name, empty for all, and the number."""

    name = "weight"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """The name and the number."""
        if isinstance(value, tuple):
            return value
        name, sign, number = value.rpartition("=")
        with suppress(ValueError):
            if bool(name) == bool(sign):
                return name, float(number)
        self.fail(f"'{value}' is neither a number nor CONDITION=NUMBER", param, ctx)


CONTEXT = re.compile(r"context(?:, (.*))?$")
"""Where errors of a condition are: the argument, and the condition's name."""
SPELT = {"shape=(C, H, W, K)": "--shape C,H,W,K", "tiles=True": "--tiles", "images=slice(...)": "--images"}
"""Arguments that hints name as in Python, and their spelling on the command line."""


@contextmanager
def naming_options() -> Iterator[None]:
    """Make errors that name an argument of a Python function name the command's option or argument instead."""
    try:
        yield
    except PixkitError as error:
        for parameter in click.get_current_context().command.params:
            if parameter.name == error.where:
                error.where = _spelt(parameter)
            elif parameter.name == "given" and (found := CONTEXT.match(error.where or "")):
                error.where = f"{_spelt(parameter)} {found[1] or ''}".strip()
        if error.hint is not None:
            for python, typed in SPELT.items():
                error.hint = error.hint.replace(python, typed)
        raise


def _spelt(parameter: click.Parameter) -> str:
    """Its spelling on the command line: --option or ARGUMENT."""
    return parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name.rstrip(".")


shape_option = click.option(
    "--shape",
    type=Numbers(
        lambda n: len(n) in (4, 5) and min(n[:3]) >= 1 and n[3] >= 2, "C,H,W,K: channels, rows, columns, levels"
    ),
    metavar="C,H,W,K[,CLASSES]",
    help="Channels, rows, columns and levels of the images, if the recipe's data are missing.",
)
KIND = Name((*KINDS, "recipe", "run", "zoo"))
