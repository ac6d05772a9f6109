"""The ordering that completes an image exactly: known sub-pixels come first."""

from __future__ import annotations

from torch import Tensor

from pixkit.orderings.base import Ordering


class KnownFirst(Ordering):
    """Another ordering with the known sites moved to the front.

    A site with only some known colours comes in between, earlier the more it has: if sites are known or missing as a
    whole, no known sub-pixel comes after a missing one.

    Args:
        base: the ordering of the known sites and of the missing ones.
        known: bool [C, H, W], the sub-pixels that are known.

    Example:
        >>> raster = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 3, 4, 8))
        >>> known = torch.zeros(1, 3, 4, dtype=torch.bool)
        >>> known[:, :, 2:] = True  # the right half
        >>> print(as_text(KnownFirst(raster, known).steps[0]))
         6  7  0  1
         8  9  2  3
        10 11  4  5
    """

    def __init__(self, base: Ordering, known: Tensor) -> None:
        sites = base.group_steps[0] // base.groups
        missing = (~known.cpu()).sum(0)
        self._sites = (missing * (int(sites.max()) + 1) + sites).unique(return_inverse=True)[1]
        super().__init__(self.Config(), base.spec, base.colours)

    def site_steps(self, height: int, width: int) -> Tensor:
        """The base's ranks, known sites first."""
        out: Tensor = self._sites
        return out
