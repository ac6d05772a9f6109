"""Tracing a network once, and propagating readiness through it.

Readiness (see `pixkit.layers.base`) is kept per colour group and site, int64 [G, h, w]; a value that does not vary over
sites has a grid of (1, 1). One law makes a network causal: what predicts a sub-pixel of step s is ready by s.
"""

from __future__ import annotations

import inspect
import operator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from pixkit.errors import PixkitError
from pixkit.layers.base import MixingLayer, PointwiseLayer
from pixkit.layers.modes import evaluating
from pixkit.network import Autoregressive
from pixkit.readiness.operations import Kind, kind_of

Grid = tuple[int, int]


class Untraceable(PixkitError):
    """torch.fx cannot trace the network; nothing can be proved of it or planned for it."""


@dataclass(frozen=True)
class Operation:
    """One operation of a traced network.

    Attributes:
        name: unique, torch.fx's.
        kind: what it may mix (`pixkit.readiness.operations`).
        node: the torch.fx node.
        module: what a module node calls.
        label: for people: the module's path and class, or the function's name.
        inputs: names of the operations whose results it reads, in argument order.
        grid: height and width of the result, (1, 1) where it does not vary over sites.
        maps: number of feature maps of the result, of the first part where it is a tuple; 0 where it is no image.
            What needs no pixel counts as an image if it is a tensor: its axes are the last of [B, M, h, w].
        parts: number of maps of each part of a tuple, else None.
        groups_apart: whether the result's maps still belong to colour groups, map m to m % G.
        in_place: whether it writes to an input. Nothing that comes later in the network reads that input.
    """

    name: str
    kind: Kind
    node: fx.Node
    module: nn.Module | None
    label: str
    inputs: tuple[str, ...]
    grid: Grid
    maps: int
    parts: tuple[int, ...] | None
    groups_apart: bool
    in_place: bool


class Trace:
    """A traced network: its operations in order, and readiness through them."""

    def __init__(self, network: Autoregressive) -> None:
        self.network = network
        self.groups = network.ordering.groups
        self.modules = dict(network.named_modules())
        generator = torch.Generator().manual_seed(0)
        x = torch.randint(network.spec.levels, (2, *network.spec.shape), generator=generator)
        x = x.to(next(network.parameters()).device)
        with evaluating(network), torch.no_grad():
            context = network.example_context(len(x))
            self.graph = _trace(network)
            recorder = _Recorder(self)
            recorder.run(x, context)
            _require_same(network, (x, context), recorder.features)
        self.operations: dict[str, Operation] = recorder.operations
        self.output: str = recorder.output_name

    def ready(self, known: Tensor | None = None) -> dict[str, Tensor]:
        """Readiness of every operation's result; `known` bool [C, H, W] marks sub-pixels that are given."""
        ready: dict[str, Tensor] = {}
        for operation in self.operations.values():
            if operation.kind == "pixels":
                ready[operation.name] = self._pixels(known)
            else:
                ready[operation.name] = self._propagate(operation, [ready[name] for name in operation.inputs])
        return ready

    def _pixels(self, known: Tensor | None) -> Tensor:
        steps = self.network.ordering.steps + 1
        if known is not None:
            steps = torch.where(known, 0, steps)
        return steps.unflatten(0, (-1, self.groups)).amax(0)

    def _propagate(self, operation: Operation, inputs: list[Tensor]) -> Tensor:
        if operation.kind == "static" or not inputs:
            return torch.zeros(self.groups, *operation.grid, dtype=torch.int64)
        if operation.kind == "mixing":
            return cast(MixingLayer, operation.module).ready(*inputs)
        if operation.kind == "all":
            latest = torch.stack([ready.max() for ready in inputs]).max()
            return latest.expand(self.groups, *operation.grid)
        joined = inputs[0].expand(self.groups, *operation.grid)
        for other in inputs[1:]:
            joined = torch.maximum(joined, other.expand(self.groups, *operation.grid))
        return joined if operation.groups_apart else joined.amax(0, keepdim=True).expand_as(joined)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, MixingLayer | PointwiseLayer) or super().is_leaf_module(m, module_qualified_name)


def _trace(network: Autoregressive) -> fx.GraphModule:
    try:
        return fx.GraphModule(network, _Tracer().trace(network))
    except Exception as error:  # whatever a foreign forward raises on proxies
        raise Untraceable(
            "the network cannot be traced",
            where=type(network.backbone).__name__,
            found=" ".join(str(error).split())[:300],
            expected="a forward without branches or loops that depend on the values of tensors",
        ) from error


def _require_same(network: Autoregressive, inputs: tuple[Tensor, Tensor | None], traced: Tensor | None) -> None:
    """Compare features, since parameters are all alike until the head is trained."""
    given: list[Tensor] = []
    handle = network.projection.register_forward_pre_hook(lambda module, args: given.append(args[0]))
    try:
        network(*inputs)
    finally:
        handle.remove()
    if traced is None or not torch.allclose(given[0], traced, rtol=1e-4, atol=1e-5, equal_nan=True):
        raise Untraceable(
            "the network cannot be traced",
            where=type(network.backbone).__name__,
            found="its trace computes something else than its forward",
            expected="a forward without in-place changes (+=) of tensors that are read again, and without randomness",
        )


class _Recorder(fx.Interpreter):
    """Runs the graph on a small batch and notes what each operation is.

    Values are needed, not only the graph: shapes decide what an operation may mix, and a change in place, of which the
    graph says nothing, shows in a tensor's version. Views share the version of what they view, so that a change through
    one is seen in all.
    """

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace.graph)
        self.trace = trace
        self.operations: dict[str, Operation] = {}
        self.versions: dict[str, int] = {}
        self.features: Tensor | None = None
        self.output_name = ""

    def run_node(self, n: fx.Node) -> Any:
        if n.target == "projection":
            # By now it may be changed in place, as the network itself would have it; `_require_same` compares it.
            self.features = self.env[n.all_input_nodes[0]]
        before = {source.name: _version(self.env[source]) for source in n.all_input_nodes}
        result = super().run_node(n)
        if n.op == "output":
            self.output_name = cast(fx.Node, n.args[0]).name
            return result
        in_place = any(_version(self.env[source]) != before[source.name] for source in n.all_input_nodes)
        self.operations[n.name] = self._describe(n, result, in_place)
        if in_place:
            self._check_overwritten(n)
        self.versions[n.name] = _version(result)
        return result

    def _check_overwritten(self, node: fx.Node) -> None:
        """What is changed in place must not be read again: by the graph it would still have its old value."""
        for earlier, value in self.env.items():
            waiting = any(user.name not in self.operations for user in earlier.users)
            if waiting and _version(value) != self.versions[earlier.name]:
                raise Untraceable(
                    "a result is changed in place and read again later",
                    where=self.operations[node.name].label,
                    found=f"it changes the result of {self.operations[earlier.name].label}",
                    expected="an operation that leaves its input as it is",
                )

    def _describe(self, node: fx.Node, result: Any, in_place: bool) -> Operation:
        module = self.trace.modules[cast(str, node.target)] if node.op == "call_module" else None
        inputs = tuple(source.name for source in _sources(node, module))
        before = [self.operations[name] for name in inputs]
        sample = result[0] if isinstance(result, tuple | list) else result
        image = isinstance(sample, Tensor) and sample.ndim == 4
        kind = self._kind(node, module, before, image)
        image = image or (kind == "static" and isinstance(sample, Tensor) and sample.ndim < 4)
        _, maps, *grid = as_image(sample).shape if image else (0, 0, 1, 1)
        parts = tuple(as_image(part).shape[1] for part in result) if image and sample is not result else None
        apart = kind in ("pixels", "static", "mixing") or self._apart(kind, before, parts or (maps,))
        return Operation(
            node.name,
            kind,
            node,
            module,
            _label(node, module),
            inputs,
            (grid[0], grid[1]),
            maps,
            parts,
            apart,
            in_place,
        )

    def _kind(self, node: fx.Node, module: nn.Module | None, before: list[Operation], image: bool) -> Kind:
        if node.op == "placeholder" and node.target == "x":
            return "pixels"
        if node.op in ("placeholder", "get_attr") or all(operation.kind == "static" for operation in before):
            return "static"
        kind = kind_of(node, module)
        if kind in ("mixing", "all"):
            return kind
        grids = {operation.grid for operation in before if operation.grid != (1, 1)}
        foreign = any(not operation.maps and operation.kind != "static" for operation in before)
        if not image or foreign or len(grids) > 1:
            return "all"
        return "all" if node.target is operator.getitem and before[0].kind != "split" else kind

    def _apart(self, kind: Kind, before: list[Operation], sizes: tuple[int, ...]) -> bool:
        """Whether maps still fall to colours by m % G: concatenated and split ones if G divides each part."""
        if kind in ("channels", "all"):
            return False
        spread = [operation for operation in before if not (kind == "elementwise" and _one_for_all(operation))]
        read = [size for operation in spread for size in operation.parts or (operation.maps,)]
        return all(size % self.trace.groups == 0 for size in (*sizes, *read))


def _sources(node: fx.Node, module: nn.Module | None) -> list[fx.Node]:
    """What an operation reads; a module's arguments in the order of its `forward`, however they were passed."""
    if module is None:
        return node.all_input_nodes
    found: list[fx.Node] = []
    bound = inspect.signature(module.forward).bind(*node.args, **node.kwargs)
    fx.map_arg((bound.args, bound.kwargs), found.append)
    return found


def as_image(value: Tensor) -> Tensor:
    """A tensor of fewer axes as [1, M, h, w], as torch broadcasts it."""
    return value[(None,) * (4 - value.ndim)] if value.ndim < 4 else value


def _one_for_all(operation: Operation) -> bool:
    """A map that needs no pixel and goes to every other map alike."""
    return operation.kind == "static" and operation.parts is None and operation.maps == 1


def _version(value: Any) -> int:
    """A number that grows when a tensor is changed in place."""
    tensors = [value] if isinstance(value, Tensor) else value if isinstance(value, tuple | list) else []
    return sum(tensor._version for tensor in tensors if isinstance(tensor, Tensor))


def _label(node: fx.Node, module: nn.Module | None) -> str:
    if module is not None:
        return f"{node.target} ({type(module).__name__})"
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    return f"{name} ({node.name})"
