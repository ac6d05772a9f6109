"""Backbones with a planted leak each, and the layer that is to blame."""

import torch
import torch.nn.functional as F
from nets import Gated, ShiftedUnet
from torch import nn

import pixkit
from pixkit.image import ImageSpec
from pixkit.layers import CausalAttention, KeepBefore, MaskedConv2d, Pointwise


class Base(pixkit.Backbone):
    """A type A layer, a hook for what leaks, a type B layer."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 6
        self.stem = MaskedConv2d(spec.inputs, 6, 3, "A", spec.ordering)
        self.body = MaskedConv2d(6, 6, 3, "B", spec.ordering)
        self.plant(spec)

    def plant(self, spec):
        raise NotImplementedError

    def wrong(self, h):
        return self.bad(h)

    def forward(self, x):
        return self.body(F.elu(self.wrong(F.elu(self.stem(x)))))


class WrongMaskType(Base):
    """Type B over pixels."""

    def plant(self, spec):
        self.stem = MaskedConv2d(spec.inputs, 6, 3, "B", spec.ordering)

    def wrong(self, h):
        return h


class MissingShift(Gated):
    """Two stacks whose link is not moved down a row."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.down = nn.Identity()


class GroupNormed(Base):
    """A norm over sites."""

    def plant(self, spec):
        self.bad = nn.GroupNorm(2, 6)


class BatchNormed(Base):
    """A batch norm that always takes the batch's own statistics."""

    def plant(self, spec):
        self.bad = nn.BatchNorm2d(6, track_running_stats=False)


class Pooled(Base):
    """Squeeze and excite."""

    def plant(self, spec):
        self.bad = nn.AdaptiveAvgPool2d(1)

    def wrong(self, h):
        return h * torch.sigmoid(self.bad(h))


class TransposedOffByOne(ShiftedUnet):
    """The transposed convolution of the upper stream starts a row too high."""

    up_rows = (-1, 0)


class AttentionUnmasked(Base):
    """Attention over all sites."""

    def plant(self, spec):
        self.bad = nn.MultiheadAttention(6, 1, batch_first=True)

    def wrong(self, h):
        rows = h.flatten(2).transpose(1, 2)
        mixed, _ = self.bad(rows, rows, rows)
        return mixed.transpose(1, 2).view(-1, 6, 3, 4)


class AttentionToPixels(Base):
    """Keys that are not later, though they carry raw pixels."""

    def plant(self, spec):
        self.key = nn.Conv2d(spec.inputs, 6, 1)
        self.bad = CausalAttention(spec.ordering, mask_type="B")

    def forward(self, x):
        h = F.elu(self.stem(x))
        return self.body(h + self.bad(h, self.key(x), self.key(x)))


class ResidualAroundA(Base):
    """The input of a type A layer added to its output."""

    def plant(self, spec):
        self.widen = Pointwise(spec.inputs, 6, spec.ordering)

    def forward(self, x):
        return self.body(F.elu(self.stem(x) + self.widen(x)))


class DenseColours(Base):
    """An ordinary 1x1 map under sequential colours."""

    def plant(self, spec):
        self.bad = nn.Conv2d(6, 6, 1)


class HiddenTooLate(Base):
    """An ordinary network behind KeepBefore, read by what is drawn before that step."""

    def plant(self, spec):
        self.hide = KeepBefore(spec.ordering, 4)
        self.bad = nn.Conv2d(spec.inputs, 6, 3, padding=1)

    def forward(self, x):
        return self.body(F.elu(self.stem(x) + self.bad(self.hide(x))))


class OrdinaryConvolution(Base):
    """A 3x3 convolution without a mask."""

    def plant(self, spec):
        self.bad = nn.Conv2d(6, 6, 3, padding=1)


class PassedByName(OrdinaryConvolution):
    """The same, called by the name of its argument."""

    def wrong(self, h):
        return self.bad(input=h)


class MixedByHand(Base):
    """Rows rolled by a plain function."""

    def plant(self, spec):
        pass

    def wrong(self, h):
        return h + torch.roll(h, -1, 3)


class GatedAcrossColours(Base):
    """Gates by the other half of the maps, of which map m + 3 is not of map m's colour if there are two."""

    def plant(self, spec):
        self.bad = nn.GLU(1)

    def wrong(self, h):
        return torch.cat([self.bad(h), self.bad(h)], 1)


GREY, COLOUR = ImageSpec(1, 3, 4, 2), ImageSpec(3, 3, 4, 3)
LEAKS = [
    (WrongMaskType, COLOUR, "backbone.stem (MaskedConv2d)"),
    (MissingShift, GREY, "backbone.vertical.0 (ShiftedConv2d)"),
    (GroupNormed, GREY, "backbone.bad (GroupNorm)"),
    (BatchNormed, GREY, "backbone.bad (BatchNorm2d)"),
    (Pooled, GREY, "backbone.bad (AdaptiveAvgPool2d)"),
    (TransposedOffByOne, GREY, "backbone.up.1.0 (ShiftedConvTranspose2d)"),
    (AttentionUnmasked, GREY, "backbone.bad (MultiheadAttention)"),
    (AttentionToPixels, GREY, "backbone.bad (CausalAttention)"),
    (ResidualAroundA, GREY, "backbone.widen (Pointwise)"),
    (DenseColours, COLOUR, "backbone.bad (Conv2d)"),
    (HiddenTooLate, GREY, "backbone.bad (Conv2d)"),
    (OrdinaryConvolution, GREY, "backbone.bad (Conv2d)"),
    (PassedByName, GREY, "backbone.bad (Conv2d)"),
    (MixedByHand, GREY, "roll"),
    (GatedAcrossColours, ImageSpec(2, 3, 4, 3), "backbone.bad (GLU)"),
]
