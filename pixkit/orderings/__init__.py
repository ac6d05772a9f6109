"""The steps at which sub-pixels are drawn, and the masks that follow from them."""

from pixkit.orderings.base import Colours, Ordering, OrderingConfig
from pixkit.orderings.drawing import as_text
from pixkit.orderings.known_first import KnownFirst
from pixkit.orderings.masks import MASKS, MaskType, TapShape, kernel_mask, site_masks
from pixkit.orderings.scans import ORDERINGS, Permutation

__all__ = [
    "MASKS",
    "ORDERINGS",
    "Colours",
    "KnownFirst",
    "MaskType",
    "Ordering",
    "OrderingConfig",
    "Permutation",
    "TapShape",
    "as_text",
    "kernel_mask",
    "site_masks",
]
