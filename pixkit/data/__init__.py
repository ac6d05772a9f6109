"""Images: their sources, and their preparation for a model."""

from pixkit.data.arrays import Arrays
from pixkit.data.base import (
    DataConfig,
    DataSource,
    Decoder,
    ImageSet,
    Progress,
    SourceImages,
    bounded,
    hold_out,
    read_whole,
)
from pixkit.data.cifar10 import Cifar10, Cifar100
from pixkit.data.dataset import Dataset
from pixkit.data.digits import Digits
from pixkit.data.idx_set import Idx
from pixkit.data.images import Images
from pixkit.data.memory import Memory
from pixkit.data.mnist import FashionMnist, Mnist
from pixkit.data.one_image import OneImage
from pixkit.data.prepare import prepare
from pixkit.data.static_mnist import StaticMnist
from pixkit.data.synthetic import Synthetic

SOURCES: dict[str, type[DataSource]] = {
    "arrays": Arrays,
    "cifar10": Cifar10,
    "cifar100": Cifar100,
    "digits": Digits,
    "fashion_mnist": FashionMnist,
    "idx": Idx,
    "images": Images,
    "memory": Memory,
    "mnist": Mnist,
    "one_image": OneImage,
    "static_mnist": StaticMnist,
    "synthetic": Synthetic,
}
"""pixkit's own data components, by the names that recipes use."""

__all__ = [
    "SOURCES",
    "Arrays",
    "DataConfig",
    "DataSource",
    "Dataset",
    "Decoder",
    "ImageSet",
    "Progress",
    "SourceImages",
    "bounded",
    "hold_out",
    "prepare",
    "read_whole",
]
