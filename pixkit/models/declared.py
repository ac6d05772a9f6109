"""What a model says that it can do, so that nobody has to try it out, and what only some can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from pixkit.execution.reference import Progress
from pixkit.image import Batch
from pixkit.models.capabilities import Capability, lacking
from pixkit.network import Autoregressive


class Declared:
    """The part of `Model`, whose docstring lists them, in which it declares what it can do."""

    labelled: bool = False
    """Whether each image's label conditions it: `score` then gives nats given the label, and `sample` takes labels."""
    codes: int = 0
    """Number of values of a categorical code that can be chosen when drawing; 0 if there is none."""
    guidable: bool = False
    """Whether a model that takes labels also knows images without one."""
    completes: bool = False
    """Whether it draws some sub-pixels given others."""
    has_latent: bool = False
    """Whether it is a LatentModel."""
    mapped: bool = False
    """Whether `assess_sites` says what share of the score each site has."""
    importance_sampled: bool = False
    """Whether the likelihood can be estimated by importance sampling."""
    draws_by_number: bool = False
    """Whether `assess` draws the same noise for images of one number (`Batch.indices`), whatever is beside them."""
    score_kind: Literal["exact", "bound", "none"] = "exact"
    """Whether `score` is the exact negative log-likelihood, a bound on it ("<="), or no likelihood at all."""
    metric: str | None = None
    """Without a likelihood: the figure of `assess` or `measure` by which checkpoints are compared, less being better.

    None where images tell nothing of such a model."""

    @property
    def scorable(self) -> bool:
        """Whether images tell how good the model is, by a likelihood or by `metric`."""
        return self.score_kind != "none" or self.metric is not None

    @property
    def conditions(self) -> tuple[str, ...]:
        """What the context of `sample` may be: "label", "code"; empty if the model takes none."""
        return ("label",) * bool(self.labelled) + ("code",) * bool(self.codes)

    def require(self, capability: Capability, where: str | None = None) -> None:
        """Raise UsageError if the model cannot do that, saying why; `where` is the option or call that asks for it."""
        if not getattr(self, capability):
            raise lacking(self, capability, where)

    def assess_sites(self, batch: Batch) -> tuple[Mapping[str, Tensor], Tensor]:
        """What `assess` gives, [B] each, perhaps with more figures, and nats of each site, [B, H, W], in one pass.

        The sites sum to the nats or, where these are a bound, to the part called 'reconstruction'.

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
        """The network that `sample` draws with where `known`, bool [C, H, W], is given.

        Of several, it is the one whose ordering puts the missing part last, or nearest to it.

        Raises:
            UsageError: unless the model `completes`.
        """
        raise lacking(self, "completes")


def no_score(self: Declared, batch: Batch) -> Tensor:
    """`score` of what has none, or, of a class of 0.1, what does not score by it."""
    raise lacking(self, "scorable")
