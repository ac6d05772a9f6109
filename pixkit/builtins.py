"""pixkit's own components, which come through the same door as everybody's."""

from __future__ import annotations

from collections.abc import Mapping

from pixkit.components.hookspecs import hookimpl
from pixkit.components.registry import Registrar
from pixkit.data import SOURCES
from pixkit.heads import HEADS
from pixkit.layers.activations import ACTIVATIONS
from pixkit.models import MODELS
from pixkit.orderings.masks import MASKS
from pixkit.orderings.scans import ORDERINGS
from pixkit.samplers import SAMPLERS
from pixkit.trackers import TRACKERS

pixkit_api_version = 1


@hookimpl
def pixkit_register(registry: Registrar) -> None:
    """Register the core's orderings, masks, heads, samplers, models, data sources, trackers and activations."""
    tables: dict[str, Mapping[str, type]] = {
        "ordering": ORDERINGS,
        "mask": MASKS,
        "head": HEADS,
        "sampler": SAMPLERS,
        "model": MODELS,
        "data": SOURCES,
        "tracker": TRACKERS,
        "activation": ACTIVATIONS,
    }
    for kind, table in tables.items():
        for name, cls in table.items():
            registry.add(kind, name, cls)
