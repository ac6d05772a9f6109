"""Check that probabilities sum to 1, and that samples follow them."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.samplers import Ancestral
from pixkit.testing.parts import every_image, same_context


def check_normalised(net: Autoregressive, *, tolerance: float = 1e-10) -> None:
    """Check that the probabilities of all images sum to 1."""
    with torch.no_grad():
        images = every_image(net.spec)
        total = float(net.log_prob(images, same_context(net, len(images))).exp().sum())
    assert abs(total - 1) < tolerance, f"the probabilities of all images sum to {total!r}"


def check_frequencies(numbers: Tensor, probabilities: Tensor) -> None:
    """Check that draws, int64 [n] of 0..N-1, follow the probabilities [N].

    The chi-square statistic (rare outcomes pooled) must be within 6 standard deviations, plus 20, of its mean.
    """
    expected = probabilities.double() * len(numbers)
    observed = torch.bincount(numbers, minlength=len(expected)).double()
    common = expected >= 5
    cells = torch.cat([expected[common], expected[~common].sum()[None]]).clamp_min(1e-9)
    counts = torch.cat([observed[common], observed[~common].sum()[None]])
    statistic, freedom = float(((counts - cells) ** 2 / cells).sum()), len(cells) - 1
    assert statistic < freedom + 6 * (2 * freedom) ** 0.5 + 20, (
        f"samples do not follow the likelihood: chi-square {statistic:.1f} with {freedom} degrees of freedom"
    )


def check_sampling(net: Autoregressive, *, count: int = 4096) -> None:
    """Check that frequencies of ancestral samples follow exp(log_prob), and that splitting a batch changes nothing."""
    sampler = Ancestral(Ancestral.Config())
    drawn = sampler.sample(net, Noise(1, range(count)), context=same_context(net, count))
    again = sampler.sample(net, Noise(1, range(10)), context=same_context(net, 10), batch_size=7)
    assert torch.equal(again, drawn[:10]), "samples depend on how the batch is split"
    with torch.no_grad():
        images = every_image(net.spec)
        probabilities = net.log_prob(images, same_context(net, len(images))).exp()
    check_frequencies(numbered(drawn, net.spec.levels), probabilities)


def numbered(images: Tensor, levels: int) -> Tensor:
    """The number of each image in `every_image`, int64 [B]: its levels as digits, the last one lowest."""
    digits = images.flatten(1)
    return (digits * levels ** torch.arange(digits.shape[1] - 1, -1, -1)).sum(1)
