"""Constants that a module reads and that are not buffers: where user code holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from torch import Tensor, nn

from pixkit.readiness.elements.tape import serves


def where_held(tensor: Tensor, frame: FrameType | None, outermost: FrameType, modules: Mapping[int, str]) -> str:
    """A name for a tensor that the running code holds in an attribute, a closure, a global or a variable.

    Args:
        tensor: the tensor, or another one in its storage.
        frame: the innermost running frame.
        outermost: the frame at which to stop.
        modules: paths of modules by their `id`.
    """
    storage = tensor.untyped_storage()._cdata
    while frame is not None and frame is not outermost:
        if not serves(frame.f_code.co_filename):
            for name, value in _held(frame, modules):
                found = _within(value, storage)
                if found is not None:
                    return name.format(found)
            return f"a constant at {Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        frame = frame.f_back
    return "a constant"


def _held(frame: FrameType, modules: Mapping[int, str]) -> Iterator[tuple[str, Any]]:
    code, variables = frame.f_code, frame.f_locals
    for value in variables.values():
        if isinstance(value, nn.Module):
            path = f"{modules[id(value)]}." if modules.get(id(value)) else ""
            yield from ((f"{path}{name}{{}}", each) for name, each in vars(value).items() if not name.startswith("_"))
    yield from ((f"{name}{{}} of {code.co_qualname}", each) for name, each in variables.items())
    names = (name for name in code.co_names if name in frame.f_globals)
    yield from ((f"{name}{{}} of {Path(code.co_filename).name}", frame.f_globals[name]) for name in names)


def _within(value: Any, storage: int) -> str | None:
    """Where a value contains a tensor of the storage, as a suffix to the value's name."""
    if isinstance(value, Tensor):
        return "" if _storage(value) == storage else None
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return next((f"[{key!r}]" for key, each in pairs if isinstance(each, Tensor) and _storage(each) == storage), None)


def _storage(tensor: Tensor) -> int | None:
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # for example, sparse tensors have none
        return None
