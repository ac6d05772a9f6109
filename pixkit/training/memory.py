"""How much memory training takes, found out before it is taken."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode  # its documented name: there is no public module

from pixkit.data.dataset import BatchSequence
from pixkit.errors import UsageError
from pixkit.image import Batch
from pixkit.layers.modes import rehearsing
from pixkit.recipe.schema import SGD, Adam, Optimizer, RMSprop
from pixkit.training.step import Stepper

PROBE = 2
"""Activations are measured with this many images and with twice as many."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that training takes at least: temporaries of single operations come on top.

    `weights` are parameters and buffers; `training` their gradients, optimiser state and average;
    `activations` what a batch keeps for the backward pass.
    """

    parameters: int
    weights: int
    training: int
    activations: int
    machine: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.training + self.activations

    def check(self) -> None:
        """Raise UsageError if that is more than the machine has."""
        if self.total > self.machine:
            raise UsageError(
                "training would not fit this machine's memory",
                found=f"{in_words(self.total)} at least: weights {in_words(self.weights)}, gradients and optimiser "
                f"{in_words(self.training)}, activations of a batch {in_words(self.activations)}",
                expected=f"at most {in_words(self.machine)}",
                hint="a smaller train.batch_size (with train.accumulate for the rest), or a smaller model",
            )


def machine_memory(device: torch.device) -> int:
    """Bytes of memory of a device: of the GPU; else of the machine, or of the control group if that is less."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 62
    try:
        return min(physical, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    except (OSError, ValueError):
        return physical


def in_words(size: int) -> str:
    """A number of bytes for people."""
    power = min(max(int(math.log2(max(size, 1)) // 10), 0), 4)
    return f"{size / 1024**power:.3g} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def estimate(stepper: Stepper, device: torch.device) -> MemoryEstimate:
    """The memory that training with this stepper takes, by running every phase on a few images.

    Only forward passes, and the model is left as it was.
    """
    model, config = stepper.model, stepper.config
    tensors = [*model.parameters(), *model.buffers()]
    training = model_bytes(model.parameters()) if config.ema else 0
    for trained in stepper.phases:
        copies = 1 + state_copies(config.optimizers.get(trained.name, config.optimizer))
        training += copies * model_bytes(trained.parameters.values())
    few, more = _saved_bytes(stepper, PROBE), _saved_bytes(stepper, 2 * PROBE)
    per_image = max(more - few, 0) / PROBE
    activations = max(few - PROBE * per_image, 0) + config.batch_size * per_image
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return MemoryEstimate(parameters, model_bytes(tensors), training, round(activations), machine_memory(device))


def model_bytes(tensors: Any) -> int:
    """Bytes of some tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def state_copies(config: Optimizer) -> int:
    """How many tensors of a parameter's size an optimiser keeps for it."""
    match config:
        case Adam():
            return 2
        case RMSprop():
            return 2 if config.momentum else 1
        case SGD():
            return 1 if config.momentum else 0


def _saved_bytes(stepper: Stepper, images: int) -> int:
    """Bytes that the most demanding phase keeps for its backward pass with so many images."""
    model = stepper.model
    batch = _first(stepper, images)
    weights = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    most = 0
    with rehearsing(model, stepper.device):
        for trained in stepper.phases:
            saved: dict[int, Tensor] = {}
            hooks = saved_tensors_hooks(lambda tensor, saved=saved: _keep(saved, tensor), lambda tensor: tensor)  # type: ignore[misc]
            with hooks, stepper.arithmetic.forward(stepper.device):
                trained.phase.loss(batch, 1)
            sizes = [tensor.untyped_storage().nbytes() for pointer, tensor in saved.items() if pointer not in weights]
            most = max(most, sum(sizes))
    return most


def _keep(saved: dict[int, Tensor], tensor: Tensor) -> Tensor:
    saved[tensor.untyped_storage().data_ptr()] = tensor.detach()
    return tensor


def _first(stepper: Stepper, images: int) -> Batch:
    """So many training images."""
    return BatchSequence(stepper.sequence.dataset, images, 0).batch(0).to(stepper.device)


class MemoryGuard(TorchDispatchMode):
    """While entered, refuses to make a tensor that would bring what was made beyond `limit` bytes.

    Without it, an absurd width would have the machine swap, or the process killed, before it has a model whose
    size could be estimated. Tensors that are made by computing with others are counted once they are there.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self._bytes = 0
        self._alive: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation if the tensor that it makes fits."""
        self._check(_requested(func, args, kwargs or {}))
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor) and tensor.device.type != "meta":
                reference = StorageWeakRef(tensor.untyped_storage())
                self._bytes += tensor.untyped_storage().nbytes() if reference not in self._alive else 0
                self._alive.setdefault(reference, tensor.untyped_storage().nbytes())
        self._check(0)
        return result

    def _check(self, requested: int) -> None:
        if self._bytes + requested <= self.limit:
            return
        self._alive = {reference: size for reference, size in self._alive.items() if not reference.expired()}
        self._bytes = sum(self._alive.values())
        if self._bytes + requested > self.limit:
            raise UsageError(
                "the model would not fit this machine's memory",
                found=f"{in_words(self._bytes)} so far, and a tensor of {in_words(requested)}",
                expected=f"at most {in_words(self.limit)}",
                hint="a smaller model: fewer maps, fewer layers, fewer levels",
            )


def _requested(func: Any, args: Any, kwargs: dict[str, Any]) -> int:
    """Bytes of the tensor that a factory (empty, zeros, randn, new_zeros, ...) is asked for; 0 for other operations."""
    if func.name().startswith("aten::new_"):
        kwargs = {"dtype": args[0].dtype, **kwargs}
        args = args[1:]
    shape = args[0] if args else kwargs.get("size")
    if not isinstance(shape, list | tuple) or not all(type(side) is int for side in shape):
        return 0
    dtype = kwargs.get("dtype") or torch.get_default_dtype()
    return math.prod(shape) * dtype.itemsize


@contextmanager
def memory_errors(hint: str = "a smaller train.batch_size, with train.accumulate for the rest") -> Iterator[None]:
    """Turn torch's report that memory is exhausted into a UsageError."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_exhausted(error):
            raise
        raise UsageError("memory is exhausted", found=str(error).split("\n")[0], hint=hint) from error


def is_exhausted(error: BaseException) -> bool:
    """Whether an error is torch's, or Python's, report that memory is exhausted."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)
