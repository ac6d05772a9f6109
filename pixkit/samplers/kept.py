"""Keeping plans, for networks that are drawn from again and again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable

import torch
from torch import Tensor

from pixkit.network import Autoregressive
from pixkit.readiness.watch import hooked, hooked_everywhere, owned
from pixkit.samplers.auto import Auto
from pixkit.samplers.base import Sampler
from pixkit.samplers.batch import BatchSampler
from pixkit.samplers.cached import Cached

Plans = OrderedDict[Hashable, BatchSampler]
"""What was prepared, by what for, the one used last at the end."""

MOST = 8
"""Plans that are kept; one takes some megabytes."""


class Kept(Sampler):
    """Another sampler, which plans anew only for another ordering, another mask of what is given, or other weights.

    Weights are compared by their bits. For a network with hooks, which may do anything, it plans each time, and so does
    a sampler that is not pixkit's own.

    Args:
        inner: who plans.
        plans: where they are kept, the last `MOST` used.
    """

    def __init__(self, inner: Sampler, plans: Plans) -> None:
        super().__init__(inner.config)
        self.inner, self.plans = inner, plans

    def prepare(self, network: Autoregressive, known: Tensor | None) -> BatchSampler:
        """What was kept, or what the inner sampler prepares."""
        if hooked_everywhere() or hooked(network) or type(self.inner) not in (Auto, Cached):
            return self.inner.prepare(network, known)
        key = (
            type(self.inner),
            self.config.model_dump_json(),
            None if known is None else _bits(known),
            _state(network),
        )
        if key not in self.plans:
            self.plans[key] = self.inner.prepare(network, known)
        self.plans.move_to_end(key)
        while len(self.plans) > MOST:
            self.plans.popitem(last=False)
        return self.plans[key]


def _bits(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _state(network: Autoregressive) -> bytes:
    """What decides what a network computes: its ordering, its modules' classes, all tensors and where they are."""
    digest = hashlib.blake2b(_bits(network.ordering.steps))
    for path, module in network.named_modules():
        digest.update(f"{path}: {type(module)} {id(type(module))}".encode())
        for name, tensor in owned(module, path):
            digest.update(f"{name}: {tensor.dtype} {tensor.device} {tuple(tensor.shape)}".encode())
            digest.update(_bits(tensor))
    return digest.digest()
