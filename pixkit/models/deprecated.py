"""What keeps models working that were written for pixkit 0.1, and nothing else.

In 0.1 a model overrode `sample`, with all its keywords, where it now implements `draw`; and that it could do what not
every model can was seen when it did not raise. A class is recognised by that when it is made, and given what `Model`
asks for now; where it overrides `sample`, it warns when it is constructed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor

from pixkit.models.request import SampleRequest
from pixkit.noise import Noise
from pixkit.samplers import Drawn

SHOWN_BY = {"importance": "importance_sampled", "completing": "completes", "no_label": "guidable"}
"""The method that shows a capability."""


def adapt(cls: Any) -> None:
    """Give a class that is written for 0.1 what `Model` asks for now; leave any other as it is."""
    own = vars(cls)
    for method, capability in SHOWN_BY.items():
        if method in own and getattr(cls, capability) is False:
            setattr(cls, capability, True)
    if "sample" in own and "draw" not in own:
        cls.former = True
        if getattr(cls.draw, "__isabstractmethod__", False):
            cls.context_drawn = _context_as_given
            cls.check_known = _as_given
        cls.draw = _draw_by_sample


def warn(model: Any) -> None:
    """Say so of a model whose class was adapted."""
    if model.former:
        warnings.warn(
            f"{type(model).__name__} is written for pixkit 0.1, since it overrides sample: implement draw(request)",
            DeprecationWarning,
            stacklevel=3,
        )


def drawing(model: Any) -> Callable[[SampleRequest], Drawn]:
    """A model's `draw`, but none that `adapt` made of an overridden `sample`, which may call `Model.sample`."""
    for cls in type(model).__mro__:
        found = vars(cls).get("draw")
        if found is not None and found is not _draw_by_sample:
            return found.__get__(model)
    raise AssertionError("Model has draw")


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


def _context_as_given(self: Any, noise: Noise, context: Tensor | None) -> Tensor | None:
    """0.1's `sample` looks at it by itself."""
    return context


def _as_given(self: Any, *given: Any) -> None:
    """0.1's `sample` looks at it by itself."""
