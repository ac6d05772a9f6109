"""The discretised mixture of logistics."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.heads.mixture import MixtureHead, PixelMixture


class DiscretisedLogisticMixture(PixelMixture):
    """A mixture of logistics, of location mu and scale exp(s), on levels (Salimans et al., 2017, arXiv 1701.05517).

    With F = sigmoid, a bin's mass is F(a) - F(b), where a and b are its upper and lower end less the location, in
    scales, and a - b = i, the bin's width. Since F(a) - F(b) = F(a) F(-b) (1 - exp(b - a)),

        log P = log F(a) + log F(-b) + log(-expm1(-i))

    exactly, and only log F(a) or log F(-b) at the edges (P = F(a) and P = 1 - F(b)). Nothing cancels, so there is no
    threshold below which the density replaces the mass (as in the paper's own code, whose sum differs from 1 by 1e-5).

    Example:
        >>> logits = torch.zeros(1, 1, 1)  # one component, one site
        >>> means, log_scales = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), -1.0)
        >>> pixels = DiscretisedLogisticMixture(logits, means, log_scales, torch.zeros(1, 1, 0, 1), levels=5)
        >>> pixels.level_log_probs().exp().flatten()
        tensor([0.1152, 0.2212, 0.3273, 0.2212, 0.1152])
    """

    def log_mass(self, level: Tensor, centre: Tensor, width: Tensor) -> Tensor:
        """See PixelMixture."""
        first, last = level == 0, level == self.levels - 1
        upper = F.logsigmoid((level + 0.5 - centre) * width).masked_fill(last, 0)
        lower = F.logsigmoid((centre - (level - 0.5)) * width).masked_fill(first, 0)
        return upper + lower + torch.where(first | last, 0, torch.log(-torch.expm1(-width)))

    @staticmethod
    def standard_quantile(uniforms: Tensor) -> Tensor:
        """log(u / (1 - u))."""
        return uniforms.logit()


class LogisticMixture(MixtureHead):
    """A mixture of discretised logistics, the colours of a site coupled (arXiv 1701.05517, section 2 and equation 3).

    Nearby levels have similar probabilities, with a fraction of the softmax's parameters, for any number of channels
    and levels. Scales are those of the logistic, whose deviation is pi/sqrt(3) of its scale.

    Example:
        >>> spec = pixkit.ImageSpec(3, 4, 4, levels=256)
        >>> order = pixkit.component("ordering", "raster", colours="joint").build(spec, "joint")
        >>> head = pixkit.component("head", "logistic_mixture", components=5).build(spec, order)
        >>> head.maps  # 5 (1 + 3 + 3 + 3); a softmax has 768
        50
        >>> pixels = head.distribution(torch.zeros(2, head.maps, 4, 4))
        >>> pixels.sample().shape
        torch.Size([2, 3, 4, 4])
    """

    mixture = DiscretisedLogisticMixture
    unit_deviation = math.pi / math.sqrt(3)
