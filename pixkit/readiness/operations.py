"""Which operations of a traced network work site by site.

Three classes, from what an operation may mix: `Elementwise` keeps sites and colour groups apart; `Channels` mixes the
maps of one site; all else is taken to mix everything. The tables are closed: an operation that is not in them is
all-to-all, which is safe.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import fx, nn

from pixkit.layers.base import MixingLayer, PointwiseLayer

Kind: TypeAlias = Literal["pixels", "static", "elementwise", "concat", "split", "channels", "mixing", "all"]

ELEMENTWISE_MODULES: tuple[type[nn.Module], ...] = (
    PointwiseLayer,
    nn.Identity,
    nn.ReLU,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softplus,
    nn.Hardtanh,
    nn.Dropout,
    nn.Dropout2d,
)

ELEMENTWISE_FUNCTIONS: frozenset[Callable[..., Any]] = frozenset(
    {
        operator.getitem,
        operator.add,
        operator.iadd,
        operator.isub,
        operator.imul,
        operator.sub,
        operator.mul,
        operator.truediv,
        operator.neg,
        torch.add,
        torch.sub,
        torch.mul,
        torch.div,
        torch.neg,
        torch.maximum,
        torch.minimum,
        torch.sigmoid,
        torch.tanh,
        torch.exp,
        torch.abs,
        torch.relu,
        F.relu,
        F.leaky_relu,
        F.elu,
        F.selu,
        F.gelu,
        F.silu,
        F.sigmoid,
        F.tanh,
        F.softplus,
        F.dropout,
        F.dropout2d,
    }
)

ALONG_MAPS: dict[Any, tuple[Kind, int]] = {
    torch.cat: ("concat", 1),
    torch.concat: ("concat", 1),
    torch.chunk: ("split", 2),
    torch.split: ("split", 2),
    "chunk": ("split", 2),
    "split": ("split", 2),
    torch.softmax: ("channels", 1),
    F.softmax: ("channels", 1),
    "softmax": ("channels", 1),
}
"""What an operation is if its `dim`, the argument at this position, is 1."""

ELEMENTWISE_METHODS = frozenset(
    {"add", "sub", "mul", "div", "neg", "sigmoid", "tanh", "relu", "exp", "abs", "contiguous"}
)


def kind_of(node: fx.Node, module: nn.Module | None) -> Kind:
    """What a traced operation may mix; `module` is the one that a call_module node calls."""
    if node.op == "call_module":
        return _module_kind(module)
    elementwise = ELEMENTWISE_METHODS if node.op == "call_method" else ELEMENTWISE_FUNCTIONS
    if node.target in elementwise:
        return "elementwise"
    kind, position = ALONG_MAPS.get(node.target, ("all", 0))
    return kind if _dim(node, position) == 1 else "all"


def _module_kind(module: nn.Module | None) -> Kind:
    if isinstance(module, MixingLayer):
        return "mixing"
    if isinstance(module, ELEMENTWISE_MODULES):
        return "elementwise"
    if isinstance(module, nn.BatchNorm2d) and module.track_running_stats and module.running_mean is not None:
        return "elementwise"
    if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.stride == (1, 1):
        return "channels" if module.padding in ((0, 0), "valid", "same") else "all"
    return "all"


def _dim(node: fx.Node, position: int) -> int | None:
    """The `dim` argument of a call, which is 0 by default for cat, chunk and split."""
    value = node.kwargs.get("dim", node.args[position] if len(node.args) > position else 0)
    return value if isinstance(value, int) else None
