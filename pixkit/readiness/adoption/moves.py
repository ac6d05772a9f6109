"""Operations that move values and compute nothing: they are applied to addresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.separable import Mixed
from pixkit.readiness.adoption.space import Space

SAME = frozenset(
    (
        *("alias", "detach", "clone", "contiguous", "lift_fresh", "lift_fresh_copy", "view_as"),
        *("reshape_as", "dropout", "feature_dropout", "alpha_dropout", "resolve_conj", "resolve_neg"),
    )
)
"""Operations that leave values unchanged in evaluation mode, or take a shape from another tensor."""
CASTS = frozenset(("to", "_to_copy", "type_as"))
"""Operations that convert to another type."""
MOVED = frozenset(
    (
        *(
            "view",
            "reshape",
            "expand_as",
            "_unsafe_view",
            "permute",
            "transpose",
            "t",
            "expand",
            "broadcast_to",
            "slice",
            "select",
        ),
        *("unbind", "split", "split_with_sizes", "chunk", "unsafe_split", "unsafe_chunk", "tensor_split", "hsplit"),
        *("vsplit", "dsplit", "squeeze", "unsqueeze", "flip", "roll", "rot90", "index", "index_select", "gather"),
        *("take", "take_along_dim", "cat", "concat", "stack", "hstack", "vstack", "dstack", "repeat", "tile"),
        *("repeat_interleave", "unfold", "im2col", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "movedim"),
        *("moveaxis", "swapaxes", "swapdims", "flatten", "unflatten", "narrow", "diagonal", "mT", "numpy_T"),
        *("select_scatter", "slice_scatter", "diagonal_scatter", "scatter", "index_put", "index_copy", "where"),
        *("masked_fill", "copy", "pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d"),
        *("replication_pad2d", "tril", "triu", "upsample_nearest1d", "upsample_nearest2d"),
    )
)
"""Operations that move values; arguments other than data must be fixed."""
SHAPED = frozenset(
    (
        *("zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"),
        *("new_empty_strided",),
    )
)
"""Operations that use only the shape and type of a tensor."""
TABLES = {
    "index": ("indices",),
    "index_put": ("indices",),
    "index_select": ("index",),
    "gather": ("index",),
    "scatter": ("index",),
    "take": ("index",),
    "take_along_dim": ("indices",),
    "index_copy": ("index",),
    "where": ("condition",),
    "masked_fill": ("mask",),
    "repeat_interleave": ("repeats",),
}
"""Arguments that hold indices, by operation."""


def move(name: str, function: Callable[..., Any], arguments: dict[str, Any], space: Space, dtype: torch.dtype) -> Any:
    """Apply an operation of `MOVED` to addresses.

    Args:
        name: ATen's name.
        function: ATen's operation.
        arguments: by ATen's names; data are addresses or `Known`.
        space: the space of the addresses.
        dtype: of the result.

    Raises:
        Mixed: if an index depends on parameters.
    """
    if name == "index_put" and arguments.get("accumulate"):
        raise Mixed("which sums values that it puts in one place")
    if name == "scatter" and arguments.get("reduce") is not None:
        raise Mixed("which combines values that it puts in one place")
    changed = dict(arguments)
    for argument in TABLES.get(name, ()):
        changed[argument] = pytree.tree_map(_table, arguments[argument])
    _fill(name, changed, space, dtype)
    changed = {argument: pytree.tree_map(lambda leaf: _data(leaf, space), value) for argument, value in changed.items()}
    by_itself = next((rule for names, rule in BY_ITSELF.items() if name in names), None)
    if by_itself is not None:
        return by_itself(function, changed, (space, dtype))
    return function(*[changed[argument] for argument in positional(function)], **keywords(function, changed))


def positional(function: Any) -> list[str]:
    """ATen's names of the positional arguments."""
    return [argument.name for argument in function._schema.arguments if not argument.kwarg_only]


def keywords(function: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments."""
    names = [argument.name for argument in function._schema.arguments if argument.kwarg_only]
    return {name: arguments[name] for name in names if arguments.get(name) is not None}


def _table(leaf: Any) -> Any:
    if isinstance(leaf, Known):
        if not leaf.all_fixed:
            raise Mixed("which uses parameters as indices")
        if not leaf.written:
            raise Mixed("which uses uninitialised memory as indices")
        return leaf.value.cpu()
    if isinstance(leaf, Tensor):
        raise Mixed("which uses pixel values as indices or conditions")
    return leaf


def _data(leaf: Any, space: Space) -> Any:
    return space.constant(leaf) if isinstance(leaf, Known) else leaf


def _fill(name: str, arguments: dict[str, Any], space: Space, dtype: torch.dtype) -> None:
    """Replace numbers that are written into a tensor by their addresses."""
    if name in ("masked_fill", "scatter") and isinstance(arguments.get("value"), int | float):
        arguments["value"] = int(space.literal(float(arguments["value"]), dtype))
    if name in ("pad", "constant_pad_nd") and arguments.get("mode", "constant") == "constant":
        arguments["value"] = int(space.literal(float(arguments.get("value") or 0.0), dtype))
    if name == "where":
        for argument in ("self", "other"):
            if isinstance(arguments.get(argument), int | float):
                arguments[argument] = space.literal(float(arguments[argument]), dtype)


def _triangle(function: Callable[..., Any], given: dict[str, Any], where: tuple[Space, torch.dtype]) -> Tensor:
    """Zeros beyond a diagonal."""
    kept = function(torch.ones(given["self"].shape[-2:], dtype=torch.bool), given["diagonal"])
    return torch.where(kept, given["self"], where[0].literal(0.0, where[1]))


def _columns(function: Callable[..., Any], given: dict[str, Any], where: tuple[Space, torch.dtype]) -> Tensor:
    """Patches as columns, with zeros around the image."""
    names = ("kernel_size", "dilation", "padding", "stride")
    found = torch.nn.functional.unfold(given["self"].double() + 1, *[given[name] for name in names]).long() - 1
    return torch.where(found < 0, where[0].literal(0.0, where[1]), found)


def _padded(function: Callable[..., Any], given: dict[str, Any], where: tuple[Space, torch.dtype]) -> Tensor:
    """Constants, or values nearby."""
    addresses, name = next(iter(given.values())), function.__name__
    if name.startswith("pad"):
        mode = given["mode"]
        if mode == "constant":
            return torch.nn.functional.pad(addresses, given["pad"], value=given["value"])
    else:
        mode = "reflect" if name.startswith("reflection") else "replicate"
    amounts: list[int] = given["pad" if name.startswith("pad") else "padding"]
    return torch.nn.functional.pad(addresses.double(), amounts, mode=mode).long()


BY_ITSELF: dict[tuple[str, ...], Callable[..., Tensor]] = {
    ("tril", "triu"): _triangle,
    ("im2col",): _columns,
    ("pad", "reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d"): _padded,
    # Addresses are exact in float64, for operations that torch has only for real numbers.
    ("upsample_nearest1d", "upsample_nearest2d"): lambda function, given, where: function(
        given["input"].double(), *list(given.values())[1:]
    ).long(),
    ("copy",): lambda function, given, where: given["src"].expand(given["self"].shape),
    # Numbers have become addresses.
    ("where",): lambda function, given, where: torch.where(given["condition"], given["self"], given["other"]),
    # Copies that make values contiguous were not made for addresses.
    ("view", "_unsafe_view"): lambda function, given, where: given["self"].reshape(given["size"]),
}
"""By ATen's names: called with ATen's operation, its arguments, and the space of addresses with the result's type."""
