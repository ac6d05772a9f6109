"""Discretised mixtures by their definition: plain floats and loops, the mixture outermost."""

import itertools
import math
import random
from dataclasses import dataclass

import torch

from pixkit.testing import named


def logistic_cdf(x):
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def normal_cdf(x):
    return math.erfc(-x / math.sqrt(2)) / 2


CDFS = {"logistic_mixture": logistic_cdf, "normal_mixture": normal_cdf}
HEADS = list(CDFS)


def number(level, levels):
    return 2 * level / (levels - 1) - 1


def mass(cdf, level, location, scale, levels):
    """Of the density between the middles to the next levels; beyond the edges there is no next level."""
    half = 1 / (levels - 1)
    above = 1.0 if level == levels - 1 else cdf((number(level, levels) + half - location) / scale)
    below = 0.0 if level == 0 else cdf((number(level, levels) - half - location) / scale)
    return above - below


@dataclass
class Mixture:
    """One site: weights[k], means[k][c], scales[k][c], couplings[k][c, j]."""

    cdf: object
    levels: int
    channels: int
    weights: list
    means: list
    scales: list
    couplings: list

    def location(self, k, c, colours):
        return self.means[k][c] + sum(self.couplings[k][c, j] * number(colours[j], self.levels) for j in range(c))

    def component(self, k, colours):
        """The probability of the colours under component k."""
        return math.prod(
            mass(self.cdf, level, self.location(k, c, colours), self.scales[k][c], self.levels)
            for c, level in enumerate(colours)
        )

    def probability(self, colours):
        return sum(weight * self.component(k, colours) for k, weight in enumerate(self.weights))

    def table(self):
        every = itertools.product(range(self.levels), repeat=self.channels)
        return {colours: self.probability(colours) for colours in every}

    def maps(self, dtype=torch.float64):
        """As a head's parameters, [1, P, 1, 1]."""
        values = [math.log(weight) + 0.7 for weight in self.weights]
        values += [mean for row in self.means for mean in row]
        values += [math.log(scale) for row in self.scales for scale in row]
        for row in self.couplings:
            values += [math.atanh(row[c, j]) for c in range(self.channels) for j in range(c)]
        return torch.tensor(values, dtype=dtype).view(1, -1, 1, 1)


def random_mixture(name, channels, levels, components, seed=0):
    rng = random.Random(seed)
    shares = [rng.uniform(0.2, 1) for _ in range(components)]
    each = range(components)
    pairs = [(c, j) for c in range(channels) for j in range(c)]
    return Mixture(
        CDFS[name],
        levels,
        channels,
        [share / sum(shares) for share in shares],
        [[rng.uniform(-1.2, 1.2) for _ in range(channels)] for _ in each],
        [[math.exp(rng.uniform(-2, 0.5)) for _ in range(channels)] for _ in each],
        [{pair: rng.uniform(-0.9, 0.9) for pair in pairs} for _ in each],
    )


def head_of(name, spec, **config):
    chosen = named("head", name, **config)
    return chosen.build(spec, named("ordering", "raster").build(spec, chosen.cls.colours(chosen.config, spec)[0]))
