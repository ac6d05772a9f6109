"""A kernel whose taps are allowed at some sites alone, as few ordinary convolutions."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Pieces(nn.Module):
    """Applies a kernel of which each tap is allowed at its own sites: [B, in_maps, H, W] to [B, out_maps, H, W].

    All entries (tap, colour group written, colour group read) that are allowed at the same sites make one piece: an
    ordinary convolution by their part of the kernel, cropped to the rows and columns in use, and then the mask of these
    sites. No tap is computed twice, and no patches are laid out, which take kh * kw times the memory of the input.
    Under one scan for all sites there is one piece; the S-curve has three, for the taps that both directions use
    and those of either.

    Args:
        allowed: bool [G out, G in, H, W, kh, kw]; what lies outside the image reads zeros, whatever is said of it.
        maps: maps read and written; map m is of colour group m % G.
        first: offset of the kernel's first row and column from the site, in steps of the dilation.
        dilation: sites from tap to tap.
    """

    def __init__(self, allowed: Tensor, maps: tuple[int, int], first: tuple[int, int], dilation: int = 1) -> None:
        super().__init__()
        self.dilation, self.grid = dilation, (allowed.shape[2], allowed.shape[3])
        self.crops: list[tuple[slice, slice]] = []
        self.whole: list[bool] = []
        self.pads: list[tuple[int, int]] = []
        self.starts: list[tuple[int, int]] = []
        dtype, groups = torch.get_default_dtype(), len(allowed)
        ins, outs = (torch.arange(count) % groups for count in maps)
        for number, (sites, kernel) in enumerate(_split(allowed, first, dilation)):
            taps = kernel.flatten(0, 1).any(0)
            rows, columns = _span(taps.any(1)), _span(taps.any(0))
            ends = [
                (start + part.start, start + part.stop - 1) for start, part in zip(first, (rows, columns), strict=True)
            ]
            pads = [dilation * max(-low, high, 0) for low, high in ends]
            self.crops.append((rows, columns))
            self.pads.append((pads[0], pads[1]))
            self.starts.append((pads[0] + dilation * ends[0][0], pads[1] + dilation * ends[1][0]))
            self.whole.append(bool(sites.all()))
            part = kernel[outs][:, ins][:, :, rows, columns]
            self.register_buffer(f"kernel{number}", part.to(dtype), persistent=False)
            self.register_buffer(f"sites{number}", sites.to(dtype), persistent=False)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The kernel `weight` [out_maps, in_maps, kh, kw] at every site, and the bias [out_maps]."""
        height, width = self.grid
        out: Tensor | None = None
        for number, ((rows, columns), whole) in enumerate(zip(self.crops, self.whole, strict=True)):
            kernel = weight[:, :, rows, columns] * getattr(self, f"kernel{number}")
            own_bias = bias if whole else None
            part = F.conv2d(x, kernel, own_bias, padding=self.pads[number], dilation=self.dilation)
            top, left = self.starts[number]
            part = part[:, :, top : top + height, left : left + width]
            if not whole:
                part = part * getattr(self, f"sites{number}")
            out = part if out is None else out + part
        if out is None:
            out = x.new_zeros(len(x), len(weight), height, width)
        return out if bias is None or any(self.whole) else out + bias[:, None, None]


def _split(allowed: Tensor, first: tuple[int, int], dilation: int) -> list[tuple[Tensor, Tensor]]:
    """The pieces: sites, bool [H, W], and entries, bool [G out, G in, kh, kw]; the one of all sites comes first."""
    groups, _, height, width, kh, kw = allowed.shape
    inside = (
        (_inside(height, kh, first[0], dilation)[:, None, :, None]) & _inside(width, kw, first[1], dilation)[:, None]
    )
    always = (allowed | ~inside).all(3).all(2) & (allowed & inside).any(3).any(2)
    filled = (allowed & inside) | always[:, :, None, None]
    flat = filled.permute(0, 1, 4, 5, 2, 3).reshape(-1, height * width)
    masks, which = flat.unique(dim=0, return_inverse=True)
    found = [
        (mask.view(height, width), (which == number).view(groups, groups, kh, kw))
        for number, mask in enumerate(masks)
        if mask.any()
    ]
    return sorted(found, key=lambda piece: not piece[0].all())


def _inside(length: int, taps: int, first: int, dilation: int) -> Tensor:
    """bool [length, taps]: whether a tap lies inside the image, along one axis."""
    places = torch.arange(length)[:, None] + dilation * (first + torch.arange(taps))
    return (places >= 0) & (places < length)


def _span(used: Tensor) -> slice:
    """First to last True, of which there is one."""
    found = cast("list[int]", used.nonzero().flatten().tolist())
    return slice(found[0], found[-1] + 1)
