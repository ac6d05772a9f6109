"""Refuse work that does not fit into memory before allocating it, and report exhausted memory."""

from __future__ import annotations

import gc
import math
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from pixkit.errors import UsageError, message
from pixkit.memory.available import available, in_words
from pixkit.modes import Mode

LITTLE = 64 << 20
"""Bytes below which no check is made: checking takes time as well."""
SMALLER_MODEL = "a smaller model: fewer maps, fewer layers, fewer levels"
SMALLER_DRAW = "a smaller batch_size: the images do not depend on it"
SMALLER_BATCH = "a smaller train.batch_size, with train.accumulate for the rest"
DEVICE_WORDS = "CUDA error: out of memory|STATUS_ALLOC_FAILED"
"""Messages of CUDA, cuBLAS and cuDNN about a GPU's memory for which torch has no class."""
MORE_MEMORY = (
    f"free some memory, or use less (train.recompute=true), then continue with --resume; "
    f"or make a new run with {SMALLER_BATCH}"
)
"""For an existing run: a resumed run keeps its batch size, which is also used for scoring."""


def check_fits(needed: int, device: torch.device, what: str, *, where: str | None = None, hint: str) -> None:
    """Refuse work that needs more memory than is available now.

    Args:
        needed: bytes, in addition to those in use.
        device: where.
        what: a description of the work, as in "1000 images".
        where: the option or argument that asks for it.
        hint: what to do about it.

    Raises:
        UsageError: if it does not fit.
    """
    if needed <= LITTLE:
        return
    room = available(device)
    if needed > room.free:
        raise UsageError(
            "this would not fit into the free memory",
            where=where,
            found=f"{what}: {in_words(needed)}",
            expected=f"at most {room}",
            hint=hint,
        )


class MemoryGuard(Mode):
    """While entered, refuse to make a tensor that would bring the total of those made beyond `limit` bytes.

    Otherwise an absurd width would make the machine swap, or get the process killed, before there is a model whose size
    could be estimated. Tensors computed from others are counted once they exist; those made before entering are not.
    """

    def __init__(self, limit: int, hint: str = SMALLER_MODEL, what: str = "the model") -> None:
        super().__init__()
        self.limit = limit
        self._hint, self._what = hint, what
        self._bytes = 0
        self._alive: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation if the tensor that it makes fits."""
        if func.is_view:  # half of all operations, which take no memory and far less time than checking
            return func(*args, **(kwargs or {}))
        self._check(_requested(func, args, kwargs or {}))
        result = func(*args, **(kwargs or {}))
        read = {0, *(_place(arg) for arg in args if isinstance(arg, Tensor))}
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor) and _place(tensor) not in read:
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        reference = StorageWeakRef(storage)
        if reference not in self._alive:
            self._alive[reference] = storage.nbytes()
            self._bytes += storage.nbytes()
            self._check(0)

    def _check(self, requested: int) -> None:
        if self._bytes + requested <= self.limit:
            return
        self._alive = {reference: size for reference, size in self._alive.items() if not reference.expired()}
        self._bytes = sum(self._alive.values())
        if self._bytes + requested > self.limit:
            raise UsageError(
                f"{self._what} would not fit into the free memory",
                found=f"{in_words(self._bytes)} so far, and a tensor of {in_words(requested)}",
                expected=f"at most {in_words(self.limit)}",
                hint=self._hint,
            )


def _place(tensor: Tensor) -> int:
    """The address of its memory; 0 if it has none."""
    return 0 if tensor.device.type == "meta" else tensor.untyped_storage().data_ptr()


def _requested(func: Any, args: Any, kwargs: dict[str, Any]) -> int:
    """Bytes that a factory (empty, zeros, randn, new_zeros, ...) is about to allocate; 0 for other operations."""
    if args and isinstance(args[0], Tensor):
        if not func.name().startswith("aten::new_"):
            return 0
        kwargs = {"dtype": args[0].dtype, **kwargs}
        args = args[1:]
    shape = args[0] if args else kwargs.get("size")
    if not isinstance(shape, list | tuple) or not all(type(side) is int for side in shape):
        return 0
    dtype = kwargs.get("dtype") or torch.get_default_dtype()
    return math.prod(shape) * dtype.itemsize


@contextmanager
def memory_errors(hint: str = SMALLER_BATCH) -> Iterator[None]:
    """Turn torch's out-of-memory errors into a UsageError."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_exhausted(error):
            raise
        raise UsageError("memory is exhausted", found=str(error).split("\n")[0], hint=hint) from error


def is_exhausted(error: BaseException) -> bool:
    """Whether an error is torch's or Python's report that memory is exhausted."""
    if isinstance(error, MemoryError) or _is_devices(error):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in message(error)


def device_exhausted(error: BaseException) -> bool:
    """Whether an error, or one of its causes, is torch's report that a GPU's memory is exhausted."""
    return any(map(_is_devices, _chain(error)))


def _is_devices(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and re.search(DEVICE_WORDS, message(error)) is not None


def exhausted(error: BaseException) -> bool:
    """Whether an error, or one of its causes, reports that memory is exhausted."""
    return any(map(is_exhausted, _chain(error)))


def release(error: BaseException) -> None:
    """Release what an out-of-memory error still holds: the variables of the functions in its traceback."""
    if not exhausted(error):
        return
    for link in _chain(error):
        traceback.clear_frames(link.__traceback__)
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # `raise error from error` is allowed
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
