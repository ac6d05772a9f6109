"""Support for models written for pixkit 0.1.

In 0.1 a model overrode `sample`, with all its keywords, where it now implements `draw`; a latent model that changed how
codes are decoded overrode `decode`; and a capability showed in a method that did not raise. When such a class is
created, it is recognised by this and given what `Model` requires now; if it overrides one of the two methods, it warns
when it is constructed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor

from pixkit.models.request import SampleRequest
from pixkit.noise import Noise
from pixkit.samplers import Drawn
from pixkit.samplers.deprecated import as_written, more_derived

SHOWN_BY = {"importance": "importance_sampled", "completing": "completes", "no_label": "guidable"}
"""The methods that show a capability."""

INSTEAD = {
    "overrides sample": "implement draw(request)",
    "overrides decode": "override draw_from, which gives images and a summary",
}
"""The replacement."""


def adapt(cls: Any, base: Any) -> None:
    """Give a class written for 0.1 what `base`, Model, requires now; leave any other as it is."""
    own = vars(cls)
    for method, capability in SHOWN_BY.items():
        if method in own and getattr(cls, capability) is False:
            setattr(cls, capability, True)
    if more_derived(cls, "decode", "draw_from", _draw_from_by_decode):
        cls.former = "overrides decode"
        cls.draw_from = _draw_from_by_decode
    if more_derived(cls, "sample", "draw", _draw_by_sample):
        cls.former = "overrides sample"
        if getattr(cls.draw, "__isabstractmethod__", False):
            cls.resolve_context = _context_as_given
            cls.check_known = _as_given
        cls.draw = _draw_by_sample
    elif cls.sample is not base.sample:
        cls.sample = base.sample  # a class of today, derived from one of 0.1


def warn(model: Any) -> None:
    """Warn that a model's class was adapted."""
    warnings.warn(
        f"{type(model).__name__} is written for pixkit 0.1, since it {model.former}: {INSTEAD[model.former]}",
        DeprecationWarning,
        stacklevel=3,
    )


def draw_of(model: Any) -> Callable[[SampleRequest], Drawn]:
    """A model's `draw`, for `sample`, which one of 0.1 overrides and calls."""
    return as_written(model, "draw", _draw_by_sample)


def draw_from_of(model: Any) -> Callable[..., Drawn]:
    """A latent model's `draw_from`, for `decode`, which one of 0.1 overrides and calls."""
    return as_written(model, "draw_from", _draw_from_by_decode)


def _draw_by_sample(self: Any, request: SampleRequest) -> Drawn:
    """`draw` of a class that overrides `sample`."""
    numbers = request.noise.images
    images = self.sample(
        len(request),
        seed=request.noise.seed,
        temperature=request.temperature,
        sampler=request.sampler,
        batch_size=request.batch_size,
        first=numbers[0] if numbers else 0,
        known=request.known,
        context=request.context,
        guidance=request.guidance,
        progress=request.progress,
    )
    return Drawn(images, request.sampler.summary() if request.sampler.former else "")


def _draw_from_by_decode(self: Any, z: Tensor, noise: Noise, **options: Any) -> Drawn:
    """`draw_from` of a class that overrides `decode`, which may call `LatentModel.decode`."""
    return Drawn(self.decode(z, noise, **options))


def _context_as_given(self: Any, noise: Noise, context: Tensor | None) -> Tensor | None:
    """0.1's `sample` checks it itself."""
    return context


def _as_given(self: Any, *given: Any) -> None:
    """0.1's `sample` checks it itself."""
