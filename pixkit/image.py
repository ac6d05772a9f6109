"""What an image is: its shape and its number of levels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pixkit.errors import DataError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class ImageSpec:
    """Shape and levels of the images that a model is about.

    An image is an int64 tensor [C, H, W] with values 0..levels-1; a batch is [B, C, H, W].
    One value of it, at (c, h, w), is a *sub-pixel*; the C of them at (h, w) are a *site*.
    """

    channels: int
    height: int
    width: int
    levels: int

    def __post_init__(self) -> None:
        for name, least in (("channels", 1), ("height", 1), ("width", 1), ("levels", 2)):
            value = getattr(self, name)
            if value < least:
                raise DataError(f"{name} is too small", found=str(value), expected=f">= {least}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width

    @property
    def dims(self) -> int:
        """Number of sub-pixels, C * H * W."""
        return self.channels * self.height * self.width

    @property
    def sites(self) -> int:
        """Number of sites, H * W."""
        return self.height * self.width

    def bits_per_dim(self, nats: float) -> float:
        """Nats per image as bits per sub-pixel: nats / (C * H * W * ln 2)."""
        return nats / (self.dims * math.log(2))

    def check(self, x: Tensor, *, where: str = "images", values: bool = True) -> Tensor:
        """Return x if it is a batch of such images, else raise DataError; `values`: whether levels are looked at, too.

        They are not while torch compiles, exports or maps over x, when there are none to look at.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != self.shape:
            raise DataError(
                "wrong shape",
                where=where,
                found=str(tuple(x.shape)),
                expected=f"(B, {self.channels}, {self.height}, {self.width})",
            )
        if x.is_floating_point() or x.is_complex():
            raise DataError(
                "levels are integers",
                where=where,
                found=str(x.dtype),
                expected=f"an integer tensor with values 0..{self.levels - 1}",
            )
        if values and has_values(x) and x.numel() and not 0 <= int(x.min()) <= int(x.max()) < self.levels:
            raise DataError(
                "values out of range",
                where=where,
                found=f"{int(x.min())}..{int(x.max())}",
                expected=f"0..{self.levels - 1}",
            )
        return x

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}, K = {self.levels}"


@dataclass(frozen=True)
class Batch:
    """Some images of a data set.

    Shapes: x int64 [B, C, H, W]; labels int64 [B] or None; indices int64 [B], the images' numbers
    within their split.
    """

    x: Tensor
    labels: Tensor | None
    indices: Tensor

    def split(self, parts: int) -> Iterator[Batch]:
        """In so many parts, of one size or of two that differ by an image."""
        count, start = len(self.x), 0
        for part in range(parts):
            size = count // parts + (part < count % parts)
            some = slice(start, start + size)
            yield Batch(self.x[some], None if self.labels is None else self.labels[some], self.indices[some])
            start += size

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device; the host does not wait for what that one is doing."""
        labels = None if self.labels is None else sent(self.labels, device)
        return Batch(sent(self.x, device), labels, sent(self.indices, device))


def has_values(tensor: Tensor) -> bool:
    """Whether there are values to look at; none are while torch compiles, exports or maps (vmap) over a tensor."""
    import torch  # here, since an ImageSpec needs none

    if torch.compiler.is_compiling() or tensor.device.type == "meta":
        return False
    # torch has no public name for the question; without an answer, reading a value inside vmap is torch's own error.
    return not torch._C._functorch.is_batchedtensor(tensor)


def sent(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on another device; the host does not wait for what that one is doing."""
    kind = str(device).partition(":")[0]
    if kind in (tensor.device.type, "cpu"):
        return tensor.to(device)
    # A copy from memory that is not pinned would begin, and the host go on, when all that was launched before is done.
    return (tensor.pin_memory() if kind == "cuda" else tensor).to(device, non_blocking=True)
