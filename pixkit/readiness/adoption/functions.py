"""Functions of the values at one site, of any type: reductions, choices and look-ups by pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from pixkit.layers.sequence import RunningScan
from pixkit.layers.site_function import Read, SiteFunction
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.layout import Layout, arranged
from pixkit.readiness.adoption.layout import axes as axes_of
from pixkit.readiness.adoption.moves import keywords, positional
from pixkit.readiness.adoption.recurrent import scanned
from pixkit.readiness.adoption.separable import Mixed, name_of

ALONG = frozenset(
    (
        *("var", "std", "var_mean", "std_mean", "amax", "amin", "max", "min", "logsumexp", "prod", "argmax", "argmin"),
        *("linalg_vector_norm", "norm", "any", "all", "median", "mode", "softmax", "_softmax", "log_softmax"),
        *("_log_softmax", "_safe_softmax", "sort", "argsort", "topk", "kthvalue", "aminmax", "count_nonzero", "nansum"),
        *("cumprod", "cummax", "cummin", "logcumsumexp", "nanmean", "nanmedian"),
    )
)
"""Operations along one or several axes, given as `dim`, that treat each line separately."""


@dataclass(frozen=True)
class Operand:
    """The values that a function reads at each site.

    Attributes:
        addresses: [*lead, *inner], the lead as torch broadcasts it.
        axes: number of inner axes.
        dtype: of the values.
    """

    addresses: Tensor
    axes: int
    dtype: torch.dtype

    @property
    def lead(self) -> torch.Size:
        """The axes along which the function is repeated."""
        return self.addresses.shape[: self.addresses.ndim - self.axes]

    @property
    def inner(self) -> torch.Size:
        """The axes that the function combines."""
        return self.addresses.shape[self.addresses.ndim - self.axes :]


def require_held(dtype: torch.dtype, builder: Builder) -> None:
    """Require that the network's own type holds values of this type without loss.

    Raises:
        Mixed: if it does not.
    """
    own = builder.dtype
    small = dtype in (torch.bool, torch.uint8, torch.int8)
    whole = not dtype.is_floating_point and not dtype.is_complex and own in (torch.float32, torch.float64)
    narrower = dtype.is_floating_point and torch.promote_types(dtype, own) == own
    if not (small or whole or narrower):
        raise Mixed(f"which computes {dtype} from pixels, which {own}, the network's type, cannot hold")


def computed(
    builder: Builder, function: Callable[..., Any], arguments: list[Any], named: dict[str, Any] | None = None
) -> Any:
    """Addresses [*lead, *result] of a function's result at each site, or several such.

    Args:
        builder: the graph to add it to.
        function: of tensors [..., *inner]; see `SiteFunction`.
        arguments: `Operand` for values that need pixels, constants and numbers.
        named: keyword arguments.
    """
    operands = [each for each in arguments if isinstance(each, Operand)]
    lead = torch.broadcast_shapes(*(each.lead for each in operands))
    rows = [each.addresses.expand(*lead, *each.inner).reshape(*lead, each.inner.numel()) for each in operands]
    sizes = [row.shape[-1] for row in rows]
    joined = torch.cat(rows, -1) if len(rows) > 1 else rows[0]
    layout = arranged(builder.space, [joined], 1)
    index = layout.index.unflatten(1, (layout.lead, sum(sizes)))
    parts = index.split(sizes, 2)
    nodes = [builder.node(joined.flatten()[part.flatten(1, 2)], layout.grid) for part in parts]
    reads = iter([Read((layout.lead, *each.inner), each.dtype) for each in operands])
    given = [next(reads) if isinstance(each, Operand) else each for each in arguments]
    row = index[:, :, 0] // sum(sizes)  # the element of the lead that each site's function is for
    return _results(builder, function, (given, named or {}), nodes, (lead, row, layout))


def _results(
    builder: Builder,
    function: Callable[..., Any],
    given: tuple[list[Any], dict[str, Any]],
    nodes: list[fx.Node],
    place: tuple[torch.Size, Tensor, Layout],
) -> Any:
    """One layer for each of the function's results."""
    arguments, named = given
    lead, row, layout = place
    tried = [torch.zeros(1, *each.shape, dtype=each.dtype) if isinstance(each, Read) else each for each in arguments]
    with torch.no_grad():
        sample = function(*tried, **named)
    several = isinstance(sample, tuple | list)
    found = []
    for part, result in enumerate(sample if several else [sample]):
        require_held(result.dtype, builder)
        inner = result.shape[2:]
        count = inner.numel()
        layer = SiteFunction(function, arguments, named, axes=1 + len(inner), part=part if several else None)
        out = builder.layer(layer, nodes, layout.lead * count, layout.grid)
        index = row[:, :, None] * count + torch.arange(count)[:, None]
        shape = torch.Size((*lead, *inner))
        found.append(builder.scattered(Layout(index.flatten(1, 2), layout.grid, 1), out, shape))
    return tuple(found) if several else found[0]


def along(builder: Builder, node: fx.Node, given: dict[str, Any]) -> Any:
    """An operation of `ALONG`, with its axes moved last."""
    function: Any = node.target
    if "dim" not in given:
        raise Mixed("which combines all of a tensor, including its images")
    name, named = next(iter(given)), given["dim"]
    x = given[name]
    axes = [axis % x.ndim for axis in ([named] if isinstance(named, int) else list(named or range(x.ndim)))]
    kind, step = node.all_input_nodes[0].meta["val"].dtype, name_of(node)
    if step in RunningScan.STEPS and kind == builder.dtype and axes_of(builder.space, [x.movedim(named, -1)])[2][-1]:
        found = scanned(builder, step, x, named)
        return (found, None) if step in ("cummax", "cummin") else found
    last = list(range(-len(axes), 0))
    changed = {**given, "dim": last[0] if isinstance(named, int) else last}
    changed[name] = Operand(x.movedim(axes, last), len(axes), kind)
    out = computed(builder, function, [changed[each] for each in positional(function)], keywords(function, changed))

    def back(part: Tensor) -> Tensor:
        return part.movedim(last, axes) if part.ndim == x.ndim else part

    return tuple(back(part) for part in out) if isinstance(out, tuple) else back(out)


def dtypes(node: fx.Node, pixels: Iterable[fx.Node] = ()) -> list[torch.dtype]:
    """The types of the results of an operation, and of the operands in `pixels`."""
    values = pytree.tree_leaves(node.meta["val"]) + [each.meta["val"] for each in pixels]
    return [value.dtype for value in values if isinstance(value, Tensor)]


def require_type(kinds: Iterable[torch.dtype], builder: Builder) -> None:
    """Require the network's own type for sums: with less precision, they would depend on how many sites are computed.

    Raises:
        Mixed: if the operation computes in another type.
    """
    other = next((kind for kind in kinds if kind.is_floating_point and kind != builder.dtype), None)
    if other is not None:
        raise Mixed(f"which sums in {other}, not in {builder.dtype}, the network's type")


def typed(
    builder: Builder, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any], function: Any = None
) -> Tensor:
    """An element-wise function that the table of operations lacks, or lacks for these types."""
    leaves, spec = pytree.tree_flatten((list(args), dict(kwargs)))
    nodes = pytree.tree_leaves((list(node.args), dict(node.kwargs)))
    places, operands = [], []
    for place, leaf in enumerate(leaves):
        if isinstance(leaf, Known) and not leaf.value.ndim:
            leaves[place] = leaf.value.item()
        elif isinstance(leaf, Tensor | Known):
            addresses = builder.space.constant(leaf) if isinstance(leaf, Known) else leaf
            operands.append(Operand(addresses, 0, nodes[place].meta["val"].dtype))
            places.append(place)
    target: Any = node.target
    called = function or target.overloadpacket  # not its overload: a constant of no axes has become a number
    found: Tensor = computed(builder, Spelled(called, leaves, places, spec), list(operands))
    return found


class Spelled:
    """An operation with all arguments bound but some, wherever they stand."""

    def __init__(self, function: Any, leaves: list[Any], places: list[int], spec: Any) -> None:
        self.function, self.places, self.spec = function, places, spec
        self.leaves = [None if place in places else leaf for place, leaf in enumerate(leaves)]
        self.__name__ = str(function)

    def __call__(self, *values: Tensor) -> Any:
        """Call it with these values in their places."""
        leaves = list(self.leaves)
        for place, value in zip(self.places, values, strict=True):
            leaves[place] = value
        args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return self.function(*args, **kwargs)
