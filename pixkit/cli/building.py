"""Progress reports of commands that build."""

from __future__ import annotations

from typing import Any

from pixkit.cli.progress import Progress
from pixkit.numerals import significant
from pixkit.runs.figures import UNITS, number, rate_of
from pixkit.training.watch import Reporter


class BuildReporter(Reporter):
    """Passes a build's reports on to a command's progress display."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._total = 0

    def message(self, text: str) -> None:
        """A remark."""
        self._progress.say(text)

    def problem(self, text: str) -> None:
        """Something went wrong."""
        self._progress.problem(text)

    def loading(self, what: str, done: int, total: int) -> None:
        """Data are being read or fetched."""
        self._progress.update(what, done, total)

    def start(self, total: int, done: int) -> None:
        """Training begins."""
        self._total = total
        self._progress.update("training", done, total)

    def step(self, step: int, metrics: dict[str, Any]) -> None:
        """A step was made."""
        score = [f"{metrics[rate]:.3f} {unit}" for rate, unit in UNITS.items() if rate in metrics]
        # With several phases, PHASE/loss for each.
        losses = [
            f"{name.replace('/', ' ')} {significant(metrics[name], 4)}"
            for name in metrics
            if name.split("/")[-1] == "loss"
        ]
        speed = f"{metrics['images_per_second']:.0f} images/s"
        self._progress.update("training", step, self._total, ", ".join([*score, *losses, speed]))

    def working(self, what: str, done: int, total: int) -> None:
        """The best checkpoint is being scored, or samples are being drawn."""
        self._progress.update(what, done, total)

    def evaluated(self, step: int, metrics: dict[str, Any]) -> None:
        """The validation images were scored."""
        name = metrics.get("decides", rate_of(metrics))
        kind = "exact" if "decides" in metrics else metrics["kind"]
        value = number(metrics.get(f"{name}_ema", metrics[name]), kind, 4)
        score = f"{name} {value}" if "decides" in metrics else f"{value} {UNITS[name]}"
        best = ", the best so far" if metrics.get("best") else ""
        self._progress.say(f"step {step}/{self._total}: validation {score}{best}")
