"""Samplers."""

from pixkit.plugins import registry
from pixkit.samplers.ancestral import Ancestral
from pixkit.samplers.base import Known, Sampler

SAMPLERS: dict[str, type[Sampler]] = {"ancestral": Ancestral}

__all__ = ["SAMPLERS", "Ancestral", "Known", "Sampler", "sampler_for"]


def sampler_for(name: str) -> Sampler:
    """The sampler of a registered name; `auto` is the fastest exact one.

    Raises:
        PluginError: if there is none of that name.
    """
    cls = registry().get("sampler", "ancestral" if name == "auto" else name).cls
    sampler: Sampler = cls(cls.Config())
    return sampler
