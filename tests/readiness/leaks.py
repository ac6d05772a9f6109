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


class AttentionByHand(Base):
    """Attention by torch's function, between two changes of layout."""

    def plant(self, spec):
        pass

    def wrong(self, h):
        rows = h.flatten(2).transpose(1, 2)
        return F.scaled_dot_product_attention(rows, rows, rows).transpose(1, 2).view(-1, 6, 3, 4)


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


class DenseStem(Base):
    """A 1x1 map of the pixels, read by type B."""

    def plant(self, spec):
        self.stem = nn.Conv2d(spec.inputs, 6, 1)

    def wrong(self, h):
        return h


class SoftmaxOfColours(Base):
    """A softmax over the maps of all colours."""

    def plant(self, spec):
        self.bad = nn.Softmax(1)


class SkipOfPixels(Base):
    """Pixels added to features."""

    def forward(self, x):
        return self.body(self.stem(x) + x)

    def plant(self, spec):
        pass


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


class OrdinaryStem(Base):
    """A 3x3 convolution of the pixels without a mask."""

    def plant(self, spec):
        self.stem = nn.Conv2d(spec.inputs, 6, 3, padding=1)

    def wrong(self, h):
        return h


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


class Reshaped(Base):
    """Rows and columns exchanged."""

    def plant(self, spec):
        pass

    def wrong(self, h):
        return h.permute(0, 1, 3, 2)


class Sorted(Base):
    """A function of all columns that no layer of pixkit's is like."""

    def plant(self, spec):
        pass

    def wrong(self, h):
        return h + torch.sort(h, 3)[0]


class GatedAcrossColours(Base):
    """Gates by the other half of the maps, of which map m + 3 is not of map m's colour if there are two."""

    def plant(self, spec):
        self.bad = nn.GLU(1)

    def wrong(self, h):
        return torch.cat([self.bad(h), self.bad(h)], 1)


GREY, COLOUR = ImageSpec(1, 3, 4, 2), ImageSpec(3, 3, 4, 3)
LEAKS = [
    (WrongMaskType, COLOUR, "backbone.stem (MaskedConv2d)", 'give backbone.stem (MaskedConv2d) mask_type="A"'),
    (MissingShift, GREY, "backbone.vertical.0 (ShiftedConv2d)", "or put pixkit.layers.Shift(1, 0)"),
    (GroupNormed, GREY, "backbone.bad (GroupNorm)", "replace GroupNorm with pixkit.layers.ColourLayerNorm"),
    (BatchNormed, GREY, "backbone.bad (BatchNorm2d)", "give BatchNorm2d running statistics"),
    (Pooled, GREY, "backbone.bad (AdaptiveAvgPool2d)", "with pixkit.layers.MaskedDownsample"),
    (TransposedOffByOne, GREY, "backbone.up.1.0 (ShiftedConvTranspose2d)", "rows or columns that end earlier"),
    (AttentionUnmasked, GREY, "backbone.bad (MultiheadAttention)", "with pixkit.layers.CausalAttention"),
    (AttentionByHand, GREY, "scaled_dot_product_attention", "with pixkit.layers.CausalAttention"),
    (AttentionToPixels, GREY, "backbone.bad (CausalAttention)", 'mask_type="A": it reads pixels'),
    (ResidualAroundA, GREY, "backbone.widen (Pointwise)", 'mask_type "A" between the pixels and backbone.widen'),
    (SkipOfPixels, GREY, "add", 'mask_type "A" between the pixels and add (add)'),
    (DenseColours, COLOUR, "backbone.bad (Conv2d)", "replace Conv2d with pixkit.layers.Pointwise: map m belongs to"),
    (DenseStem, COLOUR, "backbone.stem (Conv2d)", 'mask_type "A" between the pixels and backbone.stem'),
    (
        SoftmaxOfColours,
        COLOUR,
        "backbone.bad (Softmax)",
        "do it separately for each colour's maps: map m belongs to colour m % 3",
    ),
    (
        HiddenTooLate,
        GREY,
        "backbone.bad (Conv2d)",
        "only predictions of step 4 and later read the output of backbone.hide",
    ),
    (OrdinaryConvolution, GREY, "backbone.bad (Conv2d)", 'with pixkit.layers.MaskedConv2d with mask_type "B"'),
    (OrdinaryStem, GREY, "backbone.stem (Conv2d)", 'with pixkit.layers.MaskedConv2d with mask_type "A"'),
    (PassedByName, GREY, "backbone.bad (Conv2d)", 'with pixkit.layers.MaskedConv2d with mask_type "B"'),
    (MixedByHand, GREY, "roll", "replace roll with pixkit.layers.Shift"),
    (Reshaped, ImageSpec(1, 4, 4, 2), "permute", "keep features as [B, maps, H, W]"),
    (Sorted, GREY, "sort", "replace sort with a layer from pixkit.layers, or write a MixingLayer"),
    (GatedAcrossColours, ImageSpec(2, 3, 4, 3), "backbone.bad (GLU)", "make parts of a multiple of 2 maps"),
]
"""The backbone, the images, what is to blame, and what is said to do about it."""
