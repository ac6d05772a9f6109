"""Ancestral sampling: one whole forward pass per step. Slow, simple, and the reference for exactness."""

from __future__ import annotations

import functools

from torch import Tensor

from pixkit.network import Autoregressive
from pixkit.samplers.base import Sampler
from pixkit.samplers.batch import BatchRequest, BatchSampler, check_forward


class Ancestral(Sampler):
    """Draw the sub-pixels of step t from p(x_t | x_<t), for t = 0, 1, ..., with one forward pass per step.

    Example:
        >>> model = pixkit.build_model("digits-pixelcnn")  # untrained
        >>> model.sample(2, sampler=pixkit.component("sampler", "ancestral").build()).shape
        torch.Size([2, 1, 8, 8])
    """

    def prepare(self, network: Autoregressive, known: Tensor | None) -> BatchSampler:
        """Nothing to prepare."""
        return functools.partial(_draw, network)


def _draw(network: Autoregressive, request: BatchRequest) -> Tensor:
    check_forward(network, len(request.noise))
    ordering, progress = network.ordering, request.progress
    uniforms = network.uniforms(request.noise)
    x, pending = request.start(network)
    for step in range(ordering.count):
        due = (ordering.steps == step) & pending
        if due.any():
            rows, columns = due.any(0).nonzero(as_tuple=True)
            params = network(x, request.context)[:, :, rows, columns]
            here = x[:, :, rows, columns], due[:, rows, columns]
            x[:, :, rows, columns] = network.fill(*here, params, uniforms[..., rows, columns], request.temperature)
        if progress is not None:
            progress(step + 1, ordering.count)
    return x
