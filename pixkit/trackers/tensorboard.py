"""TensorBoard's event files in a run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from pydantic import Field

from pixkit.components.config import ComponentConfig
from pixkit.trackers.base import Hyperparameter, Tracker


class TensorBoard(Tracker):
    """Scalars, samples and hyperparameters as event files in the run's folder `tensorboard`.

    ``tensorboard --logdir runs`` shows them. A resumed run replaces the steps that it makes again.
    """

    packages: ClassVar = {"tensorboard": "pixkit-models[tensorboard]"}

    class Config(ComponentConfig):
        """Configuration of the writer."""

        flush_secs: int = Field(default=30, ge=1)
        """Seconds after which logged values are written to the file at the latest; checkpoints also write them."""

    def start(self, run: Path, hyperparameters: dict[str, Hyperparameter], step: int) -> None:
        """Open a new event file, which declares that it replaces later steps of older ones."""
        from torch.utils.tensorboard import SummaryWriter

        # Also for a new run: TensorBoard's loader in Python (--load_fast=false, or where there is no other) takes the
        # first such mark of a run for its beginning, and would show steps twice if only the second file had one.
        folder, seconds = str(run / "tensorboard"), self.config.flush_secs
        self._writer: Any = SummaryWriter(folder, purge_step=step + 1, flush_secs=seconds)
        self._hyperparameters: dict[str, Hyperparameter] | None = hyperparameters

    def log(self, step: int, values: dict[str, float]) -> None:
        """Write each as a scalar; with the first values that runs are compared by, also the hyperparameters."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        compared = [name for name in values if name.startswith("validation/")]
        if compared:
            self._describe(compared)

    def image(self, step: int, path: Path) -> None:
        """Write the picture under the name `samples`; as uint8, which TensorBoard shows unchanged."""
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        self._writer.add_image("samples", pixels, step, dataformats="HWC")

    def save(self) -> None:
        """Wait until everything is in the file."""
        self._writer.flush()

    def finish(self) -> None:
        """Close the file."""
        self._describe([])
        self._writer.close()

    def _describe(self, compared: list[str]) -> None:
        """Write the hyperparameters, once. `SummaryWriter.add_hparams` would make a separate run of them."""
        if self._hyperparameters is None:
            return
        from torch.utils.tensorboard.summary import hparams

        given, self._hyperparameters = self._hyperparameters, None
        for summary in hparams(given, dict.fromkeys(compared, 0.0)):
            self._writer.file_writer.add_summary(summary)
