"""pixkit's own components, registered like those of any plugin."""

from __future__ import annotations

from collections.abc import Mapping

from pixkit.backbones.arrays import CONDITIONERS
from pixkit.backbones.encodings import ENCODINGS
from pixkit.components.hookspecs import hookimpl
from pixkit.components.registry import Registrar
from pixkit.data import SOURCES
from pixkit.heads import HEADS
from pixkit.layers.activations import ACTIVATIONS
from pixkit.layers.initialisers import INITIALISERS
from pixkit.layers.pointwise import NORMS
from pixkit.models import MODELS
from pixkit.optimisers import OPTIMISERS, SCHEDULES
from pixkit.orderings.masks import MASKS
from pixkit.orderings.scans import ORDERINGS
from pixkit.samplers import SAMPLERS
from pixkit.trackers import TRACKERS

pixkit_api_version = 1


@hookimpl
def pixkit_register(registry: Registrar) -> None:
    """Register the core's components of every kind but backbones."""
    tables: dict[str, Mapping[str, type]] = {
        "ordering": ORDERINGS,
        "mask": MASKS,
        "head": HEADS,
        "sampler": SAMPLERS,
        "model": MODELS,
        "data": SOURCES,
        "tracker": TRACKERS,
        "activation": ACTIVATIONS,
        "norm": NORMS,
        "initialiser": INITIALISERS,
        "encoding": ENCODINGS,
        "optimiser": OPTIMISERS,
        "schedule": SCHEDULES,
        "conditioner": CONDITIONERS,
    }
    for kind, table in tables.items():
        for name, cls in table.items():
            registry.add(kind, name, cls)
