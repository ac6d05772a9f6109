"""The requested corrections, and the threshold that goes with one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pixkit.errors import UsageError
from pixkit.models.base import Model
from pixkit.runs.load import opened_run
from pixkit.runs.run import Run
from pixkit.tasks.scoring.corrections import Complexity, Correction, Ratio, Typicality
from pixkit.tasks.scoring.threshold import Threshold

Source = Run | str | Path


@dataclass(frozen=True)
class Against:
    """References with which likelihoods are compared.

    Attributes:
        complexity: the length of the image by a codec.
        typicality: the mean of the run's validation images, at most 1000, chosen by the seed.
        background: a run that knows the background of images.
        local: a run that sees few pixels around each.
    """

    complexity: bool = False
    typicality: bool = False
    background: Source | None = None
    local: Source | None = None

    @property
    def names(self) -> list[str]:
        """Names of the requested ones."""
        asked = {name: getattr(self, name) for name in ("complexity", "background", "local", "typicality")}
        return [name for name, value in asked.items() if value is not None and value is not False]

    def corrections(self, model: Model, mean: Callable[[], float], device: str) -> list[Correction]:
        """The requested corrections in order; `mean` gives the nats of images that the model knows.

        Raises:
            UsageError: if no codec takes such images, or another run has other images.
        """
        found: list[Correction] = []
        if self.complexity:
            found.append(Complexity.of(model.spec))
        for name, run in (("background", self.background), ("local", self.local)):
            if run is not None:
                found.append(Ratio.of(name, model, run, device))
        if self.typicality:
            found.append(Typicality(mean()))
        return found

    def restored(self, threshold: Threshold, model: Model, device: str) -> list[Correction]:
        """The correction of a threshold, from its description; empty if it is of nats.

        Raises:
            UsageError: if others are requested, or what it depends on is missing.
        """
        name = threshold.score
        if [each for each in self.names if each != name]:
            raise UsageError(
                "the run's threshold is of another score", where="flag", found=", ".join(self.names), expected=name
            )
        if name == "nats":
            return []
        if name == "complexity":
            return [Complexity.of(model.spec, threshold.settings.get("codecs", ()))]
        if name == "typicality":
            return [Typicality(float(threshold.settings["mean"]))]
        return [Ratio.of(name, model, getattr(self, name) or str(threshold.other), device)]

    @property
    def other(self) -> str | None:
        """The folder of the other run."""
        run = self.background or self.local
        return None if run is None else str(opened_run(run).path.absolute())
