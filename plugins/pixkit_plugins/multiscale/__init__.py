"""Parallel multiscale models (Reed et al., 2017, arXiv 1703.03664): the ordering and the backbone."""

from __future__ import annotations

import pixkit
from pixkit_plugins.multiscale.backbone import Multiscale
from pixkit_plugins.multiscale.ordering import MultiscaleOrdering

pixkit_api_version = 1

__all__ = ["Multiscale", "MultiscaleOrdering", "pixkit_register"]


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    """Register both."""
    registry.add("ordering", "multiscale", MultiscaleOrdering)
    registry.add("backbone", "multiscale", Multiscale)
