"""Choosing the arithmetic of training by measuring it on the device at hand."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable

import torch

from pixkit.execution.cuda.nvrtc import NoKernel
from pixkit.layers.modes import rehearsing
from pixkit.precision import has_tf32
from pixkit.training.precision import MEMORY_FORMATS, PRECISIONS, Arithmetic, Choice, obstacle
from pixkit.training.rate import wait
from pixkit.training.step import Stepper, checked_losses

FEWEST_TURNS, MOST_TURNS = 3, 5
"""How often each arithmetic is measured; beyond the fewest, only while ENOUGH_SECONDS have not passed."""
ENOUGH_SECONDS = 3.0
LARGEST_SHARE = 0.05
"""Of all of training, in batches, what measuring may take."""
SHORTEST = 30.0
"""Seconds of training below which nothing is measured: there is too little to save."""
HOPELESS = 2.0
"""What takes this many times the fastest's time in the first turn has no more turns."""
PAYS = {"fp32": 1.0, "tf32": 1.1, "bf16": 1.25}
"""How many times faster than any finer one a precision has to be to be chosen."""
LAYOUT_PAYS = 1.1
"""How many times faster channels_last, or fused operations, or both, have to be to be chosen."""

Seconds = dict[Arithmetic, float]


def choose(stepper: Stepper, watch: Callable[[], None] = lambda: None) -> Choice:
    """Of what the recipe leaves open, what is clearly the fastest for this model on this device.

    Measured are forward and backward passes of the first training batch, in turns, so that what else the machine
    does falls on all alike; their medians are compared. Weights, buffers, gradients and generators are left as
    they were. A training that is too short to win back what measuring takes is not measured.

    Args:
        stepper: whose model, batches and device it is about.
        watch: called between measurements; raises to stop.
    """
    config, batches = stepper.config, stepper.config.steps * stepper.config.accumulate

    def able() -> bool:
        return obstacle(stepper.model, stepper.device) is None

    def too_many(candidates: list[Arithmetic]) -> bool:
        return (MOST_TURNS + 1) * len(candidates) > LARGEST_SHARE * batches

    candidates, more = _candidates(stepper, (config.fuse == "on" and able(),)), _candidates(stepper, (False, True))
    plain = candidates[0]
    if config.fuse == "auto" and not too_many(more) and able():  # asked last: the operations may have to be compiled
        candidates = more
    if too_many(candidates):
        return Choice(plain, "too short a training to measure")
    with rehearsing(stepper.model, stepper.device), stepper.kernels.heard():
        seconds_of(stepper, plain)
        watch()
        if seconds_of(stepper, plain) * batches < SHORTEST:
            return Choice(plain, "too short a training to measure")
        seconds, failed = _measure(stepper, candidates, watch)
    chosen = pick(seconds, plain)
    reason = "measured" if not failed else "measured; " + "; ".join(f"not {one}: {why}" for one, why in failed.items())
    return Choice(chosen, reason, {str(one): value for one, value in seconds.items()})


def pick(seconds: Seconds, plain: Arithmetic) -> Arithmetic:
    """The arithmetic to take: another layout or fused, then another precision, only where it is clearly faster."""
    chosen, best = plain, math.inf
    for precision in PRECISIONS:
        if alike := [one for one in seconds if one.precision == precision]:
            coarser = _prefer(alike, seconds)
            if best >= PAYS[precision] * seconds[coarser]:
                chosen = coarser
            best = min(best, *(seconds[one] for one in alike))
    return chosen


def seconds_of(stepper: Stepper, arithmetic: Arithmetic) -> float:
    """How long the losses of one batch, of all phases, and their gradients take."""
    batch = next(stepper.batches(1))
    wait(stepper.device)
    started = time.perf_counter()
    with arithmetic.step(), stepper.kernels.on():
        for trained in stepper.phases:
            for part in batch.split(stepper.parts.of(1, trained.name)):
                with arithmetic.forward(stepper.device):
                    losses = checked_losses(trained.phase.loss(part, 1), trained.name)
                torch.autograd.grad(losses["loss"], list(trained.parameters.values()), allow_unused=True)
    wait(stepper.device)
    return time.perf_counter() - started


def _candidates(stepper: Stepper, fused: tuple[bool, ...]) -> list[Arithmetic]:
    """Those that the recipe leaves open and the device has, fused or not, the plainest first."""
    config, device = stepper.config, stepper.device
    formats = MEMORY_FORMATS if config.memory_format == "auto" else (config.memory_format,)
    had = tuple(one for one in PRECISIONS if one != "tf32" or has_tf32(device))
    precisions = had if config.precision == "auto" else (config.precision,)
    ways = itertools.product(precisions, fused, formats)
    lean = Arithmetic.of(config).lean
    return [Arithmetic(precision, kind, fused=way, lean=lean) for precision, way, kind in ways]  # type: ignore[arg-type]


def _measure(
    stepper: Stepper, candidates: list[Arithmetic], watch: Callable[[], None]
) -> tuple[Seconds, dict[Arithmetic, str]]:
    """Median seconds of each candidate, and why some cannot be had: a model's code may not be made for them."""
    failed: dict[Arithmetic, str] = {}
    for one in candidates[1:]:
        watch()
        try:
            seconds_of(stepper, one)
        except (RuntimeError, TypeError, ValueError, NoKernel) as error:
            failed[one] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    taken: dict[Arithmetic, list[float]] = {one: [] for one in candidates if one not in failed}
    racing, started = list(taken), time.perf_counter()
    for turn in range(MOST_TURNS):
        if turn >= FEWEST_TURNS and time.perf_counter() - started > ENOUGH_SECONDS:
            break
        for one in racing:
            watch()
            taken[one].append(seconds_of(stepper, one))
        fastest = min(taken[one][0] for one in racing)
        racing = [one for one in racing if taken[one][0] < HOPELESS * fastest]
    return {one: statistics.median(values) for one, values in taken.items()}, failed


def _prefer(formats: list[Arithmetic], seconds: Seconds) -> Arithmetic:
    """Of one precision's the first, unless another layout is clearly faster."""
    fastest = min(formats, key=lambda one: seconds[one])
    return fastest if seconds[formats[0]] >= LAYOUT_PAYS * seconds[fastest] else formats[0]
