"""What a model is: something that scores images, samples them, and says how it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pixkit.components.config import ComponentConfig
from pixkit.errors import UsageError
from pixkit.image import Batch, ImageSpec
from pixkit.network import Autoregressive
from pixkit.samplers import Known, Sampler

Losses = Mapping[str, Tensor]
"""Scalars of one batch: 'loss' is what the optimiser lowers; the others are logged."""


@dataclass(frozen=True)
class Phase:
    """One thing that a training step does: lower `loss(batch, step)["loss"]` over `parameters`.

    Its batches are the step's, or, if it has `choose`, batches of its own: of the training images whose numbers,
    int64 [n], `choose` gives when it is called with the labels of all, int64 [N] (None for data without).
    """

    name: str
    parameters: Iterable[nn.Parameter]
    loss: Callable[[Batch, int], Losses]
    choose: Callable[[Tensor | None], Tensor] | None = None


class Model(nn.Module):
    """Base of model components: ``Model(config, spec, classes)``.

    `classes` is the number of label classes of the data, None where there are none.
    """

    class Config(ComponentConfig):
        """No keys of its own."""

    labelled: bool = False
    """Whether each image's label conditions it: `score` then gives nats given the label, and `sample` takes labels."""
    score_kind: Literal["exact", "bound", "none"] = "exact"
    """Whether `score` is the exact negative log-likelihood, a bound on it ("<="), or no likelihood at all."""
    metric: str | None = None
    """Without a likelihood: the figure of `assess` or `measure` by which checkpoints are compared, less being better.

    None where images tell nothing of such a model."""

    def __init__(self, config: Any, spec: ImageSpec, classes: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.spec = spec
        self.classes = classes

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def scorable(self) -> bool:
        """Whether images tell how good the model is, by a likelihood or by `metric`."""
        return self.score_kind != "none" or self.metric is not None

    def phases(self) -> list[Phase]:
        """What one training step does, in this order."""
        raise NotImplementedError(f"{type(self).__name__} does not implement phases")

    def initialise(self, batch: Batch) -> None:
        """Data-dependent initialisation, called once with the first training batch; nothing by default."""

    def verify(self) -> None:
        """Raise CausalityError if a sub-pixel sees what is not drawn before it; nothing to check by default."""

    def score(self, batch: Batch) -> Tensor:
        """Nats of each image, [B], as `score_kind` says; what validation and tables report."""
        raise NotImplementedError(f"{type(self).__name__} does not implement score")

    def assess(self, batch: Batch) -> Mapping[str, Tensor]:
        """The score, as 'nats', and by name the parts that it is the sum of, or figures beside it, if any; [B] each.

        Without a likelihood there are no 'nats', and the others are figures of each image.
        """
        return {"nats": self.score(batch)}

    def measure(self, scored: Iterable[Batch], reference: Iterable[Batch]) -> Mapping[str, float]:
        """Figures of all the scored images together, by name, that are no means over images; none by default.

        `reference` are validation images, or training images where there are none, by which rules may be settled; both
        can be gone through once.
        """
        return {}

    def remarks(self, parts: Mapping[str, float], step: int | None = None) -> list[str]:
        """What one should know of scores with these parts (means over images), after so many steps; nothing by default.

        `step` is None once training is over.
        """
        return []

    def importance(self, batch: Batch, count: int, progress: Callable[[int, int], None] | None = None) -> Tensor:
        """Nats of each image, [B], estimated from `count` importance samples; draws from torch's generator.

        Raises:
            UsageError: if the model has no latent to draw.
        """
        raise UsageError(
            "importance sampling is for models whose score is a bound",
            found=f"{type(self).__name__}, whose likelihood is exact already"
            if self.score_kind == "exact"
            else f"{type(self).__name__}, which gives no likelihood",
        )

    def no_label(self) -> Tensor:
        """The context of an image without a label, [1, ...].

        Raises:
            UsageError: if the model knows no such images.
        """
        raise UsageError(
            "the model knows no images without a label",
            where=type(self).__name__,
            found="no label" if self.labelled else "a model without labels",
            expected="a label for each image",
            hint="train with label dropout: model.context.dropout=0.1" if self.labelled else None,
        )

    def completing(self, known: Tensor) -> Autoregressive:
        """The network that `sample` draws with where `known`, bool [C, H, W], is given.

        Of several, it is the one whose ordering puts the missing part last, or nearest to it.

        Raises:
            UsageError: if the model cannot continue an image.
        """
        raise UsageError(
            "the model cannot continue an image that is given in part",
            where=type(self).__name__,
            expected="a model of pixels alone, which draws some of them given others",
        )

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        sampler: str | Sampler = "auto",
        batch_size: int = 64,
        first: int = 0,
        known: Known | None = None,
        context: Tensor | None = None,
        guidance: float = 0.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Draw images number first..first+n-1 of a seed, int64 [n, C, H, W]; see `AutoregressiveModel.sample`."""
        raise NotImplementedError(f"{type(self).__name__} does not implement sample")
