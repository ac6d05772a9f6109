"""Element-wise functions in the table of operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.layout import arranged, whole
from pixkit.readiness.adoption.separable import Mixed
from pixkit.readiness.operations import row_of_function


def pointwise(builder: Builder, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Addresses of a function's results.

    Args:
        builder: the graph to add it to.
        name: ATen's name of the function.
        args: its arguments, as exported: addresses, `Known`, numbers.
        kwargs: its keyword arguments, likewise.

    Raises:
        Mixed: if the table of operations has no such function.
    """
    function = function_of(name)
    if function is None:
        raise Mixed("for which there is no rule")
    if name == "mul":
        args = _hidden(builder, args)
    return applied(builder, function, args, kwargs)


def _hidden(builder: Builder, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Skip reading values where a mask of zeros and ones has zeros."""
    known = next((leaf for leaf in args if isinstance(leaf, Known)), None)
    if known is None or not (hidden := known.zeros()).any():
        return args
    if not known.all_fixed or len(known.value[~hidden.to(known.value.device)].unique()) > 1:
        return args  # for example a sine that is 0 somewhere: nothing to skip
    zero = builder.space.literal(0.0, builder.dtype)
    return tuple(torch.where(hidden, zero, leaf) if isinstance(leaf, Tensor) else leaf for leaf in args)


def applied(builder: Builder, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The same for a function of torch's that is in the table."""
    given = [leaf for leaf in args if isinstance(leaf, Tensor | Known)]
    addresses = [leaf if isinstance(leaf, Tensor) else builder.space.constant(leaf) for leaf in given]
    same = torch.broadcast_tensors(*addresses)
    moving = [each for each, leaf in zip(same, given, strict=True) if isinstance(leaf, Tensor)]
    layout = whole(builder.space, moving) or arranged(builder.space, moving)
    images = iter([builder.read_spread(each, layout) for each in same])
    placed = [next(images) if isinstance(leaf, Tensor | Known) else leaf for leaf in args]
    # Of two operands broadcast against each other, or a single broadcast one, one must have every map and site.
    count = layout.index.shape[1]
    if not any(_full(builder, image, count, layout.grid) for image in placed):
        index = next(place for place, leaf in enumerate(args) if isinstance(leaf, Tensor))
        number = sum(isinstance(leaf, Tensor | Known) for leaf in args[:index])
        placed[index] = builder.read(same[number], layout)
    if not _takes(function, placed, kwargs):  # uniform constants have become numbers
        for place, (leaf, image) in enumerate(zip(args, placed, strict=True)):
            if isinstance(leaf, Tensor | Known) and not isinstance(image, fx.Node):
                placed[place] = builder.constant(torch.full((1, 1, 1, 1), image))
    out = builder.call(function, placed, kwargs, count, layout.grid)
    return builder.scattered(layout, out, same[0].shape)


def _takes(function: Callable[..., Any], placed: list[Any], kwargs: dict[str, Any]) -> bool:
    """Whether a function accepts numbers where it is given some; `maximum` does not."""
    try:
        function(*(torch.ones(()) if isinstance(each, fx.Node) else each for each in placed), **kwargs)
    except TypeError:
        return False
    return True


def _full(builder: Builder, image: Any, maps: int, grid: tuple[int, int]) -> bool:
    if not isinstance(image, fx.Node):
        return False
    source = builder.sources[image]
    return (source.maps, source.grid) == (maps, grid)


def function_of(name: str) -> Callable[..., Any] | None:
    """Torch's function of ATen's name, if the table says that it is element-wise."""
    for place in (torch, F, torch.special):
        function = getattr(place, name.removeprefix("special_"), None)
        row = None if function is None else row_of_function(function)
        if row is not None and row.kind == "elementwise":
            return function
    return None
