"""Choose the arithmetic of training by measuring it on the device in use."""

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
"""How often each arithmetic is measured; more than the minimum only while ENOUGH_SECONDS have not passed."""
ENOUGH_SECONDS = 3.0
LARGEST_SHARE = 0.05
"""The largest share of the whole training, in batches, that measuring may take."""
SHORTEST = 30.0
"""Trainings shorter than this, in seconds, are not measured: there is too little to save."""
HOPELESS = 2.0
"""A candidate that takes this many times as long as the fastest in the first round is dropped."""
PAYS = {"fp32": 1.0, "tf32": 1.1, "bf16": 1.25}
"""How much faster than every finer precision a precision has to be to be chosen."""
LAYOUT_PAYS = 1.1
"""How much faster channels_last, fused operations, or both have to be to be chosen."""

Seconds = dict[Arithmetic, float]


def choose(stepper: Stepper, watch: Callable[[], None] = lambda: None) -> Choice:
    """Choose, for the options the recipe leaves open, those that are clearly fastest for this model on this device.

    Forward and backward passes of the first training batch are timed in turns, so that other load on the machine
    affects all candidates alike, and their medians are compared. Weights, buffers, gradients and generators are left
    unchanged. A training too short to win back the time for measuring is not measured.

    Args:
        stepper: the stepper whose model, batches and device are measured.
        watch: called between measurements; raises to stop them.
    """
    config, batches = stepper.config, stepper.config.steps * stepper.config.accumulate

    def able() -> bool:
        return obstacle(stepper.model, stepper.device) is None

    def too_many(candidates: list[Arithmetic]) -> bool:
        return (MOST_TURNS + 1) * len(candidates) > LARGEST_SHARE * batches

    candidates, more = _candidates(stepper, (config.fuse == "on" and able(),)), _candidates(stepper, (False, True))
    plain = candidates[0]
    if config.fuse == "auto" and not too_many(more) and able():  # checked last: the operations may have to be compiled
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
    """The arithmetic to use: another layout, fusing or another precision only where it is clearly faster."""
    chosen, best = plain, math.inf
    for precision in PRECISIONS:
        if alike := [one for one in seconds if one.precision == precision]:
            coarser = _prefer(alike, seconds)
            if best >= PAYS[precision] * seconds[coarser]:
                chosen = coarser
            best = min(best, *(seconds[one] for one in alike))
    return chosen


def seconds_of(stepper: Stepper, arithmetic: Arithmetic) -> float:
    """Time the losses and gradients of one batch, over all phases."""
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
    """The candidates that the recipe leaves open and the device supports, fused or not, the plainest first."""
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
    """Median seconds of each candidate, and why some are unavailable: a model's code may not support them."""
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
    """The first candidate of a precision, unless another layout is clearly faster."""
    fastest = min(formats, key=lambda one: seconds[one])
    return fastest if seconds[formats[0]] >= LAYOUT_PAYS * seconds[fastest] else formats[0]
