"""Images: where they come from, and how they are made ready for a model."""

from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages
from pixkit.data.dataset import Dataset
from pixkit.data.digits import Digits
from pixkit.data.mnist import FashionMnist, Mnist
from pixkit.data.prepare import prepare

SOURCES: dict[str, type[DataSource]] = {
    "digits": Digits,
    "fashion_mnist": FashionMnist,
    "mnist": Mnist,
}
"""pixkit's own data components, by the names that recipes use."""

__all__ = [
    "SOURCES",
    "DataConfig",
    "DataSource",
    "Dataset",
    "ImageSet",
    "Progress",
    "SourceImages",
    "prepare",
]
