"""Write safetensors files piece by piece, so that saving a model takes no second copy of it in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO

import torch
from safetensors.torch import save as format_tensors
from torch import Tensor

PIECE = 1 << 18
"""Elements of a tensor that are copied at a time."""


def write_tensors(
    file: BinaryIO, tensors: Mapping[str, Tensor], progress: Callable[[], None] = lambda: None
) -> tuple[str, int]:
    """Write the bytes that `safetensors.torch.save` would give for the tensors, made contiguous on the CPU.

    Only a piece of a contiguous tensor is copied at a time; other tensors are copied as a whole. safetensors itself,
    depending on its version, holds the whole file in memory, and refuses tensors that share memory.

    Args:
        file: to write to.
        tensors: by name.
        progress: called after each piece.

    Returns:
        SHA-256 of the bytes, in hexadecimal, and their number.
    """
    digest, size = hashlib.sha256(), 0
    for data in _encoded(tensors):
        file.write(data)
        digest.update(data)
        size += len(data)
        progress()
    return digest.hexdigest(), size


def pieces(tensor: Tensor) -> Iterator[Tensor]:
    """A tensor's elements in order, as flat tensors of at most PIECE elements; an empty tensor is one empty piece."""
    yield from tensor.detach().reshape(-1).split(PIECE)


def _encoded(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    header = _header(tensors)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in header:
        for piece in pieces(tensors[name]):
            yield _parts(format_tensors({"piece": piece.cpu()}))[1]


def _header(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, object]]:
    """Type, shape and offsets of each tensor, in the order of the file.

    The order and the names of types are safetensors' own: it is asked to encode empty tensors of the same types.
    """
    empty = format_tensors({name: torch.empty(0, dtype=value.dtype) for name, value in tensors.items()})
    header = json.loads(bytes(_parts(empty)[0]))
    end = 0
    for name, record in header.items():
        start, end = end, end + tensors[name].numel() * tensors[name].element_size()
        record.update(shape=list(tensors[name].shape), data_offsets=[start, end])
    out: dict[str, dict[str, object]] = header
    return out


def _parts(data: bytes) -> tuple[memoryview, memoryview]:
    """Header and values of a file: eight bytes of the header's length, the header, the values."""
    end = 8 + int.from_bytes(data[:8], "little")
    return memoryview(data)[8:end], memoryview(data)[end:]
