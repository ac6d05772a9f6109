"""Operations that create tensors, fill them, copy them, or draw their values."""

from __future__ import annotations

from typing import Any

import torch

from pixkit.readiness.elements.marks import Call, Marks, Rule, uniform
from pixkit.readiness.elements.rules.pointwise import elementwise, joined, latest

aten, prims = torch.ops.aten, torch.ops.prims


def constant(call: Call) -> list[Marks]:
    """Values given by Python numbers, whatever the argument holds: only its shape is read."""
    return [uniform(result, fixed=True) for result in call.results]


def random(call: Call) -> list[Marks]:
    """Random numbers: they need nothing, but are not fixed."""
    return [uniform(result) for result in call.results]


def unwritten(call: Call) -> list[Marks]:
    """Memory with arbitrary contents, whatever was there before: a run marks it as such."""
    return random(call)


def filled(call: Call) -> list[Marks]:
    """The contents are replaced by another tensor, or a number."""
    source = call.argument(1, "src", call.kwargs.get("value"))
    return [joined([source] if isinstance(source, Marks) else [], call.results[0])]


def drawn(call: Call) -> list[Marks]:
    """Random numbers, element by element: they need what their distribution needs, and are not fixed."""
    return _drawn(call, call.marks)


def redrawn(call: Call) -> list[Marks]:
    """The same, replacing the contents of the first argument."""
    return _drawn(call, call.marks[1:])


def _drawn(call: Call, over: list[Marks]) -> list[Marks]:
    unknown = [uniform(result) for result in call.results]
    return [Marks(latest([mark.ready for mark in over], each.value), each.fixed, each.value) for each in unknown]


CONSTANTS = (
    *("zeros", "ones", "full", "eye", "arange", "range", "tril_indices", "triu_indices", "_efficientzerotensor"),
    *("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "zero"),
    *("hann_window", "bartlett_window", "blackman_window", "hamming_window", "kaiser_window"),
    *("fft_fftfreq", "fft_rfftfreq"),
)
"""Operations that create or fill tensors with given Python numbers."""
UNWRITTEN = (
    *(getattr(aten, name) for name in ("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty")),
    *(aten.new_empty_strided, aten.resize, aten.resize_as, prims.empty, prims.empty_strided, prims.empty_permuted),
)
"""Operations that return uninitialised memory, if only in part."""
RANDOM = "rand", "randn", "randint", "randperm", "rand_like", "randn_like"
"""Operations whose values need nothing, but are not fixed: they read the shape of an argument."""
DRAWN = ("bernoulli", "native_dropout", "poisson", "normal", "randint_like", "_standard_gamma", "binomial")
REDRAWN = (*("uniform_", "normal_", "exponential_", "cauchy_", "log_normal_", "geometric_", "random_", "bernoulli_"),)
COPIES = (
    "_to_copy",
    "clone",
    "alias_copy",
    "lift_fresh_copy",
    "_conj_physical",
    "linspace",
    "logspace",
    "scalar_tensor",
)
"""Operations that return the elements of their argument, or numbers between the given ones."""

RULES: dict[Any, Rule] = {
    **{getattr(aten, name): constant for name in CONSTANTS},
    **dict.fromkeys(UNWRITTEN, unwritten),
    **{getattr(aten, name): random for name in RANDOM},
    **{getattr(aten, name): elementwise for name in COPIES},
    **{getattr(aten, name): drawn for name in DRAWN},
    **{getattr(aten, name): redrawn for name in REDRAWN},
    aten.copy: filled,
    aten.fill: filled,
}
