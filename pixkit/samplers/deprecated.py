"""Support for samplers written for pixkit 0.1.

In 0.1 a sampler remembered its last `sample`: the base class set `self.clamped` before it called `prepare`, and a class
that had something to report overrode `summary()`, which was called afterwards; some overrode `sample` itself. A class
that defines or inherits one of the two gets what `Sampler.draw` needs when the class is created, and warns when it is
constructed.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import torch
from torch import Tensor

from pixkit.noise import Noise
from pixkit.samplers.batch import BatchRequest, Drawn, summary_of
from pixkit.samplers.known import CLAMPED, Known

_CLAMPED: ContextVar[bool] = ContextVar("clamped", default=False)
"""Whether known sub-pixels are clamped in the current draw: the value of `clamped` while `draw` runs."""


class FormerSampler:
    """The members that a sampler had in 0.1; base of `Sampler`, so that ``super().summary()`` still works."""

    former: ClassVar[str] = ""
    """Why a class counts as written for 0.1; empty for all others, which keep no state."""
    remembered: ClassVar[bool | None] = None
    prepared: Any = None

    def __init__(self) -> None:
        if self.former:
            warnings.warn(
                f"{type(self).__name__} is written for pixkit 0.1, since it {self.former}: give a summary() to what "
                "`prepare` returns, and keep nothing on the sampler",
                DeprecationWarning,
                stacklevel=3,
            )

    @property
    def clamped(self) -> bool:
        """Whether known sub-pixels are clamped in the current draw or, for a class of 0.1, in the last one."""
        if not self.former:
            warnings.warn("a sampler remembers nothing: see draw(...).summary", DeprecationWarning, stacklevel=2)
        kept = self.remembered
        return _CLAMPED.get() if kept is None else kept

    @clamped.setter
    def clamped(self, value: bool) -> None:
        vars(self)["remembered"] = value

    def summary(self) -> str:
        """The summary of the last `sample`, for a sampler that remembers it."""
        if not self.former:
            warnings.warn("a sampler remembers nothing: see draw(...).summary", DeprecationWarning, stacklevel=2)
            return ""
        return "; ".join(filter(None, [CLAMPED if self.clamped else "", _said(self.prepared)]))


@contextmanager
def drawing(clamped: bool) -> Iterator[None]:
    """Set `clamped` while something is drawn."""
    token = _CLAMPED.set(clamped)
    try:
        yield
    finally:
        _CLAMPED.reset(token)


def adapt(cls: Any, base: Any) -> None:
    """Give a sampler class written for 0.1 what `base`, Sampler, requires now; leave any other as it is."""
    by_sample = more_derived(cls, "sample", "draw", _draw_by_sample)
    if not by_sample and cls.sample is not base.sample:
        cls.sample = base.sample  # a class of today, derived from one of 0.1
    signs = {"overrides summary": cls.summary is not FormerSampler.summary, "overrides sample": by_sample}
    found = [sign for sign, there in signs.items() if there]
    if not found:
        return
    cls.former = " and ".join(found)
    if not getattr(cls.prepare, "__isabstractmethod__", False):
        cls.prepare = _remembering(cls.prepare)
    elif by_sample:
        cls.prepare = _prepare_by_sample
    if by_sample:
        cls.draw = _draw_by_sample


def more_derived(cls: type, name: str, than: str, adapter: Any) -> bool:
    """Whether the method `name` comes from a class nearer to `cls` than the method `than`.

    This is so if a class of 0.1 overrides a method that is now derived from the other. `adapter`, which such a class is
    given as `than`, does not count.
    """
    for part in cls.__mro__:
        own = vars(part)
        if than in own and own[than] is not adapter:
            return False
        if name in own:
            return True
    return False


def as_written(instance: Any, name: str, adapter: Any) -> Callable[..., Any]:
    """A method of an object, skipping `adapter`, which may be the caller."""
    for part in type(instance).__mro__:
        found = vars(part).get(name)
        if found is not None and found is not adapter:
            method: Callable[..., Any] = found.__get__(instance)
            return method
    raise AttributeError(f"{type(instance).__name__} has no {name}")


def draw_of(sampler: Any) -> Callable[..., Drawn]:
    """A sampler's `draw`, for `sample`, which one of 0.1 overrides and calls."""
    return as_written(sampler, "draw", _draw_by_sample)


def _remembering(prepare: Callable[..., Any]) -> Callable[..., Any]:
    """A class's `prepare`, which sets `clamped` first and remembers the sampler for its summary."""

    @functools.wraps(prepare)
    def prepare_and_remember(self: Any, network: Any, known: Tensor | None) -> Any:
        self.clamped = known is not None and not Known(known, torch.empty(0)).precede(network.ordering)
        made = prepare(self, network, known)
        self.prepared = made.prepared if isinstance(made, _Remembered) else made
        return _Remembered(self, self.prepared)

    return prepare_and_remember


def _prepare_by_sample(self: Any, network: Any, known: Tensor | None) -> Callable[[BatchRequest], Tensor]:
    """`prepare` of a class that only has `sample`."""
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
    """The result of `prepare` and the sampler whose summary counts; `draw` adds that sub-pixels were clamped."""

    def __init__(self, sampler: FormerSampler, prepared: Callable[[Any], Tensor]) -> None:
        self.sampler, self.prepared = sampler, prepared

    def __call__(self, request: Any) -> Tensor:
        return self.prepared(request)

    def summary(self) -> str:
        return "; ".join(part for part in self.sampler.summary().split("; ") if part != CLAMPED)


def _said(prepared: Any) -> str:
    return "" if prepared is None else summary_of(prepared)
