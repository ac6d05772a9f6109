"""Small backbones of every shape that the engine has to understand, written as anybody would write them."""

import torch
import torch.nn.functional as F
from torch import nn

import pixkit
from pixkit.backbones.encodings import InputConfig
from pixkit.image import ImageSpec
from pixkit.layers import (
    CausalAttention,
    ConcatenatedELU,
    DiagonalLSTM,
    KeepBefore,
    MaskedConv2d,
    MaskedDownsample,
    MaskedUpsample,
    Pointwise,
    Shift,
    ShiftedConv2d,
    ShiftedConvTranspose2d,
)
from pixkit.orderings.masks import Horizontal, Vertical
from pixkit.testing import component, named, network


class Gate(nn.Module):
    """tanh(a) * sigmoid(b) of the two halves of the maps."""

    def forward(self, x):
        a, b = x.chunk(2, 1)
        return torch.tanh(a) * torch.sigmoid(b)


class Plain(pixkit.Backbone):
    """A type A layer and two of type B: causal under every ordering."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        maps, ordering = 6, spec.ordering
        self.width = maps
        self.stem = MaskedConv2d(spec.inputs, maps, 3, "A", ordering)
        self.body = MaskedConv2d(maps, maps, 3, "B", ordering)
        self.out = Pointwise(maps, maps, ordering)

    def forward(self, x):
        h = self.stem(x)
        return self.out(F.elu(h + self.body(F.elu(h))))


class Recurrent(pixkit.Backbone):
    """Diagonals from the right, which compute a whole row at one step, then from the left, two rows at its end."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        maps, ordering = 3, spec.ordering
        self.width = maps
        self.stem = MaskedConv2d(spec.inputs, 4 * maps, 3, "A", ordering)
        self.left, self.right = DiagonalLSTM(maps, ordering), DiagonalLSTM(maps, ordering, mirrored=True)
        self.down, self.grow = Shift(1, 0), Pointwise(maps, 4 * maps, ordering)

    def forward(self, x):
        gates = self.stem(x)
        return F.elu(self.left(gates + self.grow(self.down(self.right(gates)))))


class Gated(pixkit.Backbone):
    """Gated PixelCNN's two stacks: the vertical one sees rows <= r, its link is shifted down (arXiv 1606.05328)."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        maps, self.width = 6, 6
        self.down = Shift(1, 0)
        self.vertical = nn.ModuleList(
            ShiftedConv2d(before, 2 * maps, (-1, 0), (-1, 1)) for before in (spec.inputs, maps, maps)
        )
        self.horizontal = nn.ModuleList(
            ShiftedConv2d(before, 2 * maps, (0, 0), columns)
            for before, columns in ((spec.inputs, (-2, -1)), (maps, (-1, 0)), (maps, (-1, 0)))
        )
        self.link = nn.ModuleList(nn.Conv2d(2 * maps, 2 * maps, 1) for _ in range(3))
        self.skip = nn.ModuleList(nn.Conv2d(maps, maps, 1) for _ in range(3))
        self.gate = Gate()

    def forward(self, x):
        v = h = x
        skips = 0.0
        for number, (down, right) in enumerate(zip(self.vertical, self.horizontal, strict=True)):
            wide = down(v)
            new = self.gate(right(h) + self.link[number](self.down(wide)))
            v, h = self.gate(wide), new if number == 0 else h + new
            skips = skips + self.skip[number](new)
        return F.relu(skips)


class MaskedGated(pixkit.Backbone):
    """Two stacks of masked kernels under sequential colours; gates split maps that keep the colours' pattern."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        maps, self.width, ordering = 6, 6, spec.ordering
        self.rows = MaskedConv2d(spec.inputs, 2 * maps, 3, "A", ordering, shape=Vertical())
        self.above = MaskedConv2d(maps, 2 * maps, 3, "B", ordering)
        self.left = MaskedConv2d(spec.inputs, 2 * maps, 3, "A", ordering, shape=Horizontal())
        self.link = Pointwise(2 * maps, 2 * maps, ordering)
        self.gate = Gate()

    def forward(self, x):
        v = self.rows(x)
        return self.gate(self.left(x) + self.link(v)) + self.gate(self.above(self.gate(v)))


class GatedResnet(nn.Module):
    """PixelCNN++'s block: a * sigmoid(b), a skip by 1x1 before the second nonlinearity (arXiv 1701.05517)."""

    def __init__(self, maps, rows, columns, extra=0):
        super().__init__()
        self.act = ConcatenatedELU()
        self.first = ShiftedConv2d(2 * maps, maps, rows, columns)
        self.nin = nn.Conv2d(2 * extra, maps, 1) if extra else None
        self.dropout = nn.Dropout(0.5)
        self.second = ShiftedConv2d(2 * maps, 2 * maps, rows, columns)

    def forward(self, x, extra=None):
        h = self.first(self.act(x))
        if self.nin is not None:
            h = h + self.nin(self.act(extra))
        a, b = self.second(self.dropout(self.act(h))).chunk(2, 1)
        return x + a * torch.sigmoid(b)


class ShiftedUnet(pixkit.Backbone):
    """PixelCNN++'s shape: two streams, strided and transposed shifted convolutions, concatenated skips."""

    class Config(pixkit.ComponentConfig):
        width: int = 6
        resnets: int = 1
        levels: int = 2

    up_rows = (0, 1)

    def __init__(self, config, spec):
        super().__init__(config, spec)
        maps = self.width = config.width
        self.levels = config.levels
        self.u_in = ShiftedConv2d(spec.inputs, maps, (-1, 0), (-1, 1))
        self.ul_above = ShiftedConv2d(spec.inputs, maps, (0, 0), (-1, 1))
        self.ul_left = ShiftedConv2d(spec.inputs, maps, (-1, 0), (0, 0))
        self.shift_down, self.shift_right = Shift(1, 0), Shift(0, 1)
        grids = [(spec.image.height, spec.image.width)]
        for _ in range(config.levels):
            grids.append((-(-grids[-1][0] // 2), -(-grids[-1][1] // 2)))
        self.down_blocks = nn.ModuleList(self._blocks(maps, config.resnets, 0) for _ in range(config.levels + 1))
        self.up_blocks = nn.ModuleList(self._blocks(maps, config.resnets, maps) for _ in range(config.levels + 1))
        self.down = nn.ModuleList(
            nn.ModuleList([
                ShiftedConv2d(maps, maps, (-1, 0), (-1, 1), stride=2),
                ShiftedConv2d(maps, maps, (-1, 0), (-1, 0), stride=2),
            ])
            for _ in range(config.levels)
        )  # fmt: skip
        self.up = nn.ModuleList(
            nn.ModuleList([
                ShiftedConvTranspose2d(maps, maps, self.up_rows, (-1, 1), grid),
                ShiftedConvTranspose2d(maps, maps, (0, 1), (0, 1), grid),
            ])
            for grid in reversed(grids[:-1])
        )  # fmt: skip
        self.merge = nn.ModuleList(nn.Conv2d(2 * maps, maps, 1) for _ in range(2 * config.levels + 2))

    def _blocks(self, maps, count, skip):
        rows = [GatedResnet(maps, (-1, 0), (-1, 1), skip) for _ in range(count)]
        sites = [GatedResnet(maps, (-1, 0), (-1, 0), skip + maps) for _ in range(count)]
        return nn.ModuleList([nn.ModuleList(rows), nn.ModuleList(sites)])

    def forward(self, x):
        u = self.shift_down(self.u_in(x))
        ul = self.shift_down(self.ul_above(x)) + self.shift_right(self.ul_left(x))
        skips = []
        for level, (rows, sites) in enumerate(self.down_blocks):
            for row, site in zip(rows, sites, strict=True):
                u = row(u)
                ul = site(ul, u)
            skips.append((u, ul))
            if level < self.levels:
                u, ul = self.down[level][0](u), self.down[level][1](ul)
        for level, (rows, sites) in enumerate(self.up_blocks):
            old_u, old_ul = skips.pop()
            u = self.merge[2 * level](torch.cat([u, old_u], 1))
            ul = self.merge[2 * level + 1](torch.cat([ul, old_ul], 1))
            for row, site in zip(rows, sites, strict=True):
                u = row(u, old_u)
                ul = site(ul, torch.cat([u, old_ul], 1))
            if level < self.levels:
                u, ul = self.up[level][0](u), self.up[level][1](ul)
        return F.elu(ul)


class MaskedUnet(pixkit.Backbone):
    """Two coarser grids under any ordering, skips concatenated."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        maps, ordering = 6, spec.ordering
        self.width = maps
        self.stem = MaskedConv2d(spec.inputs, maps, 3, "A", ordering)
        self.down = nn.ModuleList(MaskedDownsample(maps, maps, 3, ordering, scale=scale) for scale in (1, 2))
        self.up = nn.ModuleList(MaskedUpsample(maps, maps, 3, ordering, scale=scale) for scale in (2, 1))
        self.out = Pointwise(2 * maps, maps, ordering)

    def forward(self, x):
        fine = F.elu(self.stem(x))
        half = F.elu(self.down[0](fine))
        quarter = F.elu(self.down[1](half))
        back = F.elu(self.up[0](quarter)) * 0.5 + half
        return F.elu(self.out(torch.cat([self.up[1](back), fine], 1)))


class Attending(pixkit.Backbone):
    """Attention over earlier pixels (type A), then over features (type B), with two heads."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        maps, self.width = 4, 4
        self.stem = MaskedConv2d(spec.inputs, maps, 3, "A", spec.ordering)
        self.query = nn.ModuleList(nn.Conv2d(maps, maps, 1) for _ in range(2))
        self.key = nn.ModuleList([nn.Conv2d(maps + spec.inputs, maps, 1), nn.Conv2d(maps, maps, 1)])
        self.value = nn.ModuleList([nn.Conv2d(maps + spec.inputs, 6, 1), nn.Conv2d(maps, maps, 1)])
        self.earlier = CausalAttention(spec.ordering, heads=2)
        self.present = CausalAttention(spec.ordering, heads=2, mask_type="B")
        self.mix = nn.Conv2d(6, maps, 1)

    def forward(self, x):
        h = self.stem(x)
        raw = torch.cat([x, h], 1)
        h = h + self.mix(self.earlier(self.query[0](h), self.key[0](raw), self.value[0](raw)))
        return F.elu(h + self.present(self.query[1](h), self.key[1](h), self.value[1](h)))


class Revealed(pixkit.Backbone):
    """An ordinary network over the first row, read by the rows below, beside a masked layer.

    Some of its values are no images: the maps' means [B, M], their sites in a row [B, M, S], and a shape.
    """

    def __init__(self, config, spec):
        super().__init__(config, spec)
        maps, self.width, groups = 6, 6, spec.ordering.groups
        self.hide = KeepBefore(spec.ordering, spec.image.width * groups)
        self.free = nn.Sequential(nn.Conv2d(spec.inputs, maps, 3, padding=1), nn.ELU(), nn.GroupNorm(2, maps))
        self.weigh = nn.Linear(maps, maps)
        self.down = Shift(1, 0)
        self.stem = MaskedConv2d(spec.inputs, maps, 3, "A", spec.ordering)

    def forward(self, x):
        free = self.free(self.hide(x))
        weights = torch.sigmoid(self.weigh(free.mean((2, 3))))
        shares = free.flatten(2).softmax(2).view(free.shape)
        return F.elu(self.stem(x) + self.down(free * weights[:, :, None, None] + shares))


class Conditioned(pixkit.Backbone):
    """A label's vector and an upsampled latent, both given at construction, beside the masked layers."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        maps, self.width, ordering = 6, 6, spec.ordering
        height, width = spec.image.height, spec.image.width
        self.label = nn.Parameter(torch.randn(1, 2 * maps, 1, 1))
        self.latent = nn.Parameter(torch.randn(1, 3, 2, 2))
        self.grow = nn.Sequential(nn.Conv2d(3, maps, 1), nn.GroupNorm(3, maps), nn.Upsample(size=(height, width)))
        self.place = nn.Parameter(torch.randn(maps, height, width))
        self.shade = nn.Parameter(torch.randn(height, width))
        self.bias = nn.Parameter(torch.randn(maps, 1, 1))
        self.stem = MaskedConv2d(spec.inputs, 2 * maps, 3, "A", ordering)
        self.body = MaskedConv2d(maps, maps, 3, "B", ordering)
        self.gate = Gate()

    def forward(self, x):
        h = self.gate(self.stem(x) + self.label * 2)
        h = F.elu(self.body(h + self.grow(self.latent)) * self.shade + self.place)
        return h + self.bias


NETS = {
    cls.__name__: cls
    for cls in (Plain, Gated, Recurrent, MaskedGated, ShiftedUnet, MaskedUnet, Attending, Revealed, Conditioned)
}
ANY_ORDER = {"Plain", "MaskedUnet", "Conditioned"}
JOINT = {"Attending"}


def net_of(cls, spec, ordering="raster", *, seed=0, gain=2.0, config=None, **keys):
    """A float64 network with random weights around a backbone of this file."""
    joint = cls.__name__ in JOINT and spec.channels > 1
    colours = {"colours": "joint"} if joint else {}
    return network(
        component("backbone", cls, **(config or {})),
        spec,
        ordering=named("ordering", ordering, **colours, **keys),
        seed=seed,
        gain=gain,
    )


__all__ = ["ANY_ORDER", "NETS", "ImageSpec", "InputConfig", "net_of"]
