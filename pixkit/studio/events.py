"""The events of a drawing that a page receives, as JSON."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pixkit.image import ImageSpec
from pixkit.network import Autoregressive
from pixkit.samplers import Known
from pixkit.studio.walk import Walked
from pixkit.tasks.conditional import entropies_of

EVERY = 0.03
"""Seconds between two events that bring pixels."""

Event = dict[str, Any]
Tell = Callable[[Event], None]
"""Called with each event of a drawing; raises to stop it."""


class Pixels:
    """Sends pixels, those of several steps together."""

    _pixels: Tensor

    def __init__(self, tell: Tell) -> None:
        self._tell, self._due, self._sites = tell, time.monotonic(), dict[int, None]()

    def __call__(self, sites: Tensor, pixels: Tensor) -> None:
        """See `walk.Drawn`."""
        self._sites |= dict.fromkeys(sites.tolist())
        self._pixels = pixels
        if time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Send the pixels that have not been sent yet."""
        if self._sites:
            sites = [*self._sites]
            levels = self._pixels[:, sites].flatten(1).tolist()
            self._sites.clear()
            self._tell({"event": "pixels", "sites": sites, "levels": levels})
        self._due = time.monotonic() + EVERY


def told(network: Autoregressive, walked: Walked, given: Known, *, exact: bool) -> Event:
    """The last event of a completion: nats of the given part and of the drawn part, and each pixel's uncertainty."""
    known = given.mask
    each = zip(walked.images.split(1), walked.params.split(1), strict=True)  # the levels' probabilities take memory
    pairs = [entropies_of(network.head.distribution(params), image) for image, params in each]
    entropies, nats = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    before, after = nats[:, known].sum(1), nats[:, ~known].sum(1)
    entropies = entropies.mean(0).masked_fill(known, 0)
    return ended(
        network.spec,
        (before + after).tolist(),
        known=float(before[0]) if exact else None,
        drawn=after.tolist() if exact else None,
        uncertainty=(entropies.sum(0) / (~known).sum(0).clamp(min=1)).flatten().tolist(),
        entropy=float(entropies.sum()) if exact else None,
        summary=walked.summary,
    )


def ended(spec: ImageSpec, nats: list[float] | None, **more: Any) -> Event:
    """The last event: nats of each whole image, also as bits/dim, and other results."""
    empty = dict.fromkeys(("known", "drawn", "uncertainty", "entropy"))
    bits = None if nats is None else [spec.bits(each) for each in nats]
    event: Event = {"event": "end", "nats": nats, "bits": bits, "rate": spec.rate, **empty, **more}
    return {name: _finite(value) for name, value in event.items()}


def _finite(value: Any) -> Any:
    """A value that JSON has: the nats of an image that the model holds impossible are None."""
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
