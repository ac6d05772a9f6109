"""What commands that draw from a run share: their options, and opening the run by them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pixkit.cli.door import open_door
from pixkit.cli.options import (
    batch_size_option,
    checkpoint_option,
    device_option,
    sampler_option,
    seed_option,
    temperature_option,
    weights_option,
)
from pixkit.cli.progress import Talk
from pixkit.models.base import Model
from pixkit.runs.load import load
from pixkit.runs.run import Run
from pixkit.samplers import Sampler, sampler_for

Options = dict[str, Any]
"""Keyword arguments of `Model.sample` and `LatentModel.decode`."""
OPTIONS = (
    seed_option,
    temperature_option,
    batch_size_option,
    sampler_option,
    checkpoint_option,
    weights_option,
    device_option,
)


@dataclass(frozen=True)
class Drawing:
    """The run and the options; what is None was left out, so that the recipe's section `sample` decides it."""

    run: Path
    seed: int
    temperature: float | None
    batch_size: int | None
    sampler: str | None
    checkpoint: str
    weights: str
    device: str

    def open(self) -> Drawer:
        """Open the run and load its model.

        Raises:
            PixkitError: if there is no such run, checkpoint, device or sampler.
        """
        open_door()
        run = Run.open(self.run)
        recipe = run.recipe().sample
        model = load(run, device=self.device, checkpoint=self.checkpoint, weights=self.weights)
        sampler = sampler_for(self.sampler or recipe.type)
        return Drawer(run, model, sampler, self.temperature or recipe.temperature, self.batch_size or recipe.batch_size)


@dataclass(frozen=True)
class Drawer:
    """A run that is open, its model, and how images are drawn."""

    run: Run
    model: Model
    sampler: Sampler
    temperature: float
    batch_size: int

    def options(self, talk: Talk, what: str) -> Options:
        """How to draw, the progress told as that of `what`."""
        return {
            "temperature": self.temperature,
            "batch_size": self.batch_size,
            "sampler": self.sampler,
            "progress": lambda done, total: talk.progress(what, done, total),
        }

    def summarise(self, talk: Talk, summary: str) -> None:
        """Say what the sampler did, if it has something to say."""
        if summary:
            talk.say(summary)


def drawing_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Drawing`, and hand them and its argument RUN over as one, `drawing`."""

    @functools.wraps(function)
    def gathered(**given: Any) -> None:
        own = {field.name: given.pop(field.name) for field in fields(Drawing)}
        function(drawing=Drawing(**own), **given)

    return functools.reduce(lambda command, option: option(command), reversed(OPTIONS), gathered)
