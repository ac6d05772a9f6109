"""A backbone exported by torch, and rewritten."""

from __future__ import annotations

import copy
import io
import operator
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from importlib import import_module
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from pixkit.errors import quoted
from pixkit.network import Autoregressive
from pixkit.precision import left_as_set
from pixkit.readiness.adoption.assigned import Assigned, written
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.followed import require_followed
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.rewrite import Rewriter
from pixkit.readiness.adoption.separable import NotSeparable, finite
from pixkit.readiness.elements.arrays import raw_arrays
from pixkit.readiness.elements.tape import line_here
from pixkit.readiness.elements.untouched import untouched
from pixkit.readiness.settings import memory_filled, slow_paths


def adopted(network: Autoregressive, x: Tensor, context: Tensor | None) -> Autoregressive:
    """The same network with its backbone rewritten with pixkit's layers, which say site by site what they read.

    It holds the current parameter values.

    Args:
        network: in evaluation mode.
        x: int64 [B, C, H, W], three images or more.
        context: of these images, or None.

    Raises:
        NotSeparable: naming the operation that cannot be computed site by site, and its line.
    """
    backbone = _rewritten(network, _inputs(network, x, context), type(network.backbone).__name__)
    require_same(network, backbone, x, context, SIZES)
    twin = copy.copy(network)
    twin._modules = {**network._modules, "backbone": backbone}
    return twin


def require_same(
    network: Autoregressive, backbone: nn.Module, x: Tensor, context: Tensor | None, sizes: Sequence[int]
) -> None:
    """Require that a backbone computes what the network's does, up to rounding, for these batch sizes.

    Args:
        network: in evaluation mode.
        backbone: its rewritten backbone.
        x: int64 [B, C, H, W]; batches are made of these images.
        context: of these images, or None.
        sizes: batch sizes.

    Raises:
        NotSeparable: if it computes something different.
    """
    who = type(network.backbone).__name__
    with _failing_to_export(who):
        same = _same(network.backbone, backbone, _inputs(network, x, context), sizes)
        same = same or _same_without_rounding(network, x, context, sizes)
    if not same:
        counts = " or ".join(map(str, sizes))
        raise NotSeparable(
            "the rewritten network computes something different",
            where=who,
            found=f"features that differ from its forward's for another batch size ({counts})",
            expected="a forward that does the same for each image, without randomness or state",
        )


def _inputs(network: Autoregressive, x: Tensor, context: Tensor | None) -> tuple[Tensor, ...]:
    """The backbone's arguments."""
    conditions = () if network.conditioner is None else (network.conditioner(context),)
    return (network.encoding(x), *conditions)


def _rewritten(network: Autoregressive, inputs: tuple[Tensor, ...], who: str) -> fx.GraphModule:
    """Rewrite on the CPU, where addresses are, and move the result to the network's device."""
    device = inputs[0].device
    with _failing_to_export(who):
        foreign = network.backbone if device.type == "cpu" else copy.deepcopy(network.backbone).cpu()
    here = tuple(each.cpu() for each in inputs)
    program = _exported(foreign, tuple(each[:2].contiguous() for each in here), who)
    builder = Builder(2, here[0].dtype)
    given = _given(program, builder, here, network.ordering.groups, who)
    grid = (here[0].shape[2], here[0].shape[3])
    rewriter = Rewriter(builder, who)
    changed = written(program, rewriter.read(program.graph, given))
    if changed:
        raise NotSeparable(
            "the network changes tensors that it does not own",
            where=who,
            found=f"its forward writes to {', '.join(changed)}",
            expected="a forward that returns features and leaves everything else unchanged",
        )
    (features,) = program.graph_signature.user_outputs
    return rewriter.made(program.graph, features, grid).to(device).eval()


@contextmanager
def _failing_to_export(who: str) -> Iterator[None]:
    try:
        yield
    except NotSeparable:
        raise
    except Exception as error:  # a foreign forward, or torch's exporter, may raise anything
        raise NotSeparable(
            "the network cannot be exported",
            where=who,
            found=quoted(error),
            expected="a forward without branches or loops that depend on the values of tensors",
        ) from error


def _exported(backbone: nn.Module, inputs: tuple[Tensor, ...], who: str) -> ExportedProgram:
    scripted = [name for name, part in backbone.named_modules() if isinstance(part, torch.jit.ScriptModule)]
    if scripted:
        raise NotSeparable(
            "a module of the network is compiled by TorchScript, which torch's exporter cannot inspect",
            where=f"{who}: {scripted[0] or 'the backbone itself'}",
            found="torch.jit.ScriptModule",
            expected="the module that it was compiled from",
        )
    # On failure the exporter prints the graph so far, for torch developers; and it leaves copies of lists and tuples.
    unread, kept, raw = redirect_stderr(io.StringIO()), untouched(backbone), list[str]()
    arrays = raw_arrays(backbone, lambda name: raw.append(f"{name}: {line_here({}, None)}"))
    with _failing_to_export(who), warnings.catch_warnings(), left_as_set(), _without_shortcuts(), unread, kept, arrays:
        warnings.simplefilter("ignore")
        try:
            program = torch.export.export(backbone, inputs)
            require_followed(program, backbone, inputs, who)
        except RuntimeError as error:
            if "fake tensor" not in str(error):
                raise
            with Assigned():
                program = torch.export.export(backbone, inputs)
                require_followed(program, backbone, inputs, who)
        if any(_writes(node) for node in program.graph.nodes):
            with _left_whole(program.graph_module):
                program = program.run_decompositions({})
    if raw:
        raise NotSeparable(
            "the network makes an uninitialised array",
            where=who,
            found=raw[0],
            expected="numpy.zeros, or torch.empty, whose writes can be followed",
        )
    program.graph.eliminate_dead_code()
    if sum(spec.kind is OutputKind.USER_OUTPUT for spec in program.graph_signature.output_specs) != 1:
        raise NotSeparable(
            "the network returns several results",
            where=who,
            found=f"{len(program.graph_signature.user_outputs)} of them",
            expected="features, one image",
        )
    return program


@contextmanager
def _without_shortcuts() -> Iterator[None]:
    """Make torch's transformer layers apply the mask even if it is causal.

    They examine the mask to find out, which an exporter cannot do. The result is the same either way. A forward that
    asks whether it is being exported is told no, so the export shows what it normally does. torch's compiler is loaded
    before, since it looks these functions up only once: it would know them no longer, nor compile what calls them.
    """
    import_module("torch._dynamo")

    def said(mask: Tensor | None, is_causal: bool | None = None, size: int | None = None) -> bool:
        return is_causal is True

    with ExitStack() as patched:
        patched.enter_context(slow_paths())
        patched.enter_context(patch.object(torch.nn.modules.transformer, "_detect_is_causal_mask", said))
        for question in ("is_compiling", "is_exporting", "is_dynamo_compiling"):
            patched.enter_context(patch.object(torch.compiler, question, lambda: False))
        yield


@contextmanager
def _left_whole(exported: fx.GraphModule) -> Iterator[None]:
    """Of torch's composite operations, register only those in the program to be left whole.

    Torch (2.13) registers and unregisters all of the 700 or so, which takes longer than everything else.
    """
    asked = ("_collect_all_valid_cia_ops", "_is_preservable_cia_op")
    where = torch.export.exported_program
    if not all(hasattr(where, name) for name in asked):
        yield
        return
    graphs = (part.graph for part in exported.modules() if isinstance(part, fx.GraphModule))
    targets = {node.target for graph in graphs for node in graph.nodes if isinstance(node.target, OpOverload)}
    whole = {target for target in targets if where._is_preservable_cia_op(target)}
    with patch.object(where, asked[0], lambda: whole):
        yield


def _writes(node: fx.Node) -> bool:
    """Whether an exported operation changes a tensor in place, or is not ATen's."""
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and (schema.is_mutable if schema else node.target is not operator.getitem)


def _given(
    program: ExportedProgram, builder: Builder, inputs: tuple[Tensor, ...], groups: int, who: str
) -> dict[str, Any]:
    """The value of each placeholder."""
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
            value = kept[str(target)]
            if not isinstance(value, Tensor):
                raise NotSeparable(
                    "the network reads something that is not a tensor",
                    where=who,
                    found=type(value).__name__,
                    expected="features computed from pixels, parameters, buffers and constants",
                )
            given[name] = Known.constant(value)
    return given


def _same(foreign: nn.Module, backbone: nn.Module, inputs: tuple[Tensor, ...], sizes: Sequence[int]) -> bool:
    """Whether both compute the same, up to rounding, for batch sizes other than the exported one.

    The rewritten backbone treats each image separately, so it is run only once.
    """
    with finite(backbone):
        found = backbone(*inputs)
    generator = torch.Generator().manual_seed(0)
    chosen = [torch.randperm(number, generator=generator) % len(found) for number in sizes]
    with memory_filled():
        return all(_alike(foreign(*(each[some] for each in inputs)), found[some]) for some in chosen)


SIZES = (1, 5)
"""Batch sizes: a forward may treat a single image, or many, differently; other sizes are compared when drawn."""


def _alike(expected: Tensor, found: Tensor) -> bool:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    if expected.dtype != torch.float64:
        return torch.allclose(found, expected, rtol=1e-4, atol=1e-5, equal_nan=True)
    size = float(expected.nan_to_num(0.0, 0.0, 0.0).abs().max()) if expected.numel() else 0.0
    return torch.allclose(found, expected, rtol=1e-9, atol=1e-9 * max(size, 1.0), equal_nan=True)


def _same_without_rounding(network: Autoregressive, x: Tensor, context: Tensor | None, sizes: Sequence[int]) -> bool:
    """Whether the network in float64, rewritten in the same way, computes the same.

    The effect of rounding in lower precision depends on the weights; a real difference remains in float64.
    """
    if network.reference.dtype == torch.float64:
        return False
    try:
        twin = copy.deepcopy(network).double()
        inputs = _inputs(twin, x, context)
        return _same(twin.backbone, _rewritten(twin, inputs, type(network.backbone).__name__), inputs, sizes)
    except Exception:  # a forward that insists on another type: unknown
        return False
