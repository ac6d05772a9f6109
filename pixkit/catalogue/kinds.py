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
}
"""The base class of each kind of component, by name: it is looked up when a component is registered, since the parts of
pixkit that define the kinds import this one."""
KINDS = tuple(BASES)
