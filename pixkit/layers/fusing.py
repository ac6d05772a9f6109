"""Operations on features in fewer launches, or fewer passes over memory, for training.

A module that can use them has a second path, which `fusing(x)` chooses; the plain path is traced, proved, sampled and
scored. Both compute the same up to rounding and the elements that dropout keeps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function

from pixkit.layers.geometry import Edges, convolve
from pixkit.layers.scan import Scan

WHOLE: Edges = (0, 0, 0, 0)
ALL = -1
"""The taps of a `Filter`: every one."""


class Filter(NamedTuple):
    """A convolution: kernel, bias, and edges of zeros around the image.

    `taps` has a bit for each tap of the kernel, row by row from the lowest. Where it is 0 the kernel has to be 0, and
    its gradient may be given as 0, which the mask would make it.
    """

    kernel: Tensor
    bias: Tensor | None
    edges: Edges
    taps: int = ALL


class Fusing(TorchFunctionMode, ABC):
    """Fused operations that layers use while this mode is entered. They can be differentiated once."""

    @abstractmethod
    def activated(self, parts: Sequence[Tensor], edges: Edges = WHOLE, dropout: float = 0.0) -> Tensor:
        """`ConcatenatedELU` of each part, joined along the maps, with edges of zeros.

        Args:
            parts: [B, M_i, H, W], equal but for M_i.
            edges: rows above and below, columns left and right; negative where the image is cut.
            dropout: the fraction of elements that become 0, as by nn.Dropout in training; for a single part only.

        Returns:
            [B, 2 sum M_i, H + rows, W + columns].
        """

    @abstractmethod
    def gated(self, x: Tensor, hidden: Tensor) -> Tensor:
        """x + a * sigmoid(b), where a and b are the halves of the hidden maps: [B, M, H, W], [B, 2M, H, W]."""

    @abstractmethod
    def normalised(self, weight: Tensor, gain: Tensor) -> Tensor:
        """gain * v / |v| of each row v of the weight: [O, ...] and [O] to [O, ...]."""

    def gate(self, hidden: Tensor) -> Tensor:
        """tanh(a) * sigmoid(b), where a and b are the halves of the hidden maps: [B, 2M, H, W] to [B, M, H, W]."""
        a, b = hidden.chunk(2, 1)
        return a.tanh() * b.sigmoid()

    def rectified(self, x: Tensor, layers: Sequence[Filter], *, added: bool = False) -> Tensor:
        """Convolutions one after the other, each of the ReLU of what comes before it; plus x if `added`.

        Args:
            x: [B, M, H, W].
            layers: kernel [M', M, kh, kw], bias [M'] or None, and edges of zeros of each.
            added: whether x is added to the last result, which then has its shape.
        """
        out = x
        for kernel, bias, edges, _ in layers:
            out = convolve(F.relu(out), kernel, bias, edges)
        return x + out if added else out

    def residual(self, x: Tensor, blocks: Sequence[Sequence[Filter]]) -> Tensor:
        """`rectified` of the layers of each block in turn, each added to what the block reads: [B, M, H, W]."""
        for layers in blocks:
            x = self.rectified(x, layers, added=True)
        return x

    # Any: the arguments of `Scan`, which torch does not type
    def scan(self, *given: Any) -> Tensor:
        """A recurrence over whole images, with the arguments and the result of `pixkit.layers.scan.Scan`."""
        out: Tensor = Scan.apply(*given)  # type: ignore[no-untyped-call]
        return out

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Answer `fusing`; pass everything else on."""
        return self if func is fusing else func(*args, **(kwargs or {}))


# Any: a proxy while it is traced
def fusing(x: Any) -> Fusing | None:
    """The fused operations to use for a tensor; None if there are none, or while it is traced.

    Example:
        >>> fusing(torch.zeros(2, 8, 4, 4)) is None  # outside of training with fused operations
        True
    """
    if not isinstance(x, Tensor) or not has_torch_function((x,)):
        return None
    found = handle_torch_function(fusing, (x,), x)
    return found if isinstance(found, Fusing) else None


class _Unfused(TorchFunctionMode):
    """Hides the fused operations of modes that are entered around it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return None if func is fusing else func(*args, **(kwargs or {}))


def unfused(x: Tensor) -> AbstractContextManager[Any]:
    """A context without fused operations for a tensor."""
    return nullcontext() if fusing(x) is None else _Unfused()


def fuses(model: nn.Module) -> bool:
    """Whether any module of the model uses fused operations, as its attribute `fuses` says.

    Example:
        >>> fuses(torch.nn.Conv2d(1, 8, 3))
        False
    """
    return any(getattr(module, "fuses", False) is True for module in model.modules())
