"""The kinds of components."""

from __future__ import annotations

BASES = {
    "ordering": "pixkit.orderings.base:Ordering",
    "mask": "pixkit.orderings.masks:TapShape",
    "backbone": "pixkit.backbones.base:Backbone",
    "head": "pixkit.heads.base:Head",
    "sampler": "pixkit.samplers.base:Sampler",
    "model": "pixkit.models.base:Model",
    "data": "pixkit.data.base:DataSource",
    "tracker": "pixkit.trackers.base:Tracker",
    "activation": "pixkit.layers.activations:Activation",
    "norm": "pixkit.layers.pointwise:Norm",
    "initialiser": "pixkit.layers.initialisers:Initialiser",
    "encoding": "pixkit.backbones.encodings:Encoding",
    "optimiser": "pixkit.optimisers.base:Optimiser",
    "schedule": "pixkit.optimisers.schedules:Schedule",
    "conditioner": "pixkit.backbones.arrays:ArrayConditioner",
}
"""The base class of each kind, as a name: the modules that define these classes import this one, so it is resolved
when a component is registered."""
KINDS = tuple(BASES)
BARE = frozenset({"activation", "norm", "initialiser", "encoding"})
"""Kinds whose components are dumped as a bare name if they have no keys: `activation: relu`, not
`activation: {type: relu}`. Recipes may contain either."""


def one_of(kind: str) -> str:
    """A kind with its article: "a head", "an ordering"."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
