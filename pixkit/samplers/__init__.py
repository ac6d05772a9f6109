"""Samplers: how images are drawn from a network."""

from pixkit.components.plugins import registry
from pixkit.errors import UsageError
from pixkit.execution.reference import Progress
from pixkit.samplers.ancestral import Ancestral
from pixkit.samplers.auto import Auto
from pixkit.samplers.base import Sampler
from pixkit.samplers.batch import BatchRequest, BatchSampler, Drawn, check_forward
from pixkit.samplers.cached import Cached
from pixkit.samplers.fixed_point import FixedPoint
from pixkit.samplers.known import Known

SAMPLERS: dict[str, type[Sampler]] = {"auto": Auto, "ancestral": Ancestral, "cached": Cached, "fixed_point": FixedPoint}

__all__ = [
    "SAMPLERS",
    "Ancestral",
    "Auto",
    "BatchRequest",
    "BatchSampler",
    "Cached",
    "Drawn",
    "FixedPoint",
    "Known",
    "Progress",
    "Sampler",
    "check_forward",
    "sampler_for",
]


def sampler_for(name: str | Sampler) -> Sampler:
    """The sampler registered under a name, with its defaults; a sampler is returned unchanged.

    Raises:
        PluginError: if no sampler has that name.
        UsageError: if it is neither.

    Example:
        >>> sampler_for("fixed_point")
        <FixedPoint sampler>
    """
    if isinstance(name, Sampler):
        return name
    if not isinstance(name, str):
        raise UsageError("not a sampler", where="sampler", found=repr(name), expected="a sampler, or the name of one")
    cls = registry().get("sampler", name).cls
    sampler: Sampler = cls(cls.Config())
    return sampler
