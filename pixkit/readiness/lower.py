"""Lowering: each operation of a plan as instructions of kernel.c, with tables and weights as tensors."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from pixkit.backbone import LevelEncoding
from pixkit.errors import PixkitError
from pixkit.layers import ColourLayerNorm, ConcatenatedELU, KeepBefore, Maxout, Shift, TapLayer
from pixkit.layers.geometry import tap_sources
from pixkit.readiness.trace import Operation

LANES = 16
"""A group's maps are padded to a multiple of this."""


class Unsupported(PixkitError):
    """The kernel has no instruction for an operation; other executors do."""


@dataclass(frozen=True)
class Lowered:
    """One kernel operation; fields as in kernel.c. `inputs` name one or two operations of the plan."""

    kind: str
    inputs: tuple[str, ...] = ()
    taps: int = 0
    inner: int = 0
    width: int = 0
    grid: int = 0
    table: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None
    alpha: float = 1.0
    first: int = 0
    to: int = 0
    count: int = 0


UNARY: dict[Any, str] = {
    **dict.fromkeys((nn.ReLU, F.relu, torch.relu, "relu"), "RELU"),
    **dict.fromkeys((nn.Sigmoid, torch.sigmoid, F.sigmoid, "sigmoid"), "SIGMOID"),
    **dict.fromkeys((nn.Tanh, torch.tanh, F.tanh, "tanh"), "TANH"),
    **dict.fromkeys((operator.neg, torch.neg, "neg"), "NEGATE"),
    **dict.fromkeys((nn.ELU, F.elu), "ELU"),
    ConcatenatedELU: "CELU",
    Maxout: "MAXOUT",
}
BINARY: dict[Any, str] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add"), "ADD"),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, "sub"), "SUB"),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul"), "MUL"),
    torch.maximum: "MAXIMUM",
}
PASS = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout2d,
    F.dropout,
    F.dropout2d,
    "contiguous",
    "split",
    "chunk",
    torch.split,
    torch.chunk,
)


def lower(operation: Operation, operations: dict[str, Operation], groups: int) -> list[Lowered]:
    """The kernel operations that do what `operation` does; none where its input is its output.

    Raises:
        Unsupported: naming the operation.
    """
    module, target = operation.module, operation.node.target
    key: Any = type(module) if module is not None else target
    sources = [operations[name] for name in operation.inputs]
    if not operation.groups_apart and groups > 1 and not isinstance(module, nn.Conv2d):
        raise _unsupported(operation)
    if key in PASS:
        return []
    for kind, handler in MODULES:
        if isinstance(module, kind):
            return [handler(module, operation, sources[0], groups)]
    if operation.kind == "concat":
        return _concat(operation, sources, groups)
    if target is operator.getitem:
        return [_part(operation, sources[0], groups)]
    if key in UNARY:
        return [Lowered(UNARY[key], operation.inputs, alpha=_alpha(operation))]
    return [_binary(operation, sources, key)]


def _embed(module: LevelEncoding, operation: Operation, source: Operation, groups: int) -> Lowered:
    """A table [C, K, E] of what the encoding makes of each level."""
    if source.kind != "pixels":
        raise _unsupported(operation)
    spec = module.image
    device = next(iter([*module.parameters(), *module.buffers()])).device
    levels = torch.arange(spec.levels, device=device)[:, None, None, None].expand(-1, spec.channels, 1, 1)
    with torch.no_grad():
        table = module(levels).view(spec.levels, -1, spec.channels).permute(2, 0, 1)
    return Lowered("EMBED", operation.inputs, taps=spec.levels, inner=table.shape[2], weight=table)


def _linear(module: TapLayer, operation: Operation, source: Operation, groups: int) -> Lowered:
    table = module.taps(source.grid)
    sites, taps = table.sources.shape
    allowed = table.allowed.expand(groups, groups, sites, taps)
    outside = table.sources == source.grid[0] * source.grid[1]
    found = torch.where(allowed & ~outside, table.sources, -1)
    weight = module.tap_weight()
    blocks = weight.unflatten(1, (-1, groups)).unflatten(3, (-1, groups)).permute(2, 0, 4, 3, 1)
    bias = torch.zeros(module.out_maps).to(weight) if module.bias is None else module.bias.detach()
    return _taps(operation, found.permute(0, 2, 3, 1), blocks, bias, groups)


def _dense(module: nn.Conv2d, operation: Operation, source: Operation, groups: int) -> Lowered:
    if module.groups > 1 or operation.kind != "channels":
        raise _unsupported(operation)
    sites = operation.grid[0] * operation.grid[1]
    weight = module.weight.detach()[None, :, :, 0, 0]
    blocks = weight.unflatten(1, (-1, groups)).unflatten(3, (-1, groups)).permute(2, 0, 4, 3, 1)
    found = torch.arange(sites)[None, :, None, None].expand(groups, sites, 1, groups)
    bias = torch.zeros(module.out_channels).to(weight) if module.bias is None else module.bias.detach()
    return _taps(operation, found, blocks, bias, groups)


def _taps(operation: Operation, found: Tensor, blocks: Tensor, bias: Tensor, groups: int) -> Lowered:
    """`found` [Go, S, T, Gi] sources or -1; `blocks` [Go, T, Gi, in / G, out / G]; a kernel tap is one (T, Gi)."""
    out = operation.maps // groups
    width = -(-out // LANES) * LANES
    return Lowered(
        "LINEAR",
        operation.inputs,
        taps=found.shape[2] * found.shape[3],
        inner=blocks.shape[3],
        width=width,
        grid=found.shape[1],
        table=found.flatten(2).to(torch.int32),
        weight=F.pad(blocks.flatten(1, 2), (0, width - out)),
        bias=F.pad(_grouped(bias, groups), (0, width - out)),
    )


def _gather(module: Shift | KeepBefore, operation: Operation, source: Operation, groups: int) -> Lowered:
    height, width = operation.grid
    if isinstance(module, Shift):
        down, right = module.down, module.right
        table = tap_sources(operation.grid, operation.grid, (-down, -down), (-right, -right))[:, 0]
        table = torch.where(table == height * width, -1, table).expand(groups, -1)
    else:
        table = torch.where(module.before.flatten(1), torch.arange(height * width), -1)
    return Lowered("GATHER", operation.inputs, grid=height * width, table=table.to(torch.int32))


def _batch_norm(module: nn.BatchNorm2d, operation: Operation, source: Operation, groups: int) -> Lowered:
    mean, variance = module.running_mean, module.running_var
    if mean is None or variance is None:
        raise _unsupported(operation)
    scale = (variance + module.eps).rsqrt() * (1.0 if module.weight is None else module.weight.detach())
    shift = -mean * scale + (0.0 if module.bias is None else module.bias.detach())
    return Lowered("AFFINE", operation.inputs, weight=_grouped(scale, groups), bias=_grouped(shift, groups))


def _layer_norm(module: ColourLayerNorm, operation: Operation, source: Operation, groups: int) -> Lowered:
    weight, bias = (_grouped(x, groups) for x in (module.weight, module.bias))
    return Lowered("NORM", operation.inputs, weight=weight, bias=bias, alpha=module.eps)


def _concat(operation: Operation, sources: list[Operation], groups: int) -> list[Lowered]:
    named = {source.name: source for source in sources}
    parts = [named[node.name] for node in cast("list[fx.Node]", operation.node.args[0])]
    to, copies = 0, []
    for part in parts:
        count = part.maps // groups
        copies.append(Lowered("COPY", (part.name,), to=to, count=count))
        to += count
    return copies


def _part(operation: Operation, source: Operation, groups: int) -> Lowered:
    index = operation.node.args[1]
    if source.parts is None or not isinstance(index, int):
        raise _unsupported(operation)
    sizes = source.parts[: index % len(source.parts)]
    return Lowered("COPY", operation.inputs, first=sum(sizes) // groups, count=operation.maps // groups)


def _binary(operation: Operation, sources: list[Operation], key: Any) -> Lowered:
    arguments = operation.node.args
    if key not in BINARY or len(arguments) != 2 or operation.node.kwargs:
        raise _unsupported(operation)
    kind = BINARY[key]
    names = [getattr(argument, "name", None) for argument in arguments]
    if None not in names:
        if any(source.maps != operation.maps for source in sources):
            raise _unsupported(operation)
        return Lowered(kind, (str(names[0]), str(names[1])))
    number = next((argument for argument in arguments if isinstance(argument, int | float)), None)
    if number is None or (kind == "SUB" and names[0] is None):
        raise _unsupported(operation)
    scale, shift = {"ADD": (1.0, number), "SUB": (1.0, -number), "MUL": (number, 0.0)}[kind]
    weight = torch.full((operation.maps,), float(scale), dtype=torch.float64)
    return Lowered("AFFINE", operation.inputs, weight=weight, bias=torch.full_like(weight, float(shift)))


def _alpha(operation: Operation) -> float:
    if isinstance(operation.module, nn.ELU):
        return float(operation.module.alpha)
    alpha = operation.node.kwargs.get("alpha", operation.node.args[1] if len(operation.node.args) > 1 else 1.0)
    return float(alpha) if isinstance(alpha, int | float) else 1.0


def _grouped(values: Tensor, groups: int) -> Tensor:
    """Per map [M] to [G, M / G]."""
    return values.detach().unflatten(0, (-1, groups)).T.contiguous()


def _unsupported(operation: Operation) -> Unsupported:
    return Unsupported(f"the native executor has no instruction for {operation.label}")


MODULES: tuple[tuple[type[nn.Module], Callable[[Any, Operation, Operation, int], Lowered]], ...] = (
    (LevelEncoding, _embed),
    (TapLayer, _linear),
    (nn.Conv2d, _dense),
    (Shift, _gather),
    (KeepBefore, _gather),
    (nn.BatchNorm2d, _batch_norm),
    (ColourLayerNorm, _layer_norm),
)
