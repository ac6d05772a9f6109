"""Tell the codes of images from draws of the prior."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import pixkit


class DiscriminatorConfig(pixkit.ComponentConfig):
    """Sizes of a discriminator."""

    hidden: int = Field(default=256, ge=1, le=65536)
    """Units of each hidden layer."""
    layers: int = Field(default=2, ge=1, le=16)
    """Hidden layers."""


class Discriminator(nn.Module):
    """Linear layers with leaky ReLUs (slope 0.2): codes [B, D] to logits [B], positive for codes like the prior's.

    Args:
        size: D.
        config: sizes.
    """

    def __init__(self, size: int, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.body = nn.Sequential()
        for _ in range(config.layers):
            self.body.extend([nn.Linear(size, config.hidden), nn.LeakyReLU(0.2)])
            size = config.hidden
        self.body.append(nn.Linear(size, 1))

    def forward(self, code: Tensor) -> Tensor:
        """float32 or wider, also under autocast."""
        logits = self.body(code).squeeze(1)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))


def draw_prior(code: str, like: Tensor) -> Tensor:
    """Draw as many codes from a prior as `like`, [B, D], has rows, with torch's generator.

    'gaussian': N(0, I). 'categorical': one of the D one-hot vectors, with equal probability.
    """
    if code == "gaussian":
        return torch.randn_like(like)
    count, size = like.shape
    return F.one_hot(torch.randint(size, (count,), device=like.device), size).to(like)


def telling_loss(drawn: Tensor, found: Tensor) -> Tensor:
    """Cross-entropy of the discriminator, nats, a scalar; 0.69 if it only guesses.

    Args:
        drawn: logits of the prior's codes, [B].
        found: logits of images' codes, [B].
    """
    return (F.softplus(-drawn).mean() + F.softplus(found).mean()) / 2


def fooling_loss(found: Tensor) -> Tensor:
    """The encoder's loss, nats, a scalar: the mean of -log D (not log(1 - D), whose slope is 0 when D is sure)."""
    return F.softplus(-found).mean()


def accuracy(drawn: Tensor, found: Tensor) -> Tensor:
    """For each pair, the share that the discriminator gets right, [B]: 0, 1/2 or 1. A logit of 0 counts as prior."""
    return ((drawn >= 0).to(drawn) + (found < 0).to(found)) / 2
