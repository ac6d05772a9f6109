"""Descriptions of images: shape, number of levels, and the colours that tokens stand for."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from pixkit.context import ContextSpec
from pixkit.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, repr=False)
class Palette:
    """The colours that the levels of images stand for: three bytes each, red, green and blue, all different."""

    colours: bytes

    def __post_init__(self) -> None:
        count = len(self)
        if not 2 <= count <= 65536 or len(self.colours) != 3 * count:
            raise DataError("this is not a palette", found=f"{count} colours", expected="2..65536 of three bytes")
        if len(set(self.rows())) < count:
            raise DataError("a palette's colours are not all different", found=f"{len(set(self.rows()))} of {count}")

    @classmethod
    def of(cls, colours: Any, where: str = "palette") -> Palette:
        """Make a palette from an array or tensor of whole numbers 0..255, [N, 3].

        Args:
            colours: red, green and blue of each, all different.
            where: what errors name.

        Raises:
            DataError: if they are not such numbers, or two colours are the same.
        """
        import numpy as np

        values = np.asarray(colours)
        if values.ndim != 2 or values.shape[1] != 3 or values.dtype.kind not in "iubf":
            found = f"{values.dtype} of shape {values.shape}"
            raise DataError("this is not a palette", where=where, found=found, expected="numbers, (N, 3)")
        with np.errstate(invalid="ignore"):
            levels = values.astype(np.uint8)
        if (levels != values).any():
            found = f"{values.dtype} in {values.min():g}..{values.max():g}"
            raise DataError("colours that are not levels", where=where, found=found, expected="whole numbers 0..255")
        return cls(levels.tobytes())

    def __len__(self) -> int:
        return len(self.colours) // 3

    def __repr__(self) -> str:
        return f"Palette({len(self)} colours, {self.digest[:8]})"

    def rows(self) -> list[bytes]:
        """Its colours one by one."""
        return [self.colours[start : start + 3] for start in range(0, 3 * len(self), 3)]

    def array(self) -> NDArray[np.uint8]:
        """The colours, uint8 [N, 3]."""
        import numpy as np

        return np.frombuffer(self.colours, np.uint8).reshape(-1, 3)

    @property
    def digest(self) -> str:
        """SHA-256 of the colours, in hexadecimal."""
        return hashlib.sha256(self.colours).hexdigest()

    @property
    def darkest(self) -> int:
        """The level of its darkest colour."""
        weights = (299, 587, 114)
        return min(range(len(self)), key=lambda level: sum(map(int.__mul__, weights, self.rows()[level])))


@dataclass(frozen=True)
class ImageSpec:
    """Shape and levels of a model's images.

    An image is an int64 tensor [C, H, W] with values 0..levels-1; a batch is [B, C, H, W]. One of its values, at (c, h,
    w), is a *sub-pixel*; the C of them at (h, w) are a *site*.

    With a `palette`, levels are tokens, numbers of its colours: images then have one channel, and are shown in colour.
    `context` says which arrays stand beside each image, for models that are conditioned on them.
    """

    channels: int
    height: int
    width: int
    levels: int
    palette: Palette | None = None
    context: tuple[ContextSpec, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("channels", 1), ("height", 1), ("width", 1), ("levels", 2)):
            value = getattr(self, name)
            if value < least:
                raise DataError(f"{name} is too small", found=str(value), expected=f">= {least}")
        if self.palette is not None and (self.channels, self.levels) != (1, len(self.palette)):
            raise DataError(
                "tokens have one channel and as many levels as the palette has colours",
                found=f"channels = {self.channels}, levels = {self.levels}",
                expected=f"1 and {len(self.palette)}",
            )

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

    @property
    def pictures(self) -> ImageSpec:
        """The same images as pictures: 256 levels of red, green and blue in place of tokens, else unchanged."""
        return self if self.palette is None else ImageSpec(3, self.height, self.width, 256, context=self.context)

    @property
    def blank(self) -> int:
        """The level of black, or of the darkest colour of the palette."""
        return 0 if self.palette is None else self.palette.darkest

    @property
    def rate(self) -> Literal["bits_per_dim", "bits_per_token"]:
        """The unit of `bits`. Rates of tokens are not comparable with those of pixels or of another palette."""
        return "bits_per_dim" if self.palette is None else "bits_per_token"

    def bits(self, nats: float) -> float:
        """Nats per image as bits per sub-pixel, or per token: nats / (C * H * W * ln 2)."""
        return nats / (self.dims * math.log(2))

    def bits_per_dim(self, nats: float) -> float:
        """Nats per image as bits per sub-pixel: nats / (C * H * W * ln 2).

        Raises:
            UsageError: for tokens, whose bits are not comparable with those of pixels.
        """
        if self.palette is not None:
            raise UsageError(
                "scores of tokens are not in bits/dim, which is for pixels", found=str(self), hint="bits(nats)"
            )
        return self.bits(nats)

    def of_size(self, height: int, width: int) -> ImageSpec:
        """The same images with another size."""
        return replace(self, height=height, width=width)

    def dump(self) -> dict[str, Any]:
        """Return plain data: channels, height, width, levels, the palette's SHA-256 and the context if there is one."""
        plain = {name: getattr(self, name) for name in ("channels", "height", "width", "levels")}
        palette = {} if self.palette is None else {"palette": self.palette.digest}
        context = {"context": [spec.dump() for spec in self.context]} if self.context else {}
        return plain | palette | context

    def check(self, x: Tensor, *, where: str = "images", values: bool = True) -> Tensor:
        """Return x if it is a batch of such images, else raise DataError; `values`: whether to check levels as well.

        Levels are not checked while torch compiles, exports or maps over x, when there are no values.
        """
        import torch  # imported here, since an ImageSpec does not need it

        if not isinstance(x, torch.Tensor):
            kind = type(x)
            raise DataError(
                "images must be a tensor",
                where=where,
                found=f"{kind.__module__}.{kind.__qualname__}",
                expected=f"int64 [B, {self.channels}, {self.height}, {self.width}]",
                hint="torch.as_tensor makes one of an array or a list",
            )
        if x.layout != torch.strided:
            raise DataError("images must be dense", where=where, found=str(x.layout), hint="x.to_dense()")
        if x.ndim != 4 or tuple(x.shape[1:]) != self.shape:
            raise DataError(
                "wrong shape",
                where=where,
                found=str(tuple(x.shape)),
                expected=f"(B, {self.channels}, {self.height}, {self.width})",
            )
        if x.is_floating_point() or x.is_complex():
            raise DataError(
                "levels must be integers",
                where=where,
                found=str(x.dtype),
                expected=f"an integer tensor with values 0..{self.levels - 1}",
            )
        if values and has_values(x) and x.numel():
            # torch has no minimum for most unsigned types
            levels = x.cpu().numpy() if x.dtype in (torch.uint16, torch.uint32, torch.uint64) else x
            least, most = int(levels.min()), int(levels.max())
            if not 0 <= least <= most < self.levels:
                raise DataError(
                    "values out of range", where=where, found=f"{least}..{most}", expected=f"0..{self.levels - 1}"
                )
        return x

    def __str__(self) -> str:
        tokens = "" if self.palette is None else f", palette {self.palette.digest[:8]}"
        beside = "".join(f"; beside it {spec}" for spec in self.context)
        return f"{self.channels}x{self.height}x{self.width}, K = {self.levels}{tokens}{beside}"


def numbers_refused(head: str) -> dict[str, str]:
    """The error for tokens with a head that treats levels as numbers, as keyword arguments."""
    return {
        "message": f"the head '{head}' treats levels as numbers, which palette tokens are not",
        "found": head,
        "expected": "a head with a probability for each level",
        "hint": "model.head={type: softmax}",
    }


class Shown:
    """Base of dataclasses whose representation shows types and shapes of tensors instead of values.

    They are declared with ``repr=False``.
    """

    def __repr__(self) -> str:
        shown = ((field.name, getattr(self, field.name)) for field in fields(self))  # type: ignore[arg-type]
        parts = [f"{name}={_brief(value)}" for name, value in shown if value is not None and value != ""]
        return f"{type(self).__name__}({', '.join(parts)})"


def _brief(value: Any) -> str:
    """A tensor's type and shape, the number of several, a function's name, else the representation."""
    if isinstance(value, list | tuple) and any(hasattr(one, "dtype") for one in value):
        return f"<{len(value)} tensors>"
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {list(value.shape)}".removeprefix("torch.")
    return getattr(value, "__qualname__", None) or repr(value)


@dataclass(frozen=True, repr=False)
class Batch(Shown):
    """Some images of a data set.

    Shapes: x int64 [B, C, H, W]; labels int64 [B] or None; indices int64 [B], the images' numbers within their split;
    context float32 [B, D] or None, the rows of the arrays beside the images (`pixkit.context`).
    """

    x: Tensor
    labels: Tensor | None
    indices: Tensor
    context: Tensor | None = None

    def changed(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same with each of its tensors changed."""
        labels, context = (None if each is None else change(each) for each in (self.labels, self.context))
        return Batch(change(self.x), labels, change(self.indices), context)

    def split(self, parts: int) -> Iterator[Batch]:
        """Split into `parts` batches, whose sizes differ by at most one image."""
        count, start = len(self.x), 0
        for part in range(parts):
            some = slice(start, start + count // parts + (part < count % parts))
            yield self.changed(itemgetter(some))
            start = some.stop

    def to(self, device: torch.device | str) -> Batch:
        """Copy the batch to another device without waiting for the work queued there."""
        return self.changed(lambda each: sent(each, device))


def has_values(tensor: Tensor) -> bool:
    """Whether there are values to read; there are none while torch compiles, exports or maps (vmap) over a tensor."""
    import torch  # imported here, since an ImageSpec does not need it

    if torch.compiler.is_compiling() or tensor.device.type == "meta":
        return False
    # torch has no public function for this. Inside vmap, reading a value is an error, even for tensors that grad wraps.
    return not torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def sent(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copy a tensor to another device without waiting for the work queued there."""
    kind = str(device).partition(":")[0]
    if kind in (tensor.device.type, "cpu"):
        return tensor.to(device)
    # From memory that is not pinned, the copy would block the host until all work launched before is done.
    return (tensor.pin_memory() if kind == "cuda" else tensor).to(device, non_blocking=True)
