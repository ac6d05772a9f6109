"""Scoring images in batches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from pixkit.samplers.batch import check_batch_size

MOST = 256
"""Images at a time by default, to save memory."""


def records_gradients(module: nn.Module) -> bool:
    """Whether a module's results can now be differentiated with respect to its parameters."""
    return torch.is_grad_enabled() and any(parameter.requires_grad for parameter in module.parameters())


def batches(module: nn.Module, images: int, batch_size: int | None, most: int = MOST) -> Iterator[slice]:
    """The slices of images that go through a module together; at least one, which may be empty.

    Args:
        module: the module.
        images: the number of images.
        batch_size: images at a time; by default `most`, or all of them where gradients are recorded: batches would not
            save memory then, since backward() needs the activations of all.
        most: the default number of images at a time, to save memory.

    Raises:
        UsageError: for a batch size below 1.
    """
    if batch_size is not None:
        check_batch_size(batch_size)
    size = batch_size or (max(images, 1) if records_gradients(module) else most)
    for start in range(0, max(images, 1), size):
        yield slice(start, start + size)
