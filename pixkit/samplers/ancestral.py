"""Ancestral sampling: one whole forward pass a step. Slow, simple, and the reference for exactness."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.autoregressive import Autoregressive
from pixkit.noise import Noise
from pixkit.samplers.base import Known, Progress, Sampler


class Ancestral(Sampler):
    """Draw the sub-pixels of step t from p(x_t | x_<t), for t = 0, 1, ..., by a forward pass each."""

    @torch.no_grad()
    def sample(
        self,
        network: Autoregressive,
        noise: Noise,
        *,
        temperature: float = 1.0,
        known: Known | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """See Sampler.sample; progress counts steps."""
        ordering, head = network.ordering, network.head
        reference = next(network.parameters())
        x = torch.zeros(len(noise), *network.spec.shape, dtype=torch.int64, device=reference.device)
        pending = torch.ones(network.spec.shape, dtype=torch.bool)
        if known is not None:
            known.check(network.spec, len(noise))
            x = torch.where(known.mask.to(x.device), known.values.to(x.device), x)
            pending = ~known.mask
        uniforms = noise.uniforms(head.draws, network.spec).to(reference.device, _at_least_float32(reference.dtype))
        for step in range(ordering.count):
            due = (ordering.steps == step) & pending
            if due.any():
                rows, columns = due.any(0).nonzero(as_tuple=True)
                params = network(x)[:, :, rows, columns]
                drawn = head.distribution(params).quantile(uniforms[..., rows, columns], temperature)
                x[:, :, rows, columns] = torch.where(due[:, rows, columns].to(x.device), drawn, x[:, :, rows, columns])
            if progress is not None:
                progress(step + 1, ordering.count)
        return x


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
