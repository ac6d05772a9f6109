"""What a build tells whoever watches."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Reporter:
    """Does nothing with what it is told; override what you want to hear."""

    def message(self, text: str) -> None:
        """Something worth a line."""

    def loading(self, what: str, done: int, total: int) -> None:
        """Data are being read or fetched; `total` is 0 where it is unknown."""

    def start(self, total: int, done: int) -> None:
        """Training begins: `total` steps, of which `done` were made before."""

    def step(self, step: int, metrics: dict[str, Any]) -> None:
        """A step was made; `metrics` is its row of metrics.jsonl."""

    def evaluated(self, step: int, metrics: dict[str, Any]) -> None:
        """The validation images were scored; `metrics` is the row of metrics.jsonl."""

    def sampled(self, path: Path) -> None:
        """Samples were drawn; `path` is the picture."""

    def checkpoint(self, path: Path) -> None:
        """A checkpoint was written to the folder `path`."""

    def working(self, what: str, done: int, total: int) -> None:
        """After training, the best checkpoint is scored and sampled: `done` of `total` of `what` are done."""

    def finish(self, result: Any) -> None:
        """The build is over; `result` is its BuildResult."""
