"""Shared by commands that draw from a run: their options, and how they show images."""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import click

from pixkit import figures
from pixkit.cli.group import plugin_option
from pixkit.cli.options import (
    batch_size_option,
    bfloat16_option,
    checkpoint_option,
    device_option,
    sampler_option,
    seed_option,
    temperature_option,
    weights_option,
)
from pixkit.cli.plugins import find_component
from pixkit.components.plugins import plugins
from pixkit.data.context_config import NAME
from pixkit.ranks import launched
from pixkit.samplers import Cached


class Save(Protocol):
    """Writes images somewhere; columns and titles are those of a grid."""

    def __call__(
        self,
        x: Any,
        levels: figures.Levels,
        path: Path,
        columns: int | None = None,
        titles: figures.Titles | None = None,
    ) -> object:
        """Write them."""


OPTIONS = (
    seed_option,
    temperature_option,
    batch_size_option,
    sampler_option,
    bfloat16_option,
    checkpoint_option,
    weights_option,
    device_option,
    plugin_option,
)
conditions_option = click.option(
    "--given",
    metavar="NAME=FILE|test:5",
    multiple=True,
    help="Other values of a list of conditions than the image's own: by name, or those of an image of the run's data, "
    "of which those that are also named are replaced.",
)
NAMED = re.compile(NAME)
"""A name of `data.context`."""
NAMES = ("seed", "temperature", "batch_size", "sampler", "checkpoint", "weights", "device")


def drawing_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the drawing options to a command, and pass their values as one argument, `drawing`.

    They are keyword arguments of `pixkit.sample` and the other verbs that draw (`pixkit.tasks.DrawingOptions`),
    including the ranks started by torchrun: all draw, and only rank 0 prints and writes.
    """

    @functools.wraps(function)
    def gathered(**given: Any) -> None:
        drawing = {name: given.pop(name) for name in NAMES}
        if given.pop("bfloat16"):
            if drawing["sampler"] not in (None, "auto", "cached"):
                raise click.UsageError("--bfloat16 goes with cached sampling: leave out --sampler")
            drawing["sampler"] = Cached(Cached.Config(executor="bfloat16"))
        elif drawing["sampler"] is not None:
            find_component(plugins(), "sampler", drawing["sampler"])
        with launched() as ranks, warnings.catch_warnings():
            drawing["ranks"] = ranks
            # These commands print the sampler's remarks, which say the same.
            warnings.filterwarnings("ignore", "sampling by whole passes|images are drawn without", RuntimeWarning)
            function(drawing=drawing, **given)

    return functools.reduce(lambda command, option: option(command), reversed(OPTIONS), gathered)


def saver(out: Path) -> Save:
    """A function that writes to that path, according to its suffix.

    Raises:
        click.UsageError: for another suffix.
        RunError: for a folder that is not empty, and for what cannot be written.
    """
    if out.suffix in (".png", ".npz"):
        figures.require_file(out)
    if out.suffix == ".png":
        return lambda x, levels, path, columns=None, titles=None: figures.save_grid(
            x, levels, path, columns=columns, titles=titles
        )
    if out.suffix == ".npz":
        return lambda x, levels, path, columns=None, titles=None: figures.save_npz(x, levels, path)
    if out.suffix and not out.is_dir():
        raise click.UsageError(f"-o {out}: name a .png, a .npz, or a folder (no suffix)")
    figures.require_empty(out)
    return lambda x, levels, path, columns=None, titles=None: figures.save_images(x, levels, path)


def conditions_given(given: Sequence[str]) -> list[str | dict[str, str]]:
    """What --given says of a list of conditions: images whose conditions are meant, then values by name."""
    pairs: list[tuple[str, str]] = []
    plain: list[str] = []
    for text in given:
        name, sign, value = text.partition("=")
        if sign and NAMED.match(name):
            pairs.append((name, value))
        else:
            plain.append(text)
    named = dict(pairs)
    if len(named) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in named if names.count(name) > 1)
        raise click.UsageError(f"--given names {twice} more than once; a file of several rows gives several conditions")
    return [*plain, *([named] if named else [])]


def one_of(out: Path, number: int, count: int) -> Path:
    """The path for the results of one of several images: FILE-3.png beside FILE.png, or a subfolder."""
    if count == 1:
        return out
    return out.with_stem(f"{out.stem}-{number}") if out.suffix else out / f"{number:05d}"


def picture(x: Any, levels: figures.Levels) -> str:
    """As many of the images as fit the terminal."""
    size = shutil.get_terminal_size()
    plain = os.environ.get("NO_COLOR") or "utf" not in (sys.stdout.encoding or "").lower()
    paint = figures.shades if plain else figures.truecolour
    return figures.preview(x, levels, paint, width=size.columns, lines=size.lines - 3)
