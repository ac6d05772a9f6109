"""Gated PixelCNN (van den Oord et al., 2016, arXiv 1606.05328)."""

from __future__ import annotations

import itertools
from typing import Literal, TypeVar

from pydantic import Field
from torch import Tensor, nn

import pixkit
from pixkit.backbones import OrientedBackbone, check_multiple
from pixkit.layers import MaskedConv2d, MaskedLayer, Pointwise, ShiftedConv2d, fusing, initialise
from pixkit.orderings import MASKS

pixkit_api_version = 1

Layer = TypeVar("Layer", ShiftedConv2d, MaskedConv2d, nn.Conv2d)


class GatedPixelCNN(OrientedBackbone):
    """Two stacks of gated convolutions, vertical and horizontal; every earlier pixel is seen, without a blind spot.

    Layer l of L, at the site (r, c), in p = `width` maps (figure 2 and equations 2 and 4 of arXiv 1606.05328):

        s_l = conv of v_(l-1), rows r - k//2 .. r, columns c - k//2 .. c + k//2         p -> 2p
        v_l = gate(s_l)                                                                 2p -> p
        y_l = gate(conv of h_(l-1) in row r, columns c - k//2 .. c, masked B, + 1x1 of s_l)
        h_l = h_(l-1) + 1x1 of y_l

    and gate(s) = tanh(a + V h) * sigmoid(b + W h), a and b the halves of s and h the context, so that each gate of both
    stacks has its own 1x1 map of the context. The first layer reads pixels: s_1 rows r - 3 .. r - 1 of columns c - 3 ..
    c + 3, and y_1 columns c - 3 .. c - 1, masked A (`first_kernel` 7); h_1 is 1x1 of y_1, without h_0. The vertical
    stack ends with s_L: v_L is not needed. After h_L come `output_layers` of (ReLU, 1x1) and a ReLU.

    The shift. s_1 reads rows < r, strictly, and a kernel of rows r - k//2 .. r of features that see rows < r again sees
    only rows < r. So all of s_l at (r, c) may enter the horizontal stack at (r, c), and the link is not shifted. (The
    alternative, an s_l that sees rows <= r and a link shifted down by one, works equally well and reads one more row in
    layer 1. Both at once would lose row r - 1.)

    The receptive field. With q = first_kernel // 2 + (L - 1) (k // 2), s_L sees rows r - q .. r - 1 of columns
    c - q .. c + q, and h_L that and columns c - q .. c - 1 of row r: a whole half of a square of side 2q + 1. With
    q >= max(H, W) - 1 it is every earlier pixel.

    Kernels hold only the taps that they use, and the two halves of a gate are one convolution. Under sequential colours
    the horizontal stack and the output are masked by colour at the centre; the vertical stack sees the rows above in
    all colours.

    The initial weights before a gate have standard deviation `gain` / sqrt(n), with n inputs. Near 0 a gate halves its
    input, so that 2 keeps the signal's size down the vertical stack, which has no residual. With torch's own
    initialiser, 0.58 in this measure, it would lose a factor of 3.7 in every layer.

    Departures: `skip` (off in the paper) adds a 1x1 map of every y_l to the output; `dropout` is not in the paper.
    """

    conditional = True

    class Config(pixkit.ComponentConfig):
        """Sizes and options."""

        width: int = Field(default=64, ge=1, le=4096)
        """Maps of each stack, the paper's p."""
        layers: int = Field(default=8, ge=1, le=1000)
        """Number of gated layers, the first one included."""
        kernel: Literal[1, 3, 5, 7, 9] = 3
        """Side of the kernels."""
        first_kernel: Literal[3, 5, 7, 9, 11] = 7
        """Side of the first layer's kernel."""
        skip: bool = False
        """Whether each layer has its own 1x1 map to the output, besides the residual stream."""
        output_layers: int = Field(default=1, ge=0, le=16)
        """Layers of (ReLU, 1x1) after the stacks."""
        output_width: int | None = Field(default=None, ge=1, le=8192)
        """Maps of these layers; `width` by default."""
        dropout: float = Field(default=0.0, ge=0, lt=1)
        """Elementwise dropout on the output of every gate."""
        gain: float = Field(default=2.0, gt=0, le=100)
        """Standard deviation of the initial weights before gates, times the square root of their number of inputs."""

    config: Config

    def __init__(self, config: Config, spec: pixkit.BackboneSpec) -> None:
        super().__init__(config, spec)
        for key, maps in (("width", config.width), ("output_width", config.output_width or config.width)):
            check_multiple(key, maps, spec.ordering.groups, "the number of colour groups", config)
        width, half, ordering = config.width, config.first_kernel // 2, self.scan.ordering
        below = range(config.layers - 1)
        first = ShiftedConv2d(spec.inputs, 2 * width, (-half, -1), (-half, half))
        self.first = before_gate(first, config.gain)
        self.vertical = nn.ModuleList(Vertical(config, spec.context) for _ in below)
        start = Horizontal(config, self.scan, spec.inputs, config.first_kernel, "A")
        rest = (Horizontal(config, self.scan, width, config.kernel, "B") for _ in below)
        self.horizontal = nn.ModuleList([start, *rest])
        self.residual = nn.ModuleList(point(width, width, ordering, "xavier") for _ in range(config.layers))
        self.skip = nn.ModuleList(point(width, width, ordering, "xavier") for _ in below if config.skip)
        sizes = [width] + [config.output_width or width] * config.output_layers
        self.out = nn.Sequential(nn.ReLU())
        for before, after in itertools.pairwise(sizes):
            self.out.extend([point(before, after, ordering, "he_normal"), nn.ReLU()])
        self.width = sizes[-1]

    def features(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """[B, inputs, H, W], and the context if there is one, to [B, width, H, W]."""
        seen = self.first(x)
        gated = [self.horizontal[0](x, seen, context)]
        stream = self.residual[0](gated[0])
        for vertical, horizontal, residual in zip(self.vertical, self.horizontal[1:], self.residual[1:], strict=True):
            seen = vertical(seen, context)
            gated.append(horizontal(stream, seen, context))
            stream = stream + residual(gated[-1])
        for skip, result in zip(self.skip, gated, strict=False):
            stream = stream + skip(result)
        return self.out(stream)


def before_gate(layer: Layer, gain: float) -> Layer:
    """The layer, initialised to feed a gate: weights of standard deviation gain / sqrt(inputs), no bias."""
    inputs = layer.fan_in if isinstance(layer, MaskedLayer) else layer.weight[0].numel()
    nn.init.normal_(layer.weight, std=gain / max(inputs, 1.0) ** 0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def point(before: int, after: int, ordering: pixkit.Ordering, init: str) -> Pointwise:
    """An initialised 1x1 map."""
    layer = Pointwise(before, after, ordering)
    initialise(layer, init)
    return layer


class Gate(nn.Module):
    """tanh(a + V h) * sigmoid(b + W h): [B, 2p, H, W] to [B, p, H, W], a and b its halves, h the context."""

    fuses = True

    def __init__(self, config: GatedPixelCNN.Config, context: int) -> None:
        super().__init__()
        self.condition = nn.Conv2d(context, 2 * config.width, 1, bias=False) if context else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """The halves have the same colour pattern, since G divides p."""
        if self.condition is not None:
            x = x + self.condition(context)
        if (ops := fusing(x)) is not None:
            return self.dropout(ops.gate(x))
        a, b = x.chunk(2, 1)
        return self.dropout(a.tanh() * b.sigmoid())


class Vertical(nn.Module):
    """s_l from s_(l-1), only from rows above: [B, 2p, H, W] to the same."""

    def __init__(self, config: GatedPixelCNN.Config, context: int) -> None:
        super().__init__()
        width, half = config.width, config.kernel // 2
        self.gate = Gate(config, context)
        conv = ShiftedConv2d(width, 2 * width, (-half, 0), (-half, half))
        self.conv = before_gate(conv, config.gain)

    def forward(self, seen: Tensor, context: Tensor | None) -> Tensor:
        """Gate, then convolve."""
        return self.conv(self.gate(seen, context))


class Horizontal(nn.Module):
    """y_l from h_(l-1), or from pixels, and s_l: [B, in_maps, H, W] and [B, 2p, H, W] to [B, p, H, W]."""

    def __init__(
        self,
        config: GatedPixelCNN.Config,
        scan: pixkit.BackboneSpec,
        in_maps: int,
        kernel: int,
        mask_type: Literal["A", "B"],
    ) -> None:
        super().__init__()
        maps, gain = 2 * config.width, config.gain / 2**0.5
        conv = MaskedConv2d(in_maps, maps, kernel, mask_type, scan.ordering, shape=MASKS["horizontal"]())
        self.conv = before_gate(conv, gain)
        self.link = before_gate(nn.Conv2d(maps, maps, 1, bias=False), gain)
        self.gate = Gate(config, scan.context)

    def forward(self, x: Tensor, seen: Tensor, context: Tensor | None) -> Tensor:
        """The link takes the vertical stack's values before the gate."""
        return self.gate(self.conv(x) + self.link(seen), context)


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    """Register the backbone."""
    registry.add("backbone", "gated_pixelcnn", GatedPixelCNN)
