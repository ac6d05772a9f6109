"""Mixtures of several distributions over images, equally likely: of orderings, or of classes."""

from __future__ import annotations

import math

from torch import Tensor


def mixed(log_probs: Tensor) -> Tensor:
    """log of the mean over n distributions of p_o(x), nats: [n, B] to [B]."""
    return log_probs.logsumexp(0) - math.log(len(log_probs))


def mixed_sites(log_probs: Tensor, sites: Tensor) -> Tensor:
    """Each site's share of the mixture's -log p(x), nats [B, H, W]; shares sum to it.

        -log p(x) = sum over o of w_o (-log p_o(x)) + sum over o of w_o log(n w_o),   w_o = p(o | x)

    The first sum is also a sum over sites. The second, the Kullback-Leibler divergence of w from uniform weights, is
    the information that the image gives about o; it is at most log n, belongs to no site, and is spread evenly.

    Args:
        log_probs: log p_o(x), [n, B].
        sites: the shares of -log p_o(x), [n, B, H, W].
    """
    log_weights = log_probs.log_softmax(0)
    weights = log_weights.exp()
    told = (weights * (log_weights + math.log(len(weights)))).sum(0)
    shared = (weights[..., None, None] * sites).sum(0)
    return shared + (told / shared[0].numel())[:, None, None]
