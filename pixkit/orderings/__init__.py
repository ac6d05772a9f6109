"""Which sub-pixels are drawn at which step, and the masks that follow from that."""

from pixkit.orderings.base import Colours, Ordering, OrderingConfig
from pixkit.orderings.known_first import KnownFirst
from pixkit.orderings.masks import MASKS, TapShape
from pixkit.orderings.scans import ORDERINGS, Permutation

__all__ = ["MASKS", "ORDERINGS", "Colours", "KnownFirst", "Ordering", "OrderingConfig", "Permutation", "TapShape"]
