"""Lowering of layers: attention, norms and others here; linear layers, gathers and recurrences in their own modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn

from pixkit.backbones.encodings import Encoding
from pixkit.execution.lowering.attention import attend
from pixkit.execution.lowering.gathers import decimate, keep, mosaic, reorient, shift
from pixkit.execution.lowering.instruction import Lowered, grouped, unsupported
from pixkit.execution.lowering.recurrent import recurrence, running, sequence
from pixkit.execution.lowering.tables import attention, site_sum
from pixkit.execution.lowering.taps import convolution, tap_layer
from pixkit.layers import (
    AppendMaps,
    CausalAttention,
    ColourLayerNorm,
    ConcatenatedELU,
    Decimate,
    KeepBefore,
    Maxout,
    Mosaic,
    Reorient,
    Shift,
    SiteLayerNorm,
    SiteNorm,
    SiteRMSNorm,
    TapLayer,
)
from pixkit.layers.contraction import SiteSum
from pixkit.layers.recurrent import Recurrence
from pixkit.layers.sequence import RunningScan, SequenceRecurrence
from pixkit.layers.site_attention import SiteAttention
from pixkit.readiness.trace import Operation

Handler: TypeAlias = Callable[[Any, Operation, list[Operation], int], list[Lowered]]
"""Called with the module, its operation, the operations that are its inputs, and the number of colour groups."""


def _embed(module: Encoding, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """A table [C, K, E] with the encoding of each level."""
    if source.kind != "pixels":
        raise unsupported(operation)
    spec = module.image
    device = next(iter([*module.parameters(), *module.buffers()])).device
    levels = torch.arange(spec.levels, device=device)[:, None, None, None].expand(-1, spec.channels, 1, 1)
    with torch.no_grad():
        table = module(levels).view(spec.levels, -1, spec.channels).permute(2, 0, 1)
    return [Lowered("EMBED", operation.inputs, taps=spec.levels, inner=table.shape[2], weight=table)]


def _append(module: AppendMaps, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """The input's maps, followed by the constants [G, S, M' / G]."""
    if not len(module.values) % groups == source.maps % groups == 0:
        raise unsupported(operation)
    own, sites = source.maps // groups, operation.grid[0] * operation.grid[1]
    constants = module.values.flatten(1).unflatten(0, (-1, groups)).permute(1, 2, 0)
    count = constants.shape[2]
    return [
        Lowered("COPY", operation.inputs, count=own),
        Lowered("CONSTANT", operation.inputs, grid=sites, weight=constants, to=own, count=count),
    ]


def _attention(module: CausalAttention, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    return [attend(operation, source.maps // module.heads, module.visible.cpu(), heads=module.heads)]


def _batch_norm(module: nn.BatchNorm2d, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    mean, variance = module.running_mean, module.running_var
    if mean is None or variance is None:
        raise unsupported(operation)
    scale = (variance + module.eps).rsqrt() * (1.0 if module.weight is None else module.weight.detach())
    shift = -mean * scale + (0.0 if module.bias is None else module.bias.detach())
    return [Lowered("AFFINE", operation.inputs, weight=grouped(scale, groups), bias=grouped(shift, groups))]


def _layer_norm(module: ColourLayerNorm, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    weight, bias = (grouped(x, groups) for x in (module.weight, module.bias))
    return [Lowered("NORM", operation.inputs, weight=weight, bias=bias, alpha=module.eps)]


def _site_norm(module: SiteNorm, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """Over all maps; there is one colour group, since the norm would mix several."""
    kind = "LAYER_NORM" if isinstance(module, SiteLayerNorm) else "RMS_NORM"
    added = torch.zeros_like(module.weight) if module.bias is None else module.bias
    weight, bias = grouped(module.weight, groups), grouped(added, groups)
    return [Lowered(kind, operation.inputs, weight=weight, bias=bias, alpha=module.added)]


def _concatenated_elu(module: nn.Module, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    return [Lowered("CONCATENATED_ELU", operation.inputs)]


def _maxout(module: nn.Module, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    return [Lowered("MAXOUT", operation.inputs)]


def _of_first(handler: Callable[[Any, Operation, Operation, int], list[Lowered]]) -> Handler:
    """A handler that takes only the first input."""
    return lambda module, operation, sources, groups: handler(module, operation, sources[0], groups)


LAYERS: tuple[tuple[type[nn.Module], Handler], ...] = (
    (Encoding, _of_first(_embed)),
    (TapLayer, _of_first(tap_layer)),
    (nn.Conv2d, _of_first(convolution)),
    (Shift, _of_first(shift)),
    (KeepBefore, _of_first(keep)),
    (Reorient, _of_first(reorient)),
    (Decimate, _of_first(decimate)),
    (Mosaic, mosaic),
    (Recurrence, _of_first(recurrence)),
    (SequenceRecurrence, _of_first(sequence)),
    (RunningScan, _of_first(running)),
    (SiteSum, site_sum),
    (AppendMaps, _of_first(_append)),
    (CausalAttention, _of_first(_attention)),
    (SiteAttention, attention),
    (nn.BatchNorm2d, _of_first(_batch_norm)),
    (ColourLayerNorm, _of_first(_layer_norm)),
    (SiteLayerNorm, _of_first(_site_norm)),
    (SiteRMSNorm, _of_first(_site_norm)),
    (ConcatenatedELU, _of_first(_concatenated_elu)),
    (Maxout, _of_first(_maxout)),
)
