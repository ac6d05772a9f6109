"""Requests of Python code to tensors that are not torch operations: their numbers, memory and text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from pixkit.readiness.elements.marked import Marked, plainly, tensors_in


class Answering(Protocol):
    """Knows which values may be given away."""

    def escape(self, tensor: Tensor, name: str) -> None:
        """Values of a tensor are about to leave torch."""

    def expose(self, name: str) -> None:
        """The memory of a tensor is about to be exposed."""

    def keep(self, tensor: Tensor, moves: bool) -> None:
        """A tensor is about to get another storage, or to be written to."""

    def unmarked(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a torch function as it is called with unmarked tensors."""


NUMBERS = frozenset({"numpy", "tolist", "__array__"})
MEMORY = frozenset({"data_ptr", "__dlpack__", "untyped_storage", "storage", "_typed_storage", "__reduce_ex__"})
"""Functions that expose memory, or a tensor's entire state."""
CALLS = frozenset({"apply_", "map_", "map2_"})
"""Functions that pass every number to a Python function."""
SPLITS = frozenset({"tensor_split", "hsplit", "vsplit", "dsplit"})
"""Functions that read split positions from the memory of a tensor."""
TEXTS = frozenset({"__repr__", "__format__", "__str__"})
MAKERS = frozenset({"tensor", "as_tensor", "asarray", "new_tensor", "new", "sparse_coo_tensor"})
"""Functions that build tensors from Python lists: they would read tensors in the lists directly."""


def ask(answering: Answering, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a torch function on behalf of Python code."""
    name = getattr(func, "__name__", "")
    if name in NUMBERS:
        return _numbers(answering, func, args, kwargs)
    if name in MEMORY:
        answering.expose(name)
    elif name in TEXTS:
        return _text(answering, args[0], name)
    elif name in CALLS:
        answering.escape(args[0], name)
    elif name in SPLITS:
        for tensor in tensors_in((args[1:], kwargs)):
            answering.escape(tensor, name)
    elif name == "__deepcopy__" and isinstance(args[0], Marked):
        return args[1].setdefault(id(args[0]), args[0].clone())
    elif name in MAKERS:
        args, kwargs = _listed(answering, args, name), {key: _listed(answering, kwargs[key], name) for key in kwargs}
    elif name == "one_hot":  # takes another path for tensor subclasses
        return answering.unmarked(func, args, kwargs)
    elif name == "__set__" and getattr(getattr(func, "__self__", None), "__name__", "") == "data":
        answering.keep(args[0], moves=True)
    elif name == "scaled_dot_product_attention":
        with sdpa_kernel(SDPBackend.MATH):  # whatever the caller prefers: it consists of operations with rules
            return func(*args, **kwargs)
    return func(*args, **kwargs)


def _numbers(answering: Answering, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Numbers, or an array in the tensor's memory: if that is fixed, so is what numpy writes there."""
    tensor = args[0]
    answering.escape(tensor, func.__name__)
    answering.keep(tensor, moves=False)
    with plainly():
        whole = tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()
        return func(tensor.detach() if whole else tensor.detach().clone(), *args[1:], **kwargs)


def _text(answering: Answering, tensor: Tensor, name: str) -> str:
    """The printed form of a tensor, without its values."""
    answering.escape(tensor, name)
    return f"tensor(..., size={tuple(tensor.shape)}, dtype={tensor.dtype})"


def _listed(answering: Answering, value: Any, name: str, within: bool = False) -> Any:
    """Lists with numbers in place of tensors."""
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)(_listed(answering, part, name, isinstance(value, list) or within) for part in value)
    if within and isinstance(value, Tensor):
        answering.escape(value, name)
        with plainly():
            return value.detach().clone().tolist()
    return value
