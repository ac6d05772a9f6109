"""What keeps samplers working that were written for pixkit 0.1, and nothing else.

In 0.1 a sampler remembered its last `sample`: the base class set `self.clamped` before it called `prepare`, and a class
that had something to say overrode `summary()`, which was asked afterwards; some overrode `sample` itself. A class is
recognised by that when it is made, is given what `Sampler.draw` needs, and warns when it is constructed.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from pixkit.noise import Noise
from pixkit.samplers.batch import BatchRequest, Drawn, summary_of
from pixkit.samplers.known import CLAMPED, Known


class FormerSampler:
    """What a sampler had in 0.1. Base of `Sampler`, so that ``super().summary()`` is still there."""

    former: ClassVar[str] = ""
    """What makes a class one of 0.1's; empty for all others, which keep neither of these:"""
    clamped: bool
    prepared: Any

    def __init__(self) -> None:
        if self.former:
            self.clamped, self.prepared = False, None
            warnings.warn(
                f"{type(self).__name__} is written for pixkit 0.1, since it {self.former}: give a summary() to what "
                "`prepare` returns, and keep nothing on the sampler",
                DeprecationWarning,
                stacklevel=3,
            )

    def summary(self) -> str:
        """What the last `sample` did, of a sampler that remembers it."""
        if not self.former:
            warnings.warn("a sampler remembers nothing: see draw(...).summary", DeprecationWarning, stacklevel=2)
            return ""
        return "; ".join(filter(None, [CLAMPED if self.clamped else "", _said(self.prepared)]))


def adapt(cls: Any) -> None:
    """Give a class that is written for 0.1 what `Sampler` asks for now; leave any other as it is."""
    own = vars(cls)
    signs = {
        "overrides summary": "summary" in own,
        "reads self.clamped": any("clamped" in _names(value) for value in own.values()),
        "overrides sample": "sample" in own and "draw" not in own,
    }
    found = [sign for sign, there in signs.items() if there]
    if not found:
        return
    cls.former = " and ".join(found)
    if not getattr(cls.prepare, "__isabstractmethod__", False):
        cls.prepare = _remembering(cls.prepare)
    elif signs["overrides sample"]:
        cls.prepare = _prepare_by_sample
    if signs["overrides sample"]:
        cls.draw = _draw_by_sample


def _names(value: Any) -> tuple[str, ...]:
    """The attributes that a method or a property mentions."""
    function = value.fget if isinstance(value, property) else value
    return function.__code__.co_names if inspect.isfunction(function) else ()


def _remembering(prepare: Callable[..., Any]) -> Callable[..., Any]:
    """A class's `prepare`, before which `clamped` is set, and after which the sampler is asked for its summary."""

    @functools.wraps(prepare)
    def prepare_and_remember(self: Any, network: Any, known: Tensor | None) -> Any:
        self.clamped = known is not None and not Known(known, torch.empty(0)).precede(network.ordering)
        made = prepare(self, network, known)
        self.prepared = made.prepared if isinstance(made, _Remembered) else made
        return _Remembered(self, self.prepared)

    return prepare_and_remember


def _prepare_by_sample(self: Any, network: Any, known: Tensor | None) -> Callable[[BatchRequest], Tensor]:
    """Of a class that has `sample` alone."""
    return lambda request: self.sample(
        network,
        request.noise,
        temperature=request.temperature,
        known=request.known,
        context=request.context,
        progress=request.progress,
    )


def _draw_by_sample(self: Any, network: Any, noise: Noise, **options: Any) -> Drawn:
    """`draw` of a class that overrides `sample`, which may call `Sampler.sample`."""
    return Drawn(self.sample(network, noise, **options), self.summary())


class _Remembered:
    """What `prepare` gave, and whom to ask for the summary; that known sub-pixels were clamped, `draw` says itself."""

    def __init__(self, sampler: FormerSampler, prepared: Callable[[Any], Tensor]) -> None:
        self.sampler, self.prepared = sampler, prepared

    def __call__(self, request: Any) -> Tensor:
        return self.prepared(request)

    def summary(self) -> str:
        return "; ".join(part for part in self.sampler.summary().split("; ") if part != CLAMPED)


def _said(prepared: Any) -> str:
    return "" if prepared is None else summary_of(prepared)
