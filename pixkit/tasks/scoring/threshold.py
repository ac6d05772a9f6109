"""A limit of scores that few images of a known kind exceed, stored in the run of its weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pydantic import Field

from pixkit.errors import CheckpointError, UsageError
from pixkit.files import replacing
from pixkit.runs.manifest import decode_manifest, encode_manifest
from pixkit.runs.places import THRESHOLD
from pixkit.runs.run import Run
from pixkit.runs.runfile import MOST_JSON, RunFile
from pixkit.runs.schema import Count, Record, typed

FORMAT = 1


class Threshold(Record):
    """The content of threshold.json: an image is flagged if its `score` is larger than `limit`.

    Attributes:
        score: "nats", or the name of a correction.
        limit: the `rank`-th smallest score of `images` held-out images.
        false_alarms: the requested rate alpha.
        settings: what else the scores depend on: labels, seed, importance samples, and the correction's `about`.
        weights: SHA-256 of the weights that it applies to.
        other: the folder of the other run, for a ratio.
    """

    format: Count
    score: str
    limit: float
    false_alarms: float = Field(gt=0, lt=1)
    images: Count
    rank: Count
    settings: dict[str, Any]
    weights: str
    other: str | None = None
    sha256: str

    def dump(self) -> dict[str, Any]:
        """The description as plain data."""
        return {name: getattr(self, name) for name in ("score", "limit", "images", "rank", "false_alarms")}

    def in_words(self) -> dict[str, str]:
        """The same for people."""
        rank = f"at most {self.false_alarms:g}, by the score of rank {self.rank} of {self.images}"
        return {"limit": f"{self.limit:.3f} of {self.score}", "false alarms": rank}

    def require(self, settings: dict[str, Any], weights: str) -> None:
        """Raise UsageError if scores are of other weights, or made with other settings."""
        if weights != self.weights:
            raise UsageError(
                "the run's threshold is of other weights",
                where=THRESHOLD,
                found=self.weights[:12],
                expected=weights[:12],
                hint="set it anew: --set-threshold, or the checkpoint that it was set for",
            )
        for name in sorted({*settings, *self.settings}):
            if settings.get(name) != self.settings.get(name):
                raise UsageError(
                    "the run's threshold is of scores that were made otherwise",
                    where=name,
                    found=str(settings.get(name)),
                    expected=str(self.settings.get(name)),
                )


@dataclass(frozen=True)
class Limit:
    """A limit, and its rank among the scores that it was taken from."""

    value: float
    rank: int
    images: int


def conformal_limit(scores: Sequence[float], false_alarms: float) -> Limit:
    """The k-th smallest of n scores, k = ceil((n + 1) (1 - alpha)).

    For an image that is exchangeable with those n, the score exceeds it with probability at most alpha, over the choice
    of all n + 1 (Vovk, Gammerman and Shafer, 2005; Angelopoulos and Bates, 2021, arXiv 2107.07511, section 1). The + 1
    counts that image: the plain quantile of n scores is exceeded more often.

    Args:
        scores: scores of images that were not trained on.
        false_alarms: alpha.

    Raises:
        UsageError: if alpha is not between 0 and 1, there are too few images for it, n < 1 / alpha - 1, or the limit
            would not be a number.
    """
    check_rate(false_alarms)
    alpha = Fraction(str(false_alarms))
    count = len(scores)
    rank = math.ceil((count + 1) * (1 - alpha))
    if rank > count:
        raise UsageError(
            "too few images for so few false alarms",
            where="false_alarms",
            found=f"{count} images",
            expected=f"at least {math.ceil(1 / alpha) - 1}, for a rate of {false_alarms}",
        )
    limit = math.nan if any(map(math.isnan, scores)) else sorted(scores)[rank - 1]
    if not math.isfinite(limit):
        raise UsageError("no limit can be set by such scores", where="images", found=str(limit), expected="a number")
    return Limit(limit, rank, count)


def check_rate(false_alarms: float) -> None:
    """Raise UsageError if it is not between 0 and 1."""
    if not 0 < false_alarms < 1:
        raise UsageError("not a rate", where="false_alarms", found=str(false_alarms), expected="between 0 and 1")


def save_threshold(run: Run, limit: Limit, **said: Any) -> Threshold:
    """Write threshold.json into a run, whole, with a checksum.

    Args:
        run: the run.
        limit: the limit.
        said: the other fields of a Threshold.

    Raises:
        RunError: if it cannot be written.
    """
    path = run.path / THRESHOLD
    body = {"format": FORMAT, "limit": limit.value, "rank": limit.rank, "images": limit.images, **said}
    with run.writing(path), replacing(path) as temporary:
        temporary.write_bytes(encode_manifest(body))
    return read_threshold(run)


def read_threshold(run: Run) -> Threshold:
    """The threshold of a run.

    Raises:
        UsageError: if there is none.
        CheckpointError: if it is damaged, or of a newer format.
    """
    path = run.path / THRESHOLD
    content = RunFile(path, MOST_JSON, error=CheckpointError).content_if_any()
    if content is None:
        raise UsageError(
            "the run has no threshold",
            where=str(path),
            hint="set one by images that were not trained on: pixkit score RUN FOLDER --set-threshold 0.01",
        )
    return typed(Threshold, decode_manifest(content, path), str(path), error=CheckpointError)
