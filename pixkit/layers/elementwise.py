"""Pointwise operations that provide their own instruction for compiled executors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from pixkit.layers.base import PointwiseLayer


class Elementwise(PointwiseLayer, ABC):
    """Base of operations of one to three operands, element by element, with an equivalent C `expression`.

    `forward` runs in training, in proofs and in executors that use torch. A native executor compiles
    `expression` into the kernel of the network that has the operation, on a CPU with the machine's C compiler and on a
    GPU with NVRTC; without a compiler another executor runs `forward`. `pixkit.testing.check_operation` compares both.

        class Swish(Elementwise):
            expression = "x * sigmoid_(a * x)"

            def __init__(self, slope=1.0):
                super().__init__()
                self.numbers = (slope,)

            def forward(self, x):
                return x * torch.sigmoid(self.numbers[0] * x)

    The expression has the operands x, then z, then w: the inputs of `forward` in their order, then `values`. `a` and
    `b` are its `numbers`. All are of the type `real`, float or double. It may call `exp_`, `expm1_`, `log_`, `log1p_`,
    `erf_`, `sqrt_`, `abs_`, `sin_`, `cos_`, `floor_`, `ceil_`, `trunc_`, `round_`, `pow_`, `sigmoid_`, `tanh_exact`,
    `softplus_` and `clamp_`, which are written for both types, and math.h's functions of a double; `R(0.5)` is a
    constant of the type. The expression is code: never build it from a recipe's values, which belong in `numbers`.

    A subclass that overrides `forward` states its own `expression`: an inherited one is not used.

    Attributes:
        expression: the operation in C.
        numbers: up to two numbers, a and b of the expression.
    """

    expression: ClassVar[str]
    numbers: tuple[float, ...] = ()

    def values(self) -> tuple[Tensor, ...]:
        """Parameters that are operands after the inputs: [M], a value for each map, or one for all; none by default."""
        return ()

    @abstractmethod
    def forward(self, *inputs: Tensor) -> Tensor:
        """One to three inputs of the same shape, [B, M, H, W], to that shape."""
