"""What float32 means while something is computed: torch takes fewer bits of it for products where it is told to.

On a CUDA device convolutions have 10 bits of mantissa instead of 23 unless torch is told otherwise (TF32), and matrix
products where a user asks for it; on some CPUs both can have 10, or 7.
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
"""What the keys of a CUDA device are set to."""


@contextmanager
def float32_products(how: Products = "ieee") -> Iterator[None]:
    """Compute products of float32 tensors in float32 for a while, or, of a CUDA device, in TF32. May decorate.

    What torch was set to before, it is set to after, whichever way that was said: by the keys named `fp32_precision`,
    by `allow_tf32` or by `set_float32_matmul_precision`. Inside, torch refuses to say what the last two are set to. As
    these settings are the process's, calls in several threads at once share them.

    Args:
        how: "ieee" for all 23 bits of mantissa; "tf32" for 10 where a CUDA device has TF32, and all 23 elsewhere;
            "mixed" for TF32 in convolutions and recurrent layers alone, which is what torch does if nothing is set.
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
    """Keep torch's exporter for a while from what products are set to, which it asks for and writes.

    It turns cuDNN and oneDNN off by functions that also ask what `allow_tf32` is set to, which torch refuses to say
    within `float32_products`, and write it back: a key that was never set would be set for good. Here both are off, and
    those functions do nothing. What is called in graphs of its own (`torch.cond`) sets a key of matrix products.
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
    """What a key says: its own value or, where it has none, that of the next more general one; else "none"."""
    return torch._C._get_fp32_precision_getter(*key)


def write(key: Key, value: str) -> None:
    """Give a key a value of its own; "none" for none.

    Not by torch's attributes: setting `torch.backends.mkldnn.fp32_precision` sets the key of all backends instead.
    """
    torch._C._set_fp32_precision_setter(*key, value)


def _set(backend: str, wanted: dict[str, str], before: list[tuple[Key, str]]) -> None:
    """Set a backend's keys; note each that is changed, with its value before.

    A key that was never set follows the more general one, and none can be made to follow it again in all respects once
    it was set. So the backend's is set, and of the operations' those alone that do not do as wanted then.
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
    """A key's own value; "none" where it has none and reads as the more general one."""
    found, more = read(key), read(general)
    if "none" in (found, more):
        return found
    kept = more if general == EVERYWHERE else _own(general, EVERYWHERE)
    write(general, "tf32" if more == "ieee" else "ieee")
    try:
        return found if read(key) == found else "none"
    finally:
        write(general, kept)
