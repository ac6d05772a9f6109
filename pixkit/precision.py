"""The precision of float32 products: torch uses fewer bits for them if told to.

On a CUDA device, convolutions have 10 bits of mantissa instead of 23 unless torch is told otherwise (TF32), and so have
matrix products if a user asks for it; on some CPUs both can have 10, or 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal
from unittest.mock import patch

import torch

Products = Literal["ieee", "tf32", "mixed"]
Key = tuple[str, str]
"""A backend (generic, cuda, mkldnn) and an operation, or "all": one of torch's settings named `fp32_precision`."""

EVERYWHERE = ("generic", "all")
OPERATIONS = ("conv", "rnn", "matmul")
CUDA: dict[Products, dict[str, str]] = {
    "ieee": {"all": "ieee"},
    "tf32": {"all": "tf32"},
    "mixed": {"all": "tf32", "matmul": "ieee"},
}
"""Values for the keys of a CUDA device."""


@contextmanager
def float32_products(how: Products = "ieee") -> Iterator[None]:
    """Temporarily compute products of float32 tensors in float32 or, on a CUDA device, in TF32. Also a decorator.

    torch's previous settings are restored, whether they were made by the keys named `fp32_precision`, by `allow_tf32`
    or by `set_float32_matmul_precision`. Inside, torch refuses to report the last two. Since these settings belong to
    the process, concurrent calls in several threads share them.

    Args:
        how: "ieee" for all 23 bits of mantissa; "tf32" for 10 if a CUDA device has TF32, else 23; "mixed" for TF32 in
            convolutions and recurrent layers only, which is torch's default.
    """
    before: list[tuple[Key, str]] = []
    try:
        _set("cuda", CUDA[how], before)
        _set("mkldnn", CUDA["ieee"], before)
        yield
    finally:
        for key, value in reversed(before):
            write(key, value)


@contextmanager
def left_as_set() -> Iterator[None]:
    """Temporarily keep torch's exporter from reading and writing the precision of products.

    It turns cuDNN and oneDNN off with functions that also read `allow_tf32`, which torch refuses to report within
    `float32_products`, and write it back: a key that was never set would then stay set. Here both are off, and those
    functions do nothing. Functions called in their own graphs (`torch.cond`) set a key of matrix products.
    """
    cudnn, mkldnn = torch._C._get_cudnn_enabled(), torch._C._get_mkldnn_enabled()
    key, general = ("cuda", "matmul"), ("cuda", "all")
    own = _own(key, general)
    try:
        torch._C._set_cudnn_enabled(False)
        torch._C._set_mkldnn_enabled(False)
        with (
            patch.object(torch.backends.cudnn, "set_flags", lambda *flags: flags),
            patch.object(torch.backends.mkldnn, "set_flags", lambda *flags: flags),
        ):
            yield
    finally:
        torch._C._set_cudnn_enabled(cudnn)
        torch._C._set_mkldnn_enabled(mkldnn)
        if _own(key, general) != own:
            write(key, own)


def has_tf32(device: torch.device) -> bool:
    """Whether a device can compute products of float32 tensors in TF32."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def read(key: Key) -> str:
    """The value of a key: its own or, if it has none, that of the next more general one; else "none"."""
    return torch._C._get_fp32_precision_getter(*key)


def write(key: Key, value: str) -> None:
    """Set a key's own value; "none" to unset it.

    torch's attributes cannot be used: setting `torch.backends.mkldnn.fp32_precision` sets the key of all backends
    instead.
    """
    torch._C._set_fp32_precision_setter(*key, value)


def _set(backend: str, wanted: dict[str, str], before: list[tuple[Key, str]]) -> None:
    """Set a backend's keys; record the previous value of each one that is changed.

    A key that was never set follows the more general one, and once set, it cannot be made to follow that again in all
    respects. So the backend's key is set first, and then only those operations' keys that still differ.
    """
    keys = {(backend, operation): wanted.get(operation, wanted["all"]) for operation in OPERATIONS}
    if all(read(key) in ((value, "none") if value == "ieee" else (value,)) for key, value in keys.items()):
        return
    general = (backend, "all")
    before.append((general, _own(general, EVERYWHERE)))
    write(general, wanted["all"])
    for key, value in keys.items():
        if read(key) != value:
            before.append((key, _own(key, general)))
            write(key, value)


def _own(key: Key, general: Key) -> str:
    """A key's own value; "none" if it has none and follows the more general one."""
    found, more = read(key), read(general)
    if "none" in (found, more):
        return found
    kept = more if general == EVERYWHERE else _own(general, EVERYWHERE)
    write(general, "tf32" if more == "ieee" else "ieee")
    try:
        return found if read(key) == found else "none"
    finally:
        write(general, kept)
