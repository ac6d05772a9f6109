"""The arithmetic of a training step: how many bits the network computes with, and how its images lie in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pixkit.components.attempt import one_line
from pixkit.errors import RunError
from pixkit.execution.cuda.nvrtc import NoKernel
from pixkit.execution.fusing import fused_operations
from pixkit.execution.native.compile import NoCompiler
from pixkit.execution.native.fusing import LEANEST
from pixkit.layers.fusing import fuses
from pixkit.numerals import significant
from pixkit.precision import Products, float32_products, has_tf32
from pixkit.recipe import Change
from pixkit.recipe.schema import TrainConfig
from pixkit.training.capture.probe import hooked

PRECISIONS = ("fp32", "tf32", "bf16")
"""From finest to coarsest."""
MEMORY_FORMATS = ("contiguous", "channels_last")


class ChannelsLast(TorchFunctionMode):
    """While entered, convolutions return memory with the channels of a site side by side.

    Elementwise operations keep that layout, and so do the next layers. It is enforced at every convolution because a
    single map, such as the first input, does not determine a layout. Weights keep their layout, so that optimisers,
    averages and checkpoints do not depend on it.

    With `products`, 1x1 convolutions on a CPU become matrix products: the maps of a site already are a row, and torch's
    convolution takes half as long again, except in bfloat16. If `aligned`, the first convolution, whose input has the
    other layout or is a single map, is computed in this layout, in half the time (`side_by_side`).
    """

    _CONVOLUTIONS = frozenset({F.conv2d, F.conv_transpose2d})

    def __init__(self, *, products: bool = False, aligned: bool = False) -> None:
        super().__init__()
        self._products, self._aligned = products, aligned

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function and bring a convolution's result into the layout."""
        kwargs = kwargs or {}
        product = point_product(*args, **kwargs) if self._products and func is F.conv2d else None
        if self._aligned and func is F.conv2d:
            args = *side_by_side(*args[:2]), *args[2:]
        result = func(*args, **kwargs) if product is None else product
        if func in self._CONVOLUTIONS and isinstance(result, Tensor) and result.ndim == 4:
            return result.contiguous(memory_format=torch.channels_last)
        return result


def point_product(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, *where: Any, **named: Any
) -> Tensor | None:
    """The result of F.conv2d for these arguments, channels side by side; None unless it is 1x1, of images on a CPU."""
    given = {**dict(zip(("stride", "padding", "dilation", "groups"), where, strict=False)), **named}
    plain = given.get("stride", 1) in (1, (1, 1)) and given.get("padding", 0) in (0, (0, 0))
    whole = weight.shape[2:] == (1, 1) and weight.shape[1] == input.shape[1] and input.ndim == 4
    if not (plain and whole) or input.device.type != "cpu":
        return None
    rows = input.permute(0, 2, 3, 1)
    product = F.linear(rows.reshape(-1, input.shape[1]), weight.flatten(1), bias)
    return product.view(*rows.shape[:3], len(weight)).permute(0, 3, 1, 2)


def side_by_side(*given: Tensor) -> tuple[Tensor, ...]:
    """A convolution's image and weight, changed so that torch computes it on a CPU with channels side by side.

    torch looks at the layout of both; a single map has none, so it gets a second one of zeros.
    """
    if len(given) < 2 or given[0].ndim != 4 or given[0].device.type != "cpu":
        return given
    image, weight = given
    if image.shape[1] == weight.shape[1] == 1:
        image, weight = (F.pad(one, (0, 0, 0, 0, 0, 1)) for one in given)
    elif image.is_contiguous(memory_format=torch.channels_last):
        return given
    return image, weight.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Arithmetic:
    """How the losses of a training step are computed; scores, samples and initialisation always use float32.

    Under tf32 a CUDA device's convolutions and matrix products use 10 of float32's 23 bits of mantissa, in the losses
    and in their gradients. Under bf16 they are in bfloat16 (7 bits of mantissa, float32's range, so that no loss needs
    scaling), by torch's autocast. Weights, gradients and optimiser stay in float32, and heads compute likelihoods in
    float32.

    Attributes:
        unstated: whether the run dates from before float32 meant all its bits: it keeps torch's default, which is TF32
            for convolutions where a CUDA device has it.
        fused: whether modules that support fused operations use them (`pixkit.layers.fusing`), which changes the last
            digits.
        lean: the set of CPU optimisations that change the last digits, and what dropout drops: a run keeps the set it
            was begun with. 0: none. 1: an update is one pass over memory, 1x1 convolutions under channels_last are
            matrix products, and fusing includes recurrences, dropout and RMS norms. 2: also causal attention, and fewer
            passes in bfloat16, of which 1x1 convolutions are left to torch. 3: also linear layers in float32, and in
            bfloat16 convolutions that read ReLUs.
    """

    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    memory_format: Literal["contiguous", "channels_last"] = "contiguous"
    unstated: bool = False
    fused: bool = False
    lean: int = LEANEST

    @classmethod
    def of(cls, config: TrainConfig) -> Arithmetic:
        """The arithmetic that a recipe names; the plain one where it leaves that to measurement."""
        return cls(
            "fp32" if config.precision == "auto" else config.precision,
            "channels_last" if config.memory_format == "channels_last" else "contiguous",
            lean=0 if config.fuse == "off" else LEANEST,
        )

    @property
    def products(self) -> Products:
        """The arithmetic of products of float32 tensors."""
        if self.unstated:
            return "mixed"
        return "tf32" if self.precision == "tf32" else "ieee"

    @contextmanager
    def step(self) -> Iterator[None]:
        """The context for losses and their gradients, for a whole step."""
        with float32_products(self.products):
            yield

    @contextmanager
    def forward(self, device: torch.device) -> Iterator[None]:
        """The context for a loss, within `step`; its backward pass belongs outside."""
        half = torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")
        products = self.lean == 1 or (self.lean > 1 and self.precision != "bf16")
        last = ChannelsLast(products=products, aligned=self.lean > 0)
        layout = last if self.memory_format == "channels_last" else nullcontext()
        operations = fused_operations(device, lean=self.lean) if self.fused else nullcontext()
        with self.step(), half, layout, operations:
            yield

    def __str__(self) -> str:
        return f"{self.precision}, {self.memory_format}{', fused' if self.fused else ''}"


@dataclass(frozen=True)
class Choice:
    """An arithmetic, why it was chosen, and the seconds of a batch, forward and backward, of those measured."""

    arithmetic: Arithmetic
    reason: str
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def stated(cls, config: TrainConfig) -> Choice | None:
        """The choice that a recipe makes; None where it leaves something to measurement."""
        if "auto" in (config.precision, config.memory_format):
            return None
        return cls(replace(Arithmetic.of(config), fused=config.fuse == "on"), "as the recipe says")

    def on(self, device: torch.device, model: nn.Module) -> Choice:
        """The same, with fp32 for tf32 and without fusing where the device lacks these; the reason says so."""
        arithmetic, reason, seconds = self.arithmetic, self.reason, self.seconds
        if arithmetic.precision == "tf32" and not has_tf32(device):
            arithmetic = replace(arithmetic, precision="fp32")
            reason = f"{reason}, except tf32, which this device does not have"
            seconds = {name.replace("tf32", "fp32"): value for name, value in seconds.items()}
        if arithmetic.fused and (why := obstacle(model, device)) is not None:
            arithmetic, reason = replace(arithmetic, fused=False), f"{reason}, but not fused: {why}"
        return Choice(arithmetic, reason, seconds)

    def changes(self, to: Choice) -> list[Change]:
        """The differences of another choice."""
        names, (old, new) = ("precision", "fused"), (self.arithmetic, to.arithmetic)
        pairs = [(name, getattr(old, name), getattr(new, name)) for name in names]
        return [Change(f"arithmetic.{name}", before, after) for name, before, after in pairs if before != after]

    def dump(self) -> dict[str, Any]:
        """As plain data, for the lock."""
        chosen = self.arithmetic
        seconds = {name: float(f"{value:.3g}") for name, value in self.seconds.items()}
        named = {
            "precision": chosen.precision,
            "memory_format": chosen.memory_format,
            "products": chosen.products,
            **{name: getattr(chosen, name) for name in ("fused", "lean") if getattr(chosen, name)},
        }
        return {**named, "reason": self.reason, "seconds": seconds}

    def __str__(self) -> str:
        figures = "; ".join(f"{name} {significant(value, 3)}" for name, value in self.seconds.items())
        measured = f" (seconds a batch: {figures})" if figures else ""
        return f"{self.arithmetic}: {self.reason}{measured}"


def obstacle(model: nn.Module, device: torch.device) -> str | None:
    """Why a model's work cannot be fused on a device; None if there are operations that fuse it correctly."""
    if not fuses(model):
        return "no layer of the model supports it"
    if (hook := hooked(model)) is not None:
        return f"{hook} would not be called"
    try:
        fused_operations(device)
    except (NoKernel, NoCompiler, RuntimeError) as error:
        return one_line(error)
    return None


def locked_choice(lock: dict[str, Any], where: str) -> Choice:
    """The choice that a run was started with, from its lock; a run older than the choice computed plainly.

    Raises:
        RunError: if the lock's entry is not a valid choice.
    """
    found = lock.get("arithmetic")
    if found is None:
        return Choice(Arithmetic(unstated=True, lean=0), "the run is older than the choice")
    try:
        precision, memory_format = found["precision"], found["memory_format"]
        unstated = found.get("products", "mixed") == "mixed"
        fused, lean = found.get("fused", False), found.get("lean", 0)
        arithmetic = Arithmetic(precision, memory_format, unstated, fused, int(lean))  # true or false in old runs
        if precision not in PRECISIONS or memory_format not in MEMORY_FORMATS:
            raise ValueError
        if not isinstance(fused, bool) or not isinstance(lean, int) or not 0 <= lean <= LEANEST:
            raise ValueError
        if "products" in found and found["products"] != arithmetic.products:
            raise ValueError
        seconds = {str(name): float(value) for name, value in found["seconds"].items()}
        return Choice(arithmetic, str(found["reason"]), seconds)
    except (TypeError, ValueError, KeyError, AttributeError):
        raise RunError("not an arithmetic", where=f"{where}, lock.arithmetic", found=str(found)) from None
