"""What a tracker is."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from pixkit.components.config import ComponentConfig
from pixkit.errors import UsageError

Hyperparameter: TypeAlias = str | int | float | bool | None


class Tracker(ABC):
    """Base of tracker components: ``Tracker(config)``; told how a run is trained, for a program that shows many.

    Recipes name them in ``train.log: [tensorboard]``. A tracker only looks on: a run has the same bits with and without
    it, and metrics.jsonl and samples/ have all that it is told. The calls come in this order: `check`, before anything
    else is done; `start`, before the first step; `log`, `image` and `save`, as it comes; and `finish`, in the end, also
    after an error. What it prints goes to stderr.

    What `check` and `start` raise ends the build before a step is made. What the others raise is reported once; the
    tracker is told no more then, and training goes on.

    Attributes:
        packages: modules that it needs and pixkit does not, each with what pip installs for it.
    """

    packages: ClassVar[Mapping[str, str]] = {}

    class Config(ComponentConfig):
        """No keys of its own."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def __repr__(self) -> str:
        return f"<{type(self).__name__} tracker>"

    def check(self) -> None:
        """See that everything is there which it takes.

        Raises:
            UsageError: with the command that installs a module that is missing.
        """
        for module, package in self.packages.items():
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise UsageError(
                    f"{type(self).__name__} takes {module}, which is not installed",
                    where="train.log",
                    found=str(error),
                    hint=f"pip install '{package}', or leave it out of train.log",
                ) from error

    @abstractmethod
    def start(self, run: Path, hyperparameters: dict[str, Hyperparameter], step: int) -> None:
        """Training begins or, if `step` is not 0, goes on.

        Args:
            run: the run's folder, whose name tells it from others.
            hyperparameters: the whole recipe, ``model.backbone.width`` and so on; lists as text.
            step: steps that were made. Later ones that were logged before are made again, with the same numbers: those
                between the last checkpoint and a kill.
        """

    @abstractmethod
    def log(self, step: int, values: dict[str, float]) -> None:
        """Numbers of a step: ``train/loss``, ``train/lr``; or ``validation/nats``, ``validation/bits_per_dim_ema``.

        They may be infinite or NaN. Of one step there are rows of both kinds.
        """

    def image(self, step: int, path: Path) -> None:  # noqa: B027 - not every tracker shows images
        """Samples were drawn: a picture, PNG, of the run."""

    def save(self) -> None:  # noqa: B027 - not every tracker keeps anything back
        """A checkpoint is about to be written, after which no step until here is made again: keep what was logged."""

    def finish(self) -> None:  # noqa: B027 - not every tracker has anything to close
        """No more comes: let go of files and connections."""
