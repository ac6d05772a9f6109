"""Names and lookup of components, and the loading of plugins."""

from pixkit.catalogue.kinds import KINDS
from pixkit.components.config import ComponentConfig
from pixkit.components.hookspecs import API_VERSION, hookimpl
from pixkit.components.plugins import PluginInfo, Plugins, plugins, registry
from pixkit.components.registry import Registrar, Registry
from pixkit.components.spec import (
    ActivationRef,
    BackboneRef,
    ComponentSpec,
    DataRef,
    EncodingRef,
    Entry,
    HeadRef,
    InitialiserRef,
    MaskRef,
    ModelRef,
    NormRef,
    OptimiserRef,
    OrderingRef,
    SamplerRef,
    ScheduleRef,
    TrackerRef,
)

__all__ = [
    "API_VERSION",
    "KINDS",
    "ActivationRef",
    "BackboneRef",
    "ComponentConfig",
    "ComponentSpec",
    "DataRef",
    "EncodingRef",
    "Entry",
    "HeadRef",
    "InitialiserRef",
    "MaskRef",
    "ModelRef",
    "NormRef",
    "OptimiserRef",
    "OrderingRef",
    "PluginInfo",
    "Plugins",
    "Registrar",
    "Registry",
    "SamplerRef",
    "ScheduleRef",
    "TrackerRef",
    "hookimpl",
    "plugins",
    "registry",
]
