"""The sampler that recipes get unless they ask for another: the fastest exact one."""

from __future__ import annotations

import warnings

from torch import Tensor

from pixkit.errors import CausalityError
from pixkit.execution.plan import Unplannable
from pixkit.network import Autoregressive
from pixkit.readiness.trace import Untraceable
from pixkit.samplers.ancestral import Ancestral
from pixkit.samplers.base import Draw, Sampler
from pixkit.samplers.cached import Cached


class Auto(Sampler):
    """Cached sampling where the network can be planned; else whole passes, with one warning that says why."""

    def __init__(self, config: Sampler.Config) -> None:
        super().__init__(config)
        self._chosen: Sampler = Cached(Cached.Config())

    def summary(self) -> str:
        """The chosen sampler's."""
        self._chosen.clamped = self.clamped
        return self._chosen.summary()

    def prepare(self, network: Autoregressive, known: Tensor | None) -> Draw:
        """Plan, or warn and fall back."""
        try:
            self._chosen = Cached(Cached.Config())
            return self._chosen.prepare(network, known)
        except (Untraceable, Unplannable, CausalityError) as error:
            warnings.warn(f"sampling by whole passes, since no plan can be made: {error}", RuntimeWarning, stacklevel=2)
            self._chosen = Ancestral(Ancestral.Config())
            return self._chosen.prepare(network, known)
