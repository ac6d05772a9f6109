"""What to do about a leak: for each kind of operation that may be to blame, the layer that does as much, causally."""

from __future__ import annotations

import re

from torch import nn

from pixkit.layers import KeepBefore, MixingLayer, Pointwise, Shift, ShiftedConv2d, ShiftedConvTranspose2d
from pixkit.readiness.recorder import Operation
from pixkit.readiness.watch import hooked

_INSTEAD = (
    # torch's modules and functions, in small letters; what of pixkit.layers does as much and is causal
    (r"conv_?transpose\dd|upsample.*|interpolate|pixel_?shuffle", "MaskedUpsample"),
    (r"pixel_?unshuffle", "MaskedDownsample"),
    (r"conv\dd|unfold", "MaskedConv2d with mask_type {mask}"),
    (
        r"(batch|group|layer|instance|rms|localresponse)_?norm(\dd)?|normalize",
        "ColourLayerNorm, over the maps of a site",
    ),
    (r"multihead_?attention.*|transformer.*|scaled_dot_product_attention|matmul|bmm|einsum", "CausalAttention"),
    (r"(rnn|lstm|gru)(cell)?(base)?", "RowLSTM or DiagonalLSTM, of the 4 * maps of a MaskedConv2d before it"),
    (r"linear", "Pointwise, a linear map of the maps of a site"),
    (r"roll|flip|.*pad(\dd)?", "Shift"),
    (
        r".*pool\dd.*|mean|sum|amax|amin|max|min|std|var|cumsum|logsumexp",
        "MaskedDownsample, if the scale is to be halved; no site may read a mean of the whole image",
    ),
)
_LAYOUT = r"view|reshape|flatten|unflatten|permute|transpose|movedim|squeeze|unsqueeze|getitem|contiguous"
_FIRST = 'put a pixkit.layers.MaskedConv2d with mask_type "A" between the pixels and'


def advice(blamed: Operation, *, pixels: bool, groups: int, hidden: Operation | None) -> str:
    """What to do, a sentence that follows "try".

    Args:
        blamed: the operation that is to blame.
        pixels: whether it reads pixels rather than features of them.
        groups: number of colour groups.
        hidden: the KeepBefore that the leak went through, if it did.
    """
    if hidden is not None and isinstance(hidden.module, KeepBefore):
        readers = f"predictions of step {hidden.module.step} and later"
        return f"let only {readers} read what comes of {hidden.label}, or give that a smaller step"
    if isinstance(blamed.module, MixingLayer):
        return _of_mixing(blamed, blamed.module, pixels)
    if blamed.module is not None and hooked(blamed.module):
        return f"do what the hook of {blamed.label} does in a module of its own"
    if blamed.kind == "all":
        return _of_torch(blamed, pixels)
    if pixels:
        return f"{_FIRST} {blamed.label}, which lets a site see itself"
    return _of_colours(blamed, groups)


def replaceable(operation: Operation) -> bool:
    """Whether it is known what does as much, causally."""
    return any(_instead(name, operation.module) for name in _names(operation))


def _of_mixing(blamed: Operation, layer: MixingLayer, pixels: bool) -> str:
    """Of a layer that says what it reads."""
    if isinstance(layer, Shift | ShiftedConv2d | ShiftedConvTranspose2d):
        moved = "a larger shift" if isinstance(layer, Shift) else "rows or columns that end earlier"
        return f"give {blamed.label} {moved}, or put pixkit.layers.Shift(1, 0) or Shift(0, 1) behind it"
    if pixels and getattr(layer, "mask_type", None) == "B" and not isinstance(layer, Pointwise):
        return f'give {blamed.label} mask_type="A": it reads pixels, and "B" lets a site see itself'
    if pixels:
        return f"{_FIRST} {blamed.label}, which lets a site see itself"
    return f"compare what the forward of {blamed.label} reads with what its `ready` says: that is drawn too late"


def _of_torch(blamed: Operation, pixels: bool) -> str:
    """Of what is taken to mix everything: a module or a function of torch's."""
    name, module = _names(blamed)[0], blamed.module
    if isinstance(module, nn.BatchNorm2d):
        return "give BatchNorm2d running statistics (track_running_stats=True), or use pixkit.layers.ColourLayerNorm"
    instead = next((found for one in _names(blamed) if (found := _instead(one, module))), None)
    if instead is not None:
        mask = '"A", since it reads pixels' if pixels else '"B", since it reads features'
        return f"in place of {name}, use pixkit.layers.{instead.format(mask=mask)}"
    if re.fullmatch(_LAYOUT, name):
        return "keep features as [B, maps, H, W], and mix sites by layers of pixkit.layers"
    own = "one of your own, a MixingLayer or PointwiseLayer, which says what it reads"
    return f"in place of {name}, use a layer of pixkit.layers, or {own}"


def _names(operation: Operation) -> list[str]:
    """The function's name; of a module those of its class and of what that is made of."""
    if operation.module is None:
        return operation.label.split(" ")[:1]
    return [cls.__name__ for cls in type(operation.module).__mro__]


def _instead(name: str, module: nn.Module | None) -> str | None:
    """What does the same and is causal, if that is known."""
    if isinstance(module, nn.Conv2d) and max(module.stride) > 1:
        return "MaskedDownsample, if the stride is to halve the scale"
    known = name.lower().rstrip("_")
    return next((instead for pattern, instead in _INSTEAD if re.fullmatch(pattern, known)), None)


def _of_colours(blamed: Operation, groups: int) -> str:
    """Of what mixes the maps of a site, where colours are drawn one after the other."""
    rule = f"map m is of colour m % {groups}, and may read maps of that colour and of earlier ones"
    if isinstance(blamed.module, nn.Conv2d):
        return f"in place of Conv2d, use pixkit.layers.Pointwise: {rule}; or take a head that draws colours jointly"
    way = (
        "do it for each colour's maps alone"
        if blamed.kind == "channels"
        else f"make parts of a multiple of {groups} maps"
    )
    return f"{way}: {rule}; or take a head that draws colours jointly"
