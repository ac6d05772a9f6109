"""The ordering that completes an image exactly: what is given comes first."""

from __future__ import annotations

from torch import Tensor

from pixkit.orderings.base import Ordering


class KnownFirst(Ordering):
    """Another ordering's sequence, in which sites that are given come before the others.

    A site of which some colours are given comes between, the more of them the earlier: with whole sites, nothing that
    is given comes after what is missing.

    Args:
        base: the ordering of what is given, and of what is missing.
        known: bool [C, H, W], what is given.
    """

    def __init__(self, base: Ordering, known: Tensor) -> None:
        sites = base.group_steps[0] // base.groups
        missing = (~known.cpu()).sum(0)
        self._sites = (missing * (int(sites.max()) + 1) + sites).unique(return_inverse=True)[1]
        super().__init__(self.Config(), base.spec, base.colours)

    def site_steps(self, height: int, width: int) -> Tensor:
        """The base's ranks, those of given sites first."""
        out: Tensor = self._sites
        return out
