"""The base class of trackers."""

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
    """Base of tracker components: ``Tracker(config)``; forwards the progress of training to another program.

    Recipes name them in ``train.log: [tensorboard]``. A tracker only observes: a run has the same bits with and without
    it, and metrics.jsonl and samples/ have everything that it is told. The calls come in this order: `check`, before
    anything else is done; `start`, before the first step; `log`, `image` and `save`, during training; and `finish`, at
    the end, also after an error. What it prints goes to stderr.

    An exception in `check` or `start` ends the build before a step is made. Any other is reported once; then the
    tracker is not called again, and training goes on.

    Attributes:
        packages: modules that it needs in addition to pixkit's, each with its name for pip.
    """

    packages: ClassVar[Mapping[str, str]] = {}

    class Config(ComponentConfig):
        """No keys of its own."""

    # Any: each class has its own Config
    def __init__(self, config: Any) -> None:
        self.config = config

    def __repr__(self) -> str:
        return f"<{type(self).__name__} tracker>"

    def check(self) -> None:
        """Check that everything it needs is installed.

        Raises:
            UsageError: with the command that installs a missing module.
        """
        for module, package in self.packages.items():
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise UsageError(
                    f"{type(self).__name__} needs {module}, which is not installed",
                    where="train.log",
                    found=str(error),
                    hint=f"pip install '{package}', or leave it out of train.log",
                ) from error

    @abstractmethod
    def start(self, run: Path, hyperparameters: dict[str, Hyperparameter], step: int) -> None:
        """Training begins or, if `step` is not 0, continues.

        Args:
            run: the run's folder, whose name identifies it.
            hyperparameters: the whole recipe, ``model.backbone.width`` and so on; lists as text.
            step: the number of steps made. Later ones that were already logged are made again, with the same numbers:
                those between the last checkpoint and a kill.
        """

    @abstractmethod
    def log(self, step: int, values: dict[str, float]) -> None:
        """Numbers of a step: ``train/loss``, ``train/lr``; or ``validation/nats``, ``validation/bits_per_dim_ema``.

        They may be infinite or NaN. One step may have rows of both kinds.
        """

    def image(self, step: int, path: Path) -> None:  # noqa: B027 - not every tracker shows images
        """Samples were drawn: a PNG picture of the run."""

    def save(self) -> None:  # noqa: B027 - not every tracker keeps anything back
        """A checkpoint is about to be written; no step up to here will be made again: keep what was logged."""

    def finish(self) -> None:  # noqa: B027 - not every tracker has anything to close
        """Training has ended: close files and connections."""
