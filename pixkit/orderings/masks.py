"""Masks: the taps of a kernel that an ordering allows.

One rule gives every mask (van den Oord et al., 2016, arXiv 1601.06759, section 3.4, extended from the raster to
any ordering). Type A reads pixels: a tap is allowed iff its sub-pixel is drawn at an earlier step. Type B reads
features: a tap is allowed iff its step is not later. Under sequential colours the step counts colours too, so at
the centre type A lets colour o see colour i iff i < o, and type B iff i <= o (R<-R; G<-R,G; B<-R,G,B).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.components.config import ComponentConfig

MaskType: TypeAlias = Literal["A", "B"]
Size: TypeAlias = tuple[int, int]


class TapShape(ABC):
    """Base of mask components: the taps (dy, dx), relative to the centre, that a kernel has."""

    class Config(ComponentConfig):
        """No keys."""

    def __init__(self, config: ComponentConfig | None = None) -> None:
        self.config = config or self.Config()

    @abstractmethod
    def has(self, dy: int, dx: int) -> bool:
        """Whether the tap dy rows below and dx columns right of the centre belongs to the shape."""

    def taps(self, kernel: Size) -> Tensor:
        """The shape's taps of a kernel of this height and width, bool [kh, kw]."""
        kh, kw = kernel
        return torch.tensor([[self.has(y - kh // 2, x - kw // 2) for x in range(kw)] for y in range(kh)])


class Full(TapShape):
    """Every tap of the kernel.

    Example:
        >>> print(as_text(pixkit.component("mask", "full").build().taps((3, 5))))
        # # # # #
        # # # # #
        # # # # #
    """

    def has(self, dy: int, dx: int) -> bool:
        """Always."""
        return True


class Vertical(TapShape):
    """The rows above the centre, as in a vertical stack.

    Example:
        >>> print(as_text(pixkit.component("mask", "vertical").build().taps((3, 5))))
        # # # # #
        . . . . .
        . . . . .
    """

    def has(self, dy: int, dx: int) -> bool:
        """Above the centre's row."""
        return dy < 0


class Horizontal(TapShape):
    """The centre's row, as in a horizontal stack.

    Example:
        >>> print(as_text(pixkit.component("mask", "horizontal").build().taps((3, 5))))
        . . . . .
        # # # # #
        . . . . .
    """

    def has(self, dy: int, dx: int) -> bool:
        """In the centre's row."""
        return dy == 0


class Point(TapShape):
    """Only the centre.

    Example:
        >>> print(as_text(pixkit.component("mask", "point").build().taps((3, 5))))
        . . . . .
        . . # . .
        . . . . .
    """

    def has(self, dy: int, dx: int) -> bool:
        """At the centre."""
        return dy == dx == 0


MASKS: dict[str, type[TapShape]] = {"full": Full, "vertical": Vertical, "horizontal": Horizontal, "point": Point}


def site_masks(steps: Tensor, kernel: Size, mask_type: MaskType, shape: TapShape) -> Tensor:
    """The allowed taps at every site.

    Args:
        steps: int64 [G, H, W], the step of each colour group at each site (`Ordering.group_steps`).
        kernel: odd height and width, (kh, kw).
        mask_type: "A" (the source is pixels) or "B" (the source is features).
        shape: the taps that the kernel has.

    Returns:
        bool [G out, G in, H, W, kh, kw]; False where the tap lies outside the image.

    Example:
        >>> ordering = pixkit.component("ordering", "hilbert").build(pixkit.ImageSpec(1, 2, 2, 2))
        >>> site_masks(ordering.group_steps, (1, 3), "A", MASKS["full"]()).sum((-1, -2)).view(2, 2)
        tensor([[0, 1],
                [0, 1]])
    """
    (kh, kw), outside = kernel, int(steps.max()) + 1
    padded = F.pad(steps, (kw // 2, kw // 2, kh // 2, kh // 2), value=outside)
    source = padded.unfold(1, kh, 1).unfold(2, kw, 1)[None]
    target = steps[:, None, :, :, None, None]
    compare: Callable[[Tensor, Tensor], Tensor] = torch.lt if mask_type == "A" else torch.le
    return compare(source, target) & shape.taps(kernel)


def kernel_mask(steps: Tensor, kernel: Size, mask_type: MaskType, shape: TapShape) -> Tensor | None:
    """The mask that serves every site, bool [G out, G in, kh, kw]; None if sites differ.

    Sites are compared only in taps inside the image: outside, a tap reads padding.

    Example:
        >>> raster = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 4, 4, 2))
        >>> kernel_mask(raster.group_steps, (3, 3), "A", MASKS["full"]())[0, 0].int()
        tensor([[1, 1, 1],
                [1, 0, 0],
                [0, 0, 0]], dtype=torch.int32)
    """
    allowed = site_masks(steps, kernel, mask_type, shape)
    inside = _inside(steps.shape[1:], kernel)
    always = (allowed | ~inside).all(3).all(2)
    ever = allowed.any(3).any(2)
    return ever if bool((always | ~ever).all()) else None


def _inside(size: torch.Size, kernel: Size) -> Tensor:
    """bool [H, W, kh, kw]: whether the tap lies inside the image."""
    kh, kw = kernel
    ones = F.pad(torch.ones(tuple(size), dtype=torch.bool), (kw // 2, kw // 2, kh // 2, kh // 2))
    return ones.unfold(0, kh, 1).unfold(1, kw, 1)
