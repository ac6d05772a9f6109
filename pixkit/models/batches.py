"""How many images are scored at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from pixkit.samplers.batch import check_batch_size


def records_gradients(module: nn.Module) -> bool:
    """Whether what a module computes now can be differentiated by its parameters."""
    return torch.is_grad_enabled() and any(parameter.requires_grad for parameter in module.parameters())


def batches(module: nn.Module, images: int, batch_size: int | None, most: int) -> Iterator[slice]:
    """Which images are put through a module together; at least one batch, which may be empty.

    Args:
        module: what they are put through.
        images: how many there are.
        batch_size: at a time. Left out, `most`; but all of them where gradients are recorded: batches would save no
            memory then, since backward() needs what all of them left behind.
        most: at a time, to save memory.

    Raises:
        UsageError: for a batch size below 1.
    """
    if batch_size is not None:
        check_batch_size(batch_size)
    size = batch_size or (max(images, 1) if records_gradients(module) else most)
    for start in range(0, max(images, 1), size):
        yield slice(start, start + size)
