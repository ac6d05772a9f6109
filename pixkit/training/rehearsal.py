"""Running a model's losses to learn something, without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pixkit.layers.modes import evaluating
from pixkit.models.base import Model
from pixkit.randomness import isolated_rng


@contextmanager
def rehearsing(model: Model, device: torch.device) -> Iterator[None]:
    """Training mode for a while; on leaving, modes, buffers and torch's generators are as they were.

    Weights and their gradients are the caller's to leave alone.
    """
    before = {name: value.clone() for name, value in model.named_buffers()}
    with isolated_rng(device), evaluating(model):
        model.train()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in model.named_buffers():
                    value.copy_(before[name])
