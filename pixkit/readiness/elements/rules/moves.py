"""Operations that move elements to places that do not depend on values: the operation itself is run on codes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pixkit.readiness.elements.marks import Marks
from pixkit.readiness.elements.rules import codes
from pixkit.readiness.elements.rules.codes import Code, Given

FILLS = ("value", "fill_value", "padding_value", "fill")
"""Arguments that fill places to which nothing was moved: constants, of code 0."""


def _moved(given: Given) -> list[Code]:
    return run(given, {name: _coded(value) for name, value in given.arguments.items()})


def _ranks_moved(given: Given) -> list[Code]:
    """For operations that torch has only for floating point; positions may be computed in the values' precision."""
    (name,) = (name for name, value in given.arguments.items() if isinstance(value, Marks))
    levels, ranks = codes.ranked(given.code(name))
    single = given[name].value.dtype is not torch.float64 and len(levels) < 1 << 24
    found = run(given, {**given.arguments, name: ranks.float() if single else ranks})
    return [levels[part.long()] for part in found]


def run(given: Given, arguments: Mapping[str, Any]) -> list[Tensor]:
    """The operation's results for other arguments, by their names, with zeros for missing ones."""
    found = given.call.func(**{name: 0 if name in FILLS else value for name, value in arguments.items()})
    return [found] if isinstance(found, Tensor) else list(found)


def _coded(value: Any) -> Any:
    if isinstance(value, Marks):
        return codes.of(value)
    return [_coded(part) for part in value] if isinstance(value, list | tuple) else value


def _repeat_interleave(given: Given) -> Code:
    """Each element several times; a tensor may say how often, and then decides the shape."""
    repeats = given["repeats"]
    if not isinstance(repeats, Marks):
        return given.code("self").repeat_interleave(repeats, given["dim"])
    if "self" not in given:
        return codes.latest(codes.of(repeats), [0])
    code, dim = given.code("self"), given["dim"]
    code, dim = (code.reshape(-1), 0) if dim is None else (code, dim)
    if repeats.all_fixed:
        return code.repeat_interleave(repeats.value, dim)
    return codes.join(codes.latest(code, [dim]), codes.whole(codes.of(repeats)))


def _packed(given: Given) -> list[Code]:
    """A batch of sequences as one of steps, ordered by lengths that are fixed; otherwise everything reads all."""
    code, lengths = given.code("input"), given["lengths"]
    told = codes.whole(codes.of(lengths))
    if lengths.all_fixed:
        return [torch.ops.aten._pack_padded_sequence(code, lengths.value, given["batch_first"])[0], told]
    return [codes.join(codes.latest(code, [0, 1])[0], told), told]


def _unpacked(given: Given) -> list[Code]:
    sizes = given["batch_sizes"]
    told = codes.whole(codes.of(sizes))
    code = given.code("data")
    if sizes.all_fixed:
        options = (given["batch_first"], 0, given["total_length"])
        return [torch.ops.aten._pad_packed_sequence(code, sizes.value, *options)[0], told]
    return [codes.join(codes.latest(code, [0]), told), told]


def _folded(given: Given) -> Code:
    """The sum of overlapping windows: each pixel reads the elements of `im2col` that would read it."""
    code = given.code("self")
    code = code if code.dim() == 3 else code[None]
    height, width = given["output_size"]
    pixels = torch.arange(1, height * width + 1, dtype=torch.float64, device=code.device).view(1, 1, height, width)
    windows = [given[name] for name in ("kernel_size", "dilation", "padding", "stride")]
    places = torch.ops.aten.im2col(pixels, *windows).long().flatten()
    flat = code.reshape(code.shape[0], given.shape[-3], -1)
    zeros = flat.new_zeros(*flat.shape[:2], height * width + 1)
    return zeros.scatter_reduce(2, places.expand_as(flat), flat, "amax")[..., 1:].reshape(given.shape)


PLAIN = (
    *("cat", "stack", "block_diag", "constant_pad_nd", "flip", "roll", "rot90", "tril", "triu", "diag_embed", "repeat"),
    *(
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
        "native_channel_shuffle",
        "select_scatter",
        "slice_scatter",
    ),
    *(
        "diagonal_scatter",
        "as_strided_scatter",
        "unsafe_split",
        "unsafe_split_with_sizes",
        "unsafe_chunk",
        "_unsafe_view",
    ),
    *(
        "_reshape_copy",
        "view_copy",
        "permute_copy",
        "transpose_copy",
        "t_copy",
        "expand_copy",
        "slice_copy",
        "select_copy",
    ),
    *(
        "squeeze_copy",
        "unsqueeze_copy",
        "split_copy",
        "split_with_sizes_copy",
        "unbind_copy",
        "diagonal_copy",
        "unfold_copy",
    ),
    *("detach_copy", "as_strided_copy", "narrow_copy", "_reshape_alias_copy", "_chunk_cat", "_stack"),
)
RANKED = (
    *("reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d"),
    *("replication_pad3d", "im2col", "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"),
    *("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d"),
)
RULES = codes.table(
    {
        **dict.fromkeys(PLAIN, _moved),
        **dict.fromkeys(RANKED, _ranks_moved),
        **{"repeat_interleave": _repeat_interleave, "col2im": _folded},
        **{"_pack_padded_sequence": _packed, "_pad_packed_sequence": _unpacked},
    }
)
