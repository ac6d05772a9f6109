"""The discretised mixture of normals."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pixkit.heads.mixture import MixtureHead, PixelMixture


class DiscretisedNormalMixture(PixelMixture):
    """A mixture of normals, of mean mu and deviation exp(s), on levels.

    A bin of width i (in deviations) whose middle is c from the mean has the mass Phi(c + i/2) - Phi(c - i/2), equal to
    that of the bin at -c. On the side c <= 0, with L = log Phi,

        log P = L(i/2 - |c|) + log(1 - exp(L(-i/2 - |c|) - L(i/2 - |c|)))

    and no tail is computed as a difference from 1. At the edges log P is just L(c + i/2) or L(i/2 - c). Because the two
    L are subtracted, the computation is in float64; the result has the parameters' precision.

    Example:
        >>> logits = torch.zeros(1, 1, 1)  # one component, one site
        >>> means, log_scales = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), -1.0)
        >>> pixels = DiscretisedNormalMixture(logits, means, log_scales, torch.zeros(1, 1, 0, 1), levels=5)
        >>> pixels.level_log_probs().exp().flatten()
        tensor([0.0207, 0.2276, 0.5032, 0.2276, 0.0207])
    """

    def log_mass(self, level: Tensor, centre: Tensor, width: Tensor) -> Tensor:
        """See PixelMixture."""
        first, edge = level == 0, (level == 0) | (level == self.levels - 1)
        middle, half = (level - centre.double()) * width.double(), width.double() / 2
        tail = -middle.abs()
        near = log_ndtr(half + torch.where(edge, torch.where(first, middle, -middle), tail))
        gap = torch.where(edge, 1, near - log_ndtr(tail - half))
        return torch.where(edge, near, near + torch.log(-torch.expm1(-gap))).to(centre)

    @staticmethod
    def standard_quantile(uniforms: Tensor) -> Tensor:
        """The inverse of Phi."""
        out: Tensor = torch.special.ndtri(uniforms)
        return out


class NormalMixture(MixtureHead):
    """A mixture of discretised normals, the colours of a site coupled.

    Like `logistic_mixture`, with the lighter tails of the normal density; scales are standard deviations.

    Example:
        >>> spec = pixkit.ImageSpec(1, 4, 4, levels=256)
        >>> order = pixkit.component("ordering", "raster").build(spec, "joint")
        >>> head = pixkit.component("head", "normal_mixture", components=5).build(spec, order)
        >>> head.maps  # 5 (1 + 1 + 1)
        15
        >>> head.distribution(torch.zeros(2, head.maps, 4, 4)).sample().shape
        torch.Size([2, 1, 4, 4])
    """

    mixture = DiscretisedNormalMixture
    unit_deviation = 1.0


def log_ndtr(x: Tensor) -> Tensor:
    """log Phi(x), with finite and accurate gradients for any x.

    torch.special.log_ndtr has the same values, but the gradient exp(-x^2/2 - log Phi(x)), which cancels for x << -1e4:
    0.4 at -1e9, where it is 1e9. Here, for x < -1, Phi(x) = exp(-x^2/2) erfcx(-x / sqrt 2) / 2. Each side of the
    `where` is clamped away from the other side's values.
    """
    low, high = x.clamp(max=-1), x.clamp(min=-1)
    tail = torch.log(torch.special.erfcx(-low / math.sqrt(2)) / 2) - low.square() / 2
    body = torch.log1p(-torch.special.erfc(high / math.sqrt(2)) / 2)
    return torch.where(x < -1, tail, body)
