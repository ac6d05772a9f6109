"""A backbone exported by torch, and rewritten."""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from pixkit.errors import message
from pixkit.network import Autoregressive
from pixkit.precision import former_settings
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.rewrite import Rewriter
from pixkit.readiness.adoption.separable import NotSeparable


def adopted(network: Autoregressive, x: Tensor, context: Tensor | None) -> Autoregressive:
    """The same network with its backbone rewritten into layers of pixkit, which says site by site what it reads.

    It holds the values that parameters have now.

    Args:
        network: in evaluation mode.
        x: int64 [B, C, H, W], three images or more.
        context: of these images, or None.

    Raises:
        NotSeparable: naming the operation that cannot be done site by site, and its line.
    """
    who = type(network.backbone).__name__
    encoded = network.encoding(x)
    conditions = () if network.conditioner is None else (network.conditioner(context),)
    inputs = (encoded, *conditions)
    program = _exported(network, tuple(each[:2].contiguous() for each in inputs), who)
    builder = Builder(2, encoded.dtype)
    given = _given(program, builder, inputs, network.ordering.groups)
    backbone = Rewriter(builder, who).run(program.graph, given, (x.shape[2], x.shape[3]))
    backbone = backbone.to(encoded.device).eval()
    _require_same(network, backbone, inputs, who)
    twin = copy.copy(network)
    twin._modules = {**network._modules, "backbone": backbone}
    return twin


def _exported(network: Autoregressive, inputs: tuple[Tensor, ...], who: str) -> ExportedProgram:
    try:
        with warnings.catch_warnings(), former_settings(), _without_shortcuts():
            warnings.simplefilter("ignore")
            program = torch.export.export(network.backbone, inputs)
            if any(_writes(node) for node in program.graph.nodes):
                program = program.run_decompositions({})  # which takes three times as long
    except Exception as error:  # whatever a foreign forward, or torch's exporter, raises
        raise NotSeparable(
            "the network cannot be exported",
            where=who,
            found=message(error)[:300],
            expected="a forward without branches or loops that depend on the values of tensors",
        ) from error
    program.graph.eliminate_dead_code()
    signature = program.graph_signature
    if signature.buffers_to_mutate or signature.user_inputs_to_mutate or len(signature.output_specs) != 1:
        changed = [*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()]
        raise NotSeparable(
            "the network changes what it does not own",
            where=who,
            found=f"its forward writes to {', '.join(changed)}" if changed else "several results",
            expected="a forward that gives features and leaves everything else as it is",
        )
    return program


@contextmanager
def _without_shortcuts() -> Iterator[None]:
    """Torch's layers of transformers do as much by one operation where no gradient is recorded."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _writes(node: fx.Node) -> bool:
    """Whether an exported operation changes a tensor in place, or is something else than ATen's."""
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and (schema.is_mutable if schema else node.target is not operator.getitem)


def _given(program: ExportedProgram, builder: Builder, inputs: tuple[Tensor, ...], groups: int) -> dict[str, Any]:
    """What each placeholder stands for."""
    given: dict[str, Any] = {}
    names = iter(("x", "context"))
    images = iter(inputs)
    for spec in program.graph_signature.input_specs:
        name, target = spec.arg.name, spec.target
        if spec.kind is InputKind.USER_INPUT:
            one, called = next(images), next(names)
            grid = (one.shape[2], one.shape[3])
            given[name] = builder.placeholder(
                called, one.shape[1], grid, groups=None if called == "context" else groups
            )
        elif spec.kind is InputKind.PARAMETER:
            value = program.state_dict[str(target)].detach()
            given[name] = Known(value, torch.zeros(value.shape, dtype=torch.bool))
        else:
            kept = program.state_dict if str(target) in program.state_dict else program.constants
            given[name] = Known.constant(kept[str(target)])
    return given


def _require_same(network: Autoregressive, backbone: fx.GraphModule, inputs: tuple[Tensor, ...], who: str) -> None:
    """Of another number of images than it was exported with."""
    expected, found = network.backbone(*inputs), backbone(*inputs)
    close = {torch.float64: 1e-9, torch.float32: 1e-3}.get(expected.dtype, 1e-1)
    if found.shape != expected.shape or not torch.allclose(found, expected, rtol=close, atol=close, equal_nan=True):
        raise NotSeparable(
            "what the network was rewritten to computes something else",
            where=who,
            found="other features than its forward's, of another number of images",
            expected="a forward that does the same for each image, without randomness and whatever was there before",
        )
