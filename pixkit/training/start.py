"""Initial weights from another run: `train.init_from`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pixkit.catalogue.zoo import run_folder
from pixkit.errors import CheckpointError, PixkitError, RunError, listed
from pixkit.files import is_there
from pixkit.image import ImageSpec
from pixkit.recipe import diff
from pixkit.recipe.schema import TrainConfig
from pixkit.runs.checkpoint import WHOLE, differences, weights
from pixkit.runs.load import read_weights
from pixkit.runs.places import MANIFEST
from pixkit.runs.run import Run
from pixkit.training.step import Stepper
from pixkit.wrappers import plain_name


@dataclass(frozen=True)
class Start:
    """Weights and their location; `strict` if they have to fit; and the run that they come from, if known."""

    tensors: dict[str, Tensor]
    where: str
    strict: bool
    run: Run | None

    @classmethod
    def of(cls, config: TrainConfig, base: Path) -> Start | None:
        """Resolve `train.init_from`: a run's best averaged weights, or a checkpoint's; None if it is unset.

        Args:
            config: the recipe's `train` section.
            base: the folder that its relative paths start from.

        Raises:
            RunError: if there is neither a run nor a checkpoint.
            CheckpointError: if the checkpoint is damaged.
        """
        given = config.start
        if given is None:
            return None
        path = base / run_folder(os.path.expanduser(given.run))
        run = Run(path)
        if not run.started:
            if not is_there(path / MANIFEST):
                raise RunError(
                    "neither a run nor a checkpoint",
                    where="train.init_from",
                    found=str(path),
                    expected="a run's folder",
                )
            around = Run(path.absolute().parent.parent)
            return cls(read_weights(path, "ema"), str(path), given.strict, around if around.started else None)
        averaged = bool(run.settings()["train"].get("ema"))
        tensors, folder = run.read_checkpoint("best", lambda folder: (read_weights(folder, "ema", averaged), folder))
        return cls(tensors, str(folder), given.strict, run)

    def give(self, stepper: Stepper, recipe: dict[str, Any], say: Callable[[str], None]) -> None:
        """Give a stepper's model these weights or, unless `strict`, those that fit, and report the rest.

        Args:
            stepper: has the model. Other tensors are initialised as usual.
            recipe: the model's recipe, as plain data.
            say: told which tensors are not taken.

        Raises:
            CheckpointError: if the weights belong to another model; it names the keys in which the recipes differ.
                Without `strict`, if none of them fits.
        """
        model = stepper.model
        own, found = weights(model), {plain_name(name): value for name, value in self.tensors.items()}
        wrong = differences(found, own)
        if not wrong:
            stepper.initialise(self.tensors, self.where)
            return
        fitting = {
            name: value
            for name, value in found.items()
            if name in own and not differences({name: value}, {name: own[name]})
        }
        if self.strict or not fitting:
            raise self._misfit(wrong, self._changes(recipe, model.spec, model.classes), some=bool(fitting))
        # Twice: initialising the other layers from the first batch depends on these, and may change them.
        model.load_state_dict(own | fitting)
        stepper.initialise()
        model.load_state_dict(weights(model) | fitting)
        say(
            f"train.init_from: {len(fitting)} of the model's {len(own)} tensors are taken from {self.where}; "
            f"not taken: {listed(wrong, '; ', longest=WHOLE)}"
        )

    def _misfit(self, wrong: list[str], changes: list[str], *, some: bool) -> CheckpointError:
        hint = "train.init_from={run: ..., strict: false} takes what fits" if some else "another run: no tensor fits"
        return CheckpointError(
            "another model's weights",
            where=f"train.init_from, {self.where}",
            found=listed(wrong, "; ", longest=WHOLE),
            lines=["  from its recipe to this one:", *(f"    {change}" for change in changes)] if changes else (),
            hint=hint,
        )

    def _changes(self, recipe: dict[str, Any], spec: ImageSpec, classes: int | None) -> list[str]:
        """The differences between the recipe of these weights and another, in keys that define the model."""
        if self.run is None:
            return []
        lock = self.run.settings()
        try:
            other = self.run.recipe().dump()
        except PixkitError:  # a missing plugin, for example: its message is enough
            other = lock
        before = {"model": other["model"], "image": lock["lock"]["image"], "classes": lock["lock"]["classes"]}
        now = {"model": recipe["model"], "image": spec.dump(), "classes": classes}
        return [str(change) for change in diff(before, now)]


def begin(stepper: Stepper, start: Start | None, recipe: dict[str, Any], say: Callable[[str], None]) -> None:
    """Give a stepper's model its initial weights: those of `start`, if given; see `Start.give`."""
    if start is None:
        stepper.initialise()
    else:
        start.give(stepper, recipe, say)
