"""The report on a network's causality, and what one of its predictions sees."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from numbers import Integral
from typing import Any, Literal

import torch
from torch import Tensor

from pixkit.errors import CausalityError, UsageError
from pixkit.network import Autoregressive
from pixkit.readiness.check import Finding, find
from pixkit.readiness.law import Leak, permitted, receptive_field
from pixkit.readiness.proof import Proof
from pixkit.readiness.trace import Trace, Untraceable
from pixkit.readiness.whole import pixels_seen

Pixel = tuple[int, int, int]
"""A sub-pixel: colour, row, column."""


class Sight(IntEnum):
    """The relation of a sub-pixel to a prediction."""

    LATER = 0
    """Drawn at the same step or later, and not seen."""
    SEEN = 1
    """Drawn earlier, and seen."""
    BLIND = 2
    """Drawn earlier, but never seen: the blind spot."""
    ITSELF = 3
    """The sub-pixel being predicted."""
    LEAK = 4
    """Drawn at the same step or later, yet seen."""


@dataclass(frozen=True)
class Report:
    """The result of `examine`.

    Attributes:
        network: the network.
        verdict: "proved" by readiness; "leaks", which was seen; "underflow", if only a large finite mask hides later
            sub-pixels; or "unproved", though no leak was seen.
        problem: why there is no proof, or None if there is one.
        trace: the traced network, or None if it cannot be traced.
        leak: the path that breaks the law, if any.
        probes: how many sub-pixels were swapped.
        seen_leak: the leak that the probe saw, if any.
        pixel: the sub-pixel whose prediction was examined.
        sight: int64 [C, H, W] of `Sight`; without a trace, None unless `proof` covers few sub-pixels.
        proof: the result of following torch's own operations, or None if the trace was enough.
    """

    network: Autoregressive
    verdict: Literal["proved", "leaks", "underflow", "unproved"]
    problem: CausalityError | Untraceable | None
    trace: Trace | None
    leak: Leak | None
    probes: int
    seen_leak: str | None
    pixel: Pixel
    sight: Tensor | None
    proof: Proof | None = None

    def __repr__(self) -> str:
        seen = "" if self.sight is None else f"; {self.pixel} sees {self.count(Sight.SEEN)} sub-pixels"
        return f"<Report of {type(self.network.backbone).__name__}: {self.verdict}{seen}>"

    @property
    def step(self) -> int:
        """The step at which the pixel is drawn."""
        return int(self.network.ordering.steps[self.pixel])

    def count(self, sight: Sight) -> int:
        """How many sub-pixels have this relation to the prediction."""
        return 0 if self.sight is None else int((self.sight == sight).sum())

    def dump(self) -> dict[str, Any]:
        """Return plain data; `field` has a character of `CHARACTERS` for every sub-pixel, by colour and row."""
        ordering = self.network.ordering
        return {
            "backbone": type(self.network.backbone).__name__,
            "ordering": {"type": type(ordering).__name__, "colours": ordering.colours, "steps": ordering.count},
            "operations": None if self.trace is None else len(self.trace.operations),
            "verdict": self.verdict,
            "problem": None if self.problem is None else str(self.problem),
            "blamed": None if self.leak is None else self.leak.blamed.label,
            "path": None if self.leak is None or self.trace is None else self._path(self.leak, self.trace),
            "line": None if self.proof is None or self.proof.blame is None else vars(self.proof.blame).copy(),
            "influence": None if self.proof is None else self.proof.influence,
            "probe": {"swaps": self.probes, "leak": self.seen_leak},
            "pixel": list(self.pixel),
            "step": self.step,
            "may_see": self.count(Sight.SEEN) + self.count(Sight.BLIND),
            **{name: self.count(sight) for name, sight in COUNTED.items()},
            "field": None if self.sight is None else rows_of(self.sight),
        }

    def _path(self, leak: Leak, trace: Trace) -> list[dict[str, Any]]:
        """The path from the pixel to the prediction."""
        return [
            {"operation": trace.operations[name].label, "colour_group": group, "row": row, "column": column}
            for name, group, row, column in reversed(leak.path)
        ]


FEW = 256
"""The most sub-pixels for which the receptive field is found without a trace: one second for a small transformer, as
against ten for 784."""
COUNTED = {"sees": Sight.SEEN, "blind_spot": Sight.BLIND, "sees_too_early": Sight.LEAK}
CHARACTERS = {Sight.LATER: ".", Sight.SEEN: "#", Sight.BLIND: "o", Sight.ITSELF: "@", Sight.LEAK: "!"}
WORDS = {
    Sight.SEEN: "seen",
    Sight.BLIND: "blind spot",
    Sight.LATER: "not yet drawn",
    Sight.ITSELF: "the pixel",
    Sight.LEAK: "seen too early",
}


def examine(network: Autoregressive, pixel: Pixel | None = None) -> Report:
    """Prove a network causal or find what breaks the law, probe it numerically, and find what one prediction sees.

    Args:
        network: left unchanged.
        pixel: the sub-pixel to predict; defaults to the last colour in the middle of the image.

    Raises:
        UsageError: if there is no such sub-pixel.
    """
    chosen = chosen_pixel(network, pixel)
    return report_of(network, find(network), chosen)


def report_of(network: Autoregressive, found: Finding, pixel: Pixel | None = None) -> Report:
    """Summarise what was found about a network and what one prediction sees."""
    chosen = chosen_pixel(network, pixel)
    return Report(
        network,
        _verdict(found),
        found.problem if found.seen is None or isinstance(found.problem, CausalityError) else found.seen,
        found.trace,
        found.leak,
        found.probes,
        None if found.seen is None else found.seen.found,
        chosen,
        _sight(network, found, chosen),
        found.proof,
    )


def _verdict(found: Finding) -> Literal["proved", "leaks", "underflow", "unproved"]:
    if found.seen is not None:
        return "leaks"
    if found.problem is None:
        return "proved"
    return "underflow" if found.proof is not None and found.proof.verdict == "underflow" else "unproved"


def _sight(network: Autoregressive, found: Finding, pixel: Pixel) -> Tensor | None:
    if found.trace is not None:
        return sight_of(found.trace, pixel)
    if found.proof is None or found.proof.verdict == "unproved" or network.spec.dims > FEW:
        return None
    site = (pixel[0] % network.ordering.groups, *pixel[1:])
    may = network.ordering.steps < network.ordering.group_steps[site]
    return _told(pixels_seen(network, found.proof, *site), may, pixel)


def sight_of(trace: Trace, pixel: Pixel) -> Tensor:
    """The relation of every sub-pixel to the prediction of one, int64 [C, H, W] of `Sight`."""
    site = (pixel[0] % trace.groups, *pixel[1:])
    return _told(receptive_field(trace, *site), permitted(trace, *site), pixel)


def _told(seen: Tensor, may: Tensor, pixel: Pixel) -> Tensor:
    sight = torch.where(may, torch.where(seen, Sight.SEEN, Sight.BLIND), torch.where(seen, Sight.LEAK, Sight.LATER))
    if sight[pixel] == Sight.LATER:
        sight[pixel] = Sight.ITSELF
    return sight


def rows_of(sight: Tensor) -> list[list[str]]:
    """A line of characters for each colour and row."""
    marks = {int(kind): character for kind, character in CHARACTERS.items()}
    return [["".join(marks[value] for value in row) for row in colour] for colour in sight.tolist()]


def chosen_pixel(network: Autoregressive, pixel: Pixel | None) -> Pixel:
    """Return the sub-pixel, or the last colour in the middle of the image; UsageError if there is no such sub-pixel."""
    spec = network.spec
    chosen = (spec.channels - 1, spec.height // 2, spec.width // 2) if pixel is None else pixel
    numbers = chosen if isinstance(chosen, tuple | list) and len(chosen) == 3 else (-1,) * 3
    if not all(
        isinstance(place, Integral) and 0 <= place < size for place, size in zip(numbers, spec.shape, strict=True)
    ):
        raise UsageError(
            "there is no such sub-pixel",
            where="pixel",
            found=",".join(map(str, chosen)) if isinstance(chosen, tuple | list) else repr(chosen),
            expected=f"colour, row, column below {', '.join(map(str, spec.shape))}",
        )
    return chosen
