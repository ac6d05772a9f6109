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
"""The base class of each kind of component, by name: it is looked up when a component is registered, since the parts of
pixkit that define the kinds import this one."""
KINDS = tuple(BASES)
BARE = frozenset({"activation", "norm", "initialiser", "encoding"})
"""Kinds of which recipes, locks among them, write a component without keys as its name only: `activation: relu`, not
`activation: {type: relu}`, though they may say either."""


def one_of(kind: str) -> str:
    """A kind with its article: "a head", "an ordering"."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
