"""Advice on leaks: the causal layer to use in place of each kind of operation that may be to blame."""

from __future__ import annotations

import re

from torch import nn

from pixkit.layers import KeepBefore, MixingLayer, Pointwise, Shift, ShiftedConv2d, ShiftedConvTranspose2d
from pixkit.readiness.recorder import Operation
from pixkit.readiness.watch import hooked

_INSTEAD = (
    # torch's modules and functions, in lower case; the causal counterpart in pixkit.layers
    (r"conv_?transpose\dd|upsample.*|interpolate|pixel_?shuffle", "MaskedUpsample"),
    (r"pixel_?unshuffle", "MaskedDownsample"),
    (r"conv\dd|unfold", "MaskedConv2d with mask_type {mask}"),
    (
        r"(batch|group|layer|instance|rms|localresponse)_?norm(\dd)?|normalize",
        "ColourLayerNorm, over the maps of each site",
    ),
    (r"multihead_?attention.*|transformer.*|scaled_dot_product_attention|matmul|bmm|einsum", "CausalAttention"),
    (r"(rnn|lstm|gru)(cell)?(base)?", "RowLSTM or DiagonalLSTM, fed by the 4 * maps of a MaskedConv2d"),
    (r"linear", "Pointwise, a linear map over the maps of each site"),
    (r"roll|flip|.*pad(\dd)?", "Shift"),
    (
        r".*pool\dd.*|mean|sum|amax|amin|max|min|std|var|cumsum|logsumexp",
        "MaskedDownsample, to halve the scale; no site may read a mean over the whole image",
    ),
)
_LAYOUT = r"view|reshape|flatten|unflatten|permute|transpose|movedim|squeeze|unsqueeze|getitem|contiguous"
_FIRST = 'put a pixkit.layers.MaskedConv2d with mask_type "A" between the pixels and'


def advice(blamed: Operation, *, pixels: bool, groups: int, hidden: Operation | None) -> str:
    """Return the fix for a leak, phrased to follow the word "try".

    Args:
        blamed: the operation to blame.
        pixels: whether it reads pixels rather than features computed from them.
        groups: number of colour groups.
        hidden: the KeepBefore that the leak passed through, if any.
    """
    if hidden is not None and isinstance(hidden.module, KeepBefore):
        readers = f"predictions of step {hidden.module.step} and later"
        return f"let only {readers} read the output of {hidden.label}, or give it a smaller step"
    if isinstance(blamed.module, MixingLayer):
        return _of_mixing(blamed, blamed.module, pixels)
    if blamed.module is not None and hooked(blamed.module):
        return f"move what the hook of {blamed.label} does into a separate module"
    if blamed.kind == "all":
        return _of_torch(blamed, pixels)
    if pixels:
        return f"{_FIRST} {blamed.label}, which lets a site see itself"
    return _of_colours(blamed, groups)


def replaceable(operation: Operation) -> bool:
    """Whether a causal counterpart is known."""
    return any(_instead(name, operation.module) for name in _names(operation))


def _of_mixing(blamed: Operation, layer: MixingLayer, pixels: bool) -> str:
    """Advice for a layer that states what it reads."""
    if isinstance(layer, Shift | ShiftedConv2d | ShiftedConvTranspose2d):
        moved = "a larger shift" if isinstance(layer, Shift) else "rows or columns that end earlier"
        return f"give {blamed.label} {moved}, or put pixkit.layers.Shift(1, 0) or Shift(0, 1) after it"
    if pixels and getattr(layer, "mask_type", None) == "B" and not isinstance(layer, Pointwise):
        return f'give {blamed.label} mask_type="A": it reads pixels, and "B" lets a site see itself'
    if pixels:
        return f"{_FIRST} {blamed.label}, which lets a site see itself"
    return f"check the forward of {blamed.label} against its `ready`, which says that it reads pixels drawn too late"


def _of_torch(blamed: Operation, pixels: bool) -> str:
    """Advice for a module or function of torch that is assumed to mix everything."""
    name, module = _names(blamed)[0], blamed.module
    if isinstance(module, nn.BatchNorm2d):
        return "give BatchNorm2d running statistics (track_running_stats=True), or use pixkit.layers.ColourLayerNorm"
    instead = next((found for one in _names(blamed) if (found := _instead(one, module))), None)
    if instead is not None:
        mask = '"A", since it reads pixels' if pixels else '"B", since it reads features'
        return f"replace {name} with pixkit.layers.{instead.format(mask=mask)}"
    if re.fullmatch(_LAYOUT, name):
        return "keep features as [B, maps, H, W], and mix sites with layers from pixkit.layers"
    own = "write a MixingLayer or PointwiseLayer, which states what it reads"
    return f"replace {name} with a layer from pixkit.layers, or {own}"


def _names(operation: Operation) -> list[str]:
    """The name of the function, or of the module's class and its base classes."""
    if operation.module is None:
        return operation.label.split(" ")[:1]
    return [cls.__name__ for cls in type(operation.module).__mro__]


def _instead(name: str, module: nn.Module | None) -> str | None:
    """The causal counterpart, if one is known."""
    if isinstance(module, nn.Conv2d) and max(module.stride) > 1:
        return "MaskedDownsample, if the stride halves the scale"
    known = name.lower().rstrip("_")
    return next((instead for pattern, instead in _INSTEAD if re.fullmatch(pattern, known)), None)


def _of_colours(blamed: Operation, groups: int) -> str:
    """Advice for an operation that mixes the maps of a site where colours are drawn one after another."""
    rule = f"map m belongs to colour m % {groups} and may read maps of that colour and earlier ones"
    if isinstance(blamed.module, nn.Conv2d):
        return f"replace Conv2d with pixkit.layers.Pointwise: {rule}; or use a head that draws colours jointly"
    way = (
        "do it separately for each colour's maps"
        if blamed.kind == "channels"
        else f"make parts of a multiple of {groups} maps"
    )
    return f"{way}: {rule}; or use a head that draws colours jointly"
