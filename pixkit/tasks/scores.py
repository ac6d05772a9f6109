"""A model's scores for a set of images."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from pixkit.runs.metrics import plain

TOKENS = "scores are of tokens: they cannot be compared with scores of pixels, or of another palette's tokens"


@dataclass(frozen=True)
class Scores:
    """A model's scores for the images of one split.

    `nats` is the mean over images of the negative log-likelihood, or of a bound on it where `kind` is 'bound', or of an
    estimate from `samples` importance samples per image where it is 'estimate'; `stderr` is its standard error over
    images, NaN for a single image; `weights` is 'raw' or 'ema'; `parts` holds the means of the score's terms, and other
    figures. Where `kind` is 'none' there are only these: `nats`, `stderr` and `bits_per_dim` are NaN.

    For images that are tokens of a palette, `nats` refer to tokens, and `bits_per_token` replaces `bits_per_dim`, which
    is NaN: they cannot be compared with those of pixels or of another palette's tokens.
    """

    split: str
    weights: str
    kind: str
    images: int
    nats: float
    stderr: float
    bits_per_dim: float
    parts: dict[str, float] = field(default_factory=dict)
    samples: int | None = None
    bits_per_token: float | None = None

    def dump(self) -> dict[str, Any]:
        """As plain data, with None for values that are not finite; `bits_per_token` only for tokens."""
        found = {**plain(asdict(self)), "parts": plain(self.parts)}
        return found if self.bits_per_token is not None else {k: v for k, v in found.items() if k != "bits_per_token"}

    @property
    def figures(self) -> dict[str, float]:
        """The available figures by name: nats, their standard error and bits per dimension, or per token."""
        bits = {"bits_per_dim": self.bits_per_dim}
        if self.bits_per_token is not None:
            bits = {"bits_per_token": self.bits_per_token}
        return {} if self.kind == "none" else {"nats": self.nats, "stderr": self.stderr, **bits}

    def decisive(self, metric: str | None) -> float:
        """The figure that checkpoints are compared by: the nats or, without a likelihood, `Model.metric`."""
        return self.nats if metric is None else self.parts[metric]
