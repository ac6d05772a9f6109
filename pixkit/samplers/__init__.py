"""Samplers."""

from pixkit.plugins import registry
from pixkit.samplers.ancestral import Ancestral
from pixkit.samplers.auto import Auto
from pixkit.samplers.base import Known, Sampler
from pixkit.samplers.cached import Cached

SAMPLERS: dict[str, type[Sampler]] = {"auto": Auto, "ancestral": Ancestral, "cached": Cached}

__all__ = ["SAMPLERS", "Ancestral", "Auto", "Cached", "Known", "Sampler", "sampler_for"]


def sampler_for(name: str) -> Sampler:
    """The sampler of a registered name, with its defaults.

    Raises:
        PluginError: if there is none of that name.
    """
    cls = registry().get("sampler", name).cls
    sampler: Sampler = cls(cls.Config())
    return sampler
