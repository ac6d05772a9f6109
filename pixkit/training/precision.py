"""The arithmetic of a training step: how many bits the network computes with, and how its images lie in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pixkit.errors import RunError
from pixkit.recipe.schema import TrainConfig

PRECISIONS = ("fp32", "bf16")
MEMORY_FORMATS = ("contiguous", "channels_last")


class ChannelsLast(TorchFunctionMode):
    """While entered, what a convolution gives lies in memory with the channels of a site side by side.

    What is computed from it elementwise keeps that layout, and so do the next layers. It is enforced at every
    convolution since a single map, as the first one reads, cannot tell the layouts apart. Weights stay as they
    are, so that optimisers, averages and checkpoints do not depend on it.
    """

    _CONVOLUTIONS = frozenset({F.conv2d, F.conv_transpose2d})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function; bring a convolution's result into the layout."""
        result = func(*args, **(kwargs or {}))
        if func in self._CONVOLUTIONS and isinstance(result, Tensor) and result.ndim == 4:
            return result.contiguous(memory_format=torch.channels_last)
        return result


@dataclass(frozen=True)
class Arithmetic:
    """How the losses of a training step are computed; scores, samples and initialisation are in float32 always.

    Under bf16 convolutions and matrix products are in bfloat16 (8 bits of mantissa, float32's range, so that no
    loss needs scaling), by torch's autocast. Weights, gradients and optimiser stay in float32, and heads
    compute likelihoods in float32.
    """

    precision: Literal["fp32", "bf16"] = "fp32"
    memory_format: Literal["contiguous", "channels_last"] = "contiguous"

    @classmethod
    def of(cls, config: TrainConfig) -> Arithmetic:
        """What a recipe says; the plain one where it leaves that to measurement."""
        return cls(
            "bf16" if config.precision == "bf16" else "fp32",
            "channels_last" if config.memory_format == "channels_last" else "contiguous",
        )

    @contextmanager
    def forward(self, device: torch.device) -> Iterator[None]:
        """What a loss is computed under; its backward pass follows by itself and belongs outside."""
        half = torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")
        layout = ChannelsLast() if self.memory_format == "channels_last" else nullcontext()
        with half, layout:
            yield

    def __str__(self) -> str:
        return f"{self.precision}, {self.memory_format}"


@dataclass(frozen=True)
class Choice:
    """An arithmetic, why it was taken, and the seconds of a batch, forward and backward, of those measured."""

    arithmetic: Arithmetic
    reason: str
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def stated(cls, config: TrainConfig) -> Choice | None:
        """What a recipe says; None where it leaves something to measurement."""
        if "auto" in (config.precision, config.memory_format):
            return None
        return cls(Arithmetic.of(config), "as the recipe says")

    def dump(self) -> dict[str, Any]:
        """As plain data, for the lock."""
        chosen = self.arithmetic
        seconds = {name: float(f"{value:.3g}") for name, value in self.seconds.items()}
        named = {"precision": chosen.precision, "memory_format": chosen.memory_format}
        return {**named, "reason": self.reason, "seconds": seconds}

    def __str__(self) -> str:
        figures = "; ".join(f"{name} {value:.3g}" for name, value in self.seconds.items())
        measured = f" (seconds a batch: {figures})" if figures else ""
        return f"{self.arithmetic}: {self.reason}{measured}"


def locked_choice(lock: dict[str, Any], where: str) -> Choice:
    """The choice that a run was started with, from its lock; a run from before there was one computed plainly.

    Raises:
        RunError: if what the lock says is none.
    """
    found = lock.get("arithmetic")
    if found is None:
        return Choice(Arithmetic(), "the run is older than the choice")
    try:
        precision, memory_format = found["precision"], found["memory_format"]
        if precision not in PRECISIONS or memory_format not in MEMORY_FORMATS:
            raise ValueError
        seconds = {str(name): float(value) for name, value in found["seconds"].items()}
        return Choice(Arithmetic(precision, memory_format), str(found["reason"]), seconds)
    except (TypeError, ValueError, KeyError, AttributeError):
        raise RunError("not an arithmetic", where=f"{where}, lock.arithmetic", found=str(found)) from None
