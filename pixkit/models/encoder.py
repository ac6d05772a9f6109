"""Convolutional encoders of whole images, with an optional penalty that makes their activations sparse."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pixkit.backbones.encodings import InputConfig, encoding
from pixkit.components.config import ComponentConfig
from pixkit.components.spec import ComponentSpec
from pixkit.image import ImageSpec


class SparsityConfig(ComponentConfig):
    """A penalty on the encoder's last hidden layer, a_j for unit j; it is not part of any bound.

        l1    weight * sum over j of |a_j|, averaged over images; a is a ReLU's
        kl    weight * sum over j of KL(Bernoulli(target) || Bernoulli(mean of a_j over images)); a is a sigmoid's
              (Ng, 2011, CS294A lecture notes, section 3)

    On a grid, means over images are also over sites.
    """

    type: Literal["l1", "kl"] = "l1"
    """The kind of penalty."""
    weight: float = Field(default=1e-3, ge=0)
    """Its weight, in nats per image."""
    target: float = Field(default=0.05, gt=0, lt=1)
    """The fraction of images for which a unit should be on, under `kl`."""

    def penalty(self, activations: Tensor) -> Tensor:
        """Nats, a scalar, of activations [B, units, ...]."""
        units = activations.float().transpose(0, 1).flatten(1)
        if self.type == "l1":
            return self.weight * units.abs().mean(1).sum()
        rate = units.mean(1).clamp(1e-6, 1 - 1e-6)
        on, off = self.target * (self.target / rate).log(), (1 - self.target) * ((1 - self.target) / (1 - rate)).log()
        return self.weight * (on + off).sum()


class EncoderConfig(ComponentConfig):
    """Sizes of an encoder."""

    width: int = Field(default=32, ge=1, le=4096)
    """Maps of the first layer; doubled at each halving, up to four times as many."""
    hidden: int = Field(default=256, ge=1, le=65536)
    """Units of the last hidden layer."""
    sparsity: SparsityConfig | None = None
    """Penalty on that layer."""


class Encoder(nn.Module):
    """Strided convolutions: int64 [B, C, H, W] to ([B, outputs] or [B, outputs, h, w], the hidden layer's activations).

    A 3x3 layer, and for each halving of the sides (rounded up) a 3x3 layer of stride 2 and another 3x3 layer, all
    followed by ELU. Then the hidden layer: of all sites together for a vector, 1x1 for a grid.

    Args:
        spec: the images.
        inputs: how levels enter.
        config: sizes.
        outputs: the number of outputs for each image, or for each site of the grid.
        halvings: the number of halvings of the sides; None for a vector, with halvings until no side exceeds 4.
    """

    def __init__(
        self,
        spec: ImageSpec,
        inputs: ComponentSpec | InputConfig,
        config: EncoderConfig,
        outputs: int,
        halvings: int | None = None,
    ) -> None:
        super().__init__()
        self.encoding, self.sparsity = encoding(inputs, spec), config.sparsity
        times = max(halvings_to(side, 4) for side in (spec.height, spec.width)) if halvings is None else halvings
        width = config.width
        self.trunk = nn.Sequential(nn.Conv2d(self.encoding.maps, width, 3, padding=1), nn.ELU())
        for number in range(times):
            before, width = width, config.width * min(2 ** (number + 1), 4)
            self.trunk.extend([nn.Conv2d(before, width, 3, stride=2, padding=1), nn.ELU()])
            self.trunk.extend([nn.Conv2d(width, width, 3, padding=1), nn.ELU()])
        activation = _ACTIVATIONS[None if config.sparsity is None else config.sparsity.type]()
        if halvings is None:
            flat = width * halved(spec.height, times) * halved(spec.width, times)
            self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(flat, config.hidden), activation)
            self.last: nn.Module = nn.Linear(config.hidden, outputs)
        else:
            self.hidden = nn.Sequential(nn.Conv2d(width, config.hidden, 1), activation)
            self.last = nn.Conv2d(config.hidden, outputs, 1)

    def forward(self, x: Tensor, noise: float = 0.0) -> tuple[Tensor, Tensor]:
        """The outputs, and the activations of the hidden layer, for `penalty`.

        Args:
            x: int64 [B, C, H, W].
            noise: deviation of Gaussian noise added to the encoded levels, from torch's generator.
        """
        entered = self.encoding(x)
        if noise:
            entered = entered + noise * torch.randn_like(entered)
        activations = self.hidden(self.trunk(entered))
        return self.last(activations), activations

    def penalty(self, activations: Tensor) -> Tensor:
        """The penalty on these activations, a scalar in nats; 0 without sparsity."""
        return activations.new_zeros(()) if self.sparsity is None else self.sparsity.penalty(activations)


_ACTIVATIONS: dict[str | None, type[nn.Module]] = {None: nn.ELU, "l1": nn.ReLU, "kl": nn.Sigmoid}


def halved(side: int, times: int) -> int:
    """A side halved `times` times, rounded up."""
    out: int = -(-side // 2**times)
    return out


def halvings_to(side: int, largest: int) -> int:
    """The number of halvings after which a side does not exceed `largest`."""
    return max(0, math.ceil(math.log2(side / largest)))


def split_gaussian(outputs: Tensor) -> torch.distributions.Normal:
    """The d Gaussians of d means followed by d log-scales, [B, 2 d, ...]; log-scales are clamped to -7..7."""
    mean, log_scale = outputs.to(torch.promote_types(outputs.dtype, torch.float32)).chunk(2, 1)
    return torch.distributions.Normal(mean, log_scale.clamp(-7, 7).exp(), validate_args=False)


def draw_by_number(posterior: torch.distributions.Normal, numbers: Tensor) -> Tensor:
    """A draw of each image's Gaussian, [B, d, ...], from torch's generator; images of one number have the same noise.

    `numbers` are `Batch.indices`, int64 [B]. Where all differ this is `posterior.rsample()`.
    """
    kinds, places = numbers.unique(return_inverse=True)
    if len(kinds) == len(numbers):
        return posterior.rsample()
    like = posterior.mean[: len(kinds)]
    noise = torch.distributions.Normal(torch.zeros_like(like), torch.ones_like(like), validate_args=False).rsample()
    return posterior.mean + noise[places] * posterior.stddev
