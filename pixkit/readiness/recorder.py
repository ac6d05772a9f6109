"""The operations of a traced network, noted down while they run."""

from __future__ import annotations

import inspect
import operator
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, fx, nn

from pixkit.errors import PixkitError
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
        maps: number of feature maps of the result, of the first part where it is a tuple; 0 where it is not an image.
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


class Recorder(fx.Interpreter):
    """Runs the graph on a small batch and notes what each operation is.

    Values are needed, not only the graph: shapes decide what an operation may mix, and a change in place, of which the
    graph says nothing, shows in a tensor's version. Views share the version of what they view, so that a change through
    one is seen in all.
    """

    def __init__(self, graph: fx.GraphModule, groups: int, modules: dict[str, nn.Module]) -> None:
        super().__init__(graph)
        self.groups, self.called = groups, modules
        self.operations: dict[str, Operation] = {}
        self.versions: dict[str, int] = {}
        self.features: Tensor | None = None
        self.output_name = ""

    def run_node(self, n: fx.Node) -> Any:
        """Run it, and describe it by what it gave."""
        if n.target == "projection":
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
        module = self.called[cast(str, node.target)] if node.op == "call_module" else None
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
        return all(size % self.groups == 0 for size in (*sizes, *read))


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
