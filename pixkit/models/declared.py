"""The capabilities that a model declares, so that no caller has to try them, and the methods that only some have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from pixkit.execution.reference import Progress
from pixkit.image import Batch
from pixkit.models.capabilities import Capability, lacking
from pixkit.network import Autoregressive


class Declared:
    """The part of `Model` that declares its capabilities; the docstring of `Model` lists them."""

    labelled: bool = False
    """Whether it is conditioned on each image's label: `score` then gives nats given the label, and `sample` takes
    labels."""
    codes: int = 0
    """The number of values of a categorical code that can be chosen when drawing; 0 if there is none."""
    guidable: bool = False
    """Whether a model that takes labels also knows images without one."""
    completes: bool = False
    """Whether it can draw some sub-pixels given others."""
    has_latent: bool = False
    """Whether it is a LatentModel."""
    mapped: bool = False
    """Whether `assess_sites` gives each site's share of the score."""
    importance_sampled: bool = False
    """Whether the likelihood can be estimated by importance sampling."""
    draws_by_number: bool = False
    """Whether `assess` draws the same noise for images of one number (`Batch.indices`), whatever is beside them."""
    score_kind: Literal["exact", "bound", "none"] = "exact"
    """Whether `score` is the exact negative log-likelihood, a bound on it ("<="), or no likelihood at all."""
    metric: str | None = None
    """Without a likelihood: the figure of `assess` or `measure` by which checkpoints are compared; lower is better.

    None if images cannot tell how good such a model is."""

    @property
    def scorable(self) -> bool:
        """Whether images tell how good the model is, by a likelihood or by `metric`."""
        return self.score_kind != "none" or self.metric is not None

    @property
    def conditions(self) -> tuple[str, ...]:
        """The kinds of context that `sample` accepts: "label" or "code"; empty if the model takes none."""
        return ("label",) * bool(self.labelled) + ("code",) * bool(self.codes)

    def require(self, capability: Capability, where: str | None = None) -> None:
        """Raise UsageError, saying why, if the model lacks a capability; `where` is the option or call that asks."""
        if not getattr(self, capability):
            raise lacking(self, capability, where)

    def assess_sites(self, batch: Batch) -> tuple[Mapping[str, Tensor], Tensor]:
        """The figures of `assess`, [B] each, perhaps more, and nats of each site, [B, H, W], in one pass.

        The sites sum to the nats or, if these are a bound, to its term 'reconstruction'.

        Raises:
            UsageError: unless the model is `mapped`.
        """
        raise lacking(self, "mapped")

    def importance(self, batch: Batch, count: int, progress: Progress | None = None) -> Tensor:
        """Nats of each image, [B], estimated from `count` importance samples; draws from torch's generator.

        Raises:
            UsageError: unless the model is `importance_sampled`.
        """
        raise lacking(self, "importance_sampled")

    def no_label(self) -> Tensor:
        """The context of an image without a label, [1, ...].

        Raises:
            UsageError: unless the model is `guidable`.
        """
        raise lacking(self, "guidable")

    def completing(self, known: Tensor) -> Autoregressive:
        """The network that `sample` uses if the sub-pixels `known`, bool [C, H, W], are known.

        Of several, the one whose ordering comes nearest to drawing the missing part last.

        Raises:
            UsageError: unless the model `completes`.
        """
        raise lacking(self, "completes")


def no_score(self: Declared, batch: Batch) -> Tensor:
    """`score` of a model without one, or of a class of 0.1 that does not score by it."""
    raise lacking(self, "scorable")
