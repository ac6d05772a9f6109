"""Ancestral sampling: one whole forward pass a step. Slow, simple, and the reference for exactness."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from pixkit.network import Autoregressive
from pixkit.samplers.base import Draw, Request, Sampler, noise_dtype


class Ancestral(Sampler):
    """Draw the sub-pixels of step t from p(x_t | x_<t), for t = 0, 1, ..., by a forward pass each."""

    def prepare(self, network: Autoregressive, known: Tensor | None) -> Draw:
        """Nothing to prepare."""
        return functools.partial(_draw, network)


def _draw(network: Autoregressive, request: Request) -> Tensor:
    noise, known, progress = request.noise, request.known, request.progress
    ordering, head = network.ordering, network.head
    reference = next(network.parameters())
    x = torch.zeros(len(noise), *network.spec.shape, dtype=torch.int64, device=reference.device)
    pending = torch.ones(network.spec.shape, dtype=torch.bool)
    if known is not None:
        x = torch.where(known.mask.to(x.device), known.values.to(x.device), x)
        pending = ~known.mask
    uniforms = noise.uniforms(head.draws, network.spec).to(reference.device, noise_dtype(reference.dtype))
    for step in range(ordering.count):
        due = (ordering.steps == step) & pending
        if due.any():
            rows, columns = due.any(0).nonzero(as_tuple=True)
            params = network(x, request.context)[:, :, rows, columns]
            drawn = head.distribution(params).quantile(uniforms[..., rows, columns], request.temperature)
            x[:, :, rows, columns] = torch.where(due[:, rows, columns].to(x.device), drawn, x[:, :, rows, columns])
        if progress is not None:
            progress(step + 1, ordering.count)
    return x
