"""Output heads."""

from pixkit.heads.base import Head, PixelDistribution
from pixkit.heads.softmax import LevelCategorical, Softmax

__all__ = ["Head", "LevelCategorical", "PixelDistribution", "Softmax"]
