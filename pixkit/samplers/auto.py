"""The default sampler of recipes: the fastest exact one."""

from __future__ import annotations

import warnings

from torch import Tensor

from pixkit.errors import CausalityError
from pixkit.execution.plan import Unplannable
from pixkit.network import Autoregressive
from pixkit.readiness.trace import Untraceable
from pixkit.samplers.ancestral import Ancestral
from pixkit.samplers.base import Sampler
from pixkit.samplers.batch import BatchRequest, BatchSampler, summary_of
from pixkit.samplers.cached import Cached


class Auto(Sampler):
    """Cached sampling if the network can be planned, otherwise whole passes, with one warning that says why.

    Example:
        >>> model = pixkit.build_model("digits-pixelcnn")  # untrained
        >>> drawn = pixkit.component("sampler", "auto").build().draw(model.network, pixkit.Noise(0, [0, 1]))
        >>> drawn.images.shape
        torch.Size([2, 1, 8, 8])
        >>> drawn.summary.startswith("cached sampling")
        True
    """

    def prepare(self, network: Autoregressive, known: Tensor | None) -> BatchSampler:
        """Plan, or warn and fall back."""
        try:
            planned = Cached(Cached.Config()).prepare(network, known)
        except (Untraceable, Unplannable, CausalityError) as error:
            reason = f"sampling by whole passes, since no plan can be made: {error}"
        else:
            return Planned(planned, Ancestral(Ancestral.Config()).prepare(network, known))
        warnings.warn(reason, RuntimeWarning, stacklevel=2)
        return WholePasses(Ancestral(Ancestral.Config()).prepare(network, known), reason)


class Planned:
    """Draws batches by a plan, and those for which the plan does not hold by whole passes, with a warning."""

    def __init__(self, planned: BatchSampler, plainly: BatchSampler) -> None:
        self.planned, self.plainly = planned, plainly
        self.whole: WholePasses | None = None

    def summary(self) -> str:
        """Summaries of the ways of drawing that were used."""
        return "; ".join(filter(None, [summary_of(self.planned), self.whole.summary() if self.whole else ""]))

    def __call__(self, request: BatchRequest) -> Tensor:
        """See BatchSampler."""
        try:
            return self.planned(request)
        except Untraceable as error:
            reason = f"sampling {len(request.noise)} images at a time by whole passes, since no plan holds: {error}"
        if self.whole is None:
            self.whole = WholePasses(self.plainly, reason)
            warnings.warn(reason, RuntimeWarning, stacklevel=2)
        return self.whole(request)


class WholePasses:
    """Draws batches by ancestral sampling, and knows why."""

    def __init__(self, prepared: BatchSampler, reason: str) -> None:
        self.prepared, self.reason = prepared, reason

    def summary(self) -> str:
        """The reason, on one line."""
        return " ".join(self.reason.split())

    def __call__(self, request: BatchRequest) -> Tensor:
        """See BatchSampler."""
        return self.prepared(request)
