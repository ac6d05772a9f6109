"""Output heads."""

from pixkit.heads.base import Head, PixelDistribution
from pixkit.heads.bernoulli import Bernoulli
from pixkit.heads.logistic_mixture import DiscretisedLogisticMixture, LogisticMixture
from pixkit.heads.mixture import MixtureHead, PixelMixture
from pixkit.heads.normal_mixture import DiscretisedNormalMixture, NormalMixture
from pixkit.heads.softmax import LevelCategorical, Softmax

HEADS: dict[str, type[Head]] = {
    "softmax": Softmax,
    "bernoulli": Bernoulli,
    "logistic_mixture": LogisticMixture,
    "normal_mixture": NormalMixture,
}

__all__ = [
    "HEADS",
    "Bernoulli",
    "DiscretisedLogisticMixture",
    "DiscretisedNormalMixture",
    "Head",
    "LevelCategorical",
    "LogisticMixture",
    "MixtureHead",
    "NormalMixture",
    "PixelDistribution",
    "PixelMixture",
    "Softmax",
]
