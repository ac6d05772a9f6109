"""The operations of a traced network, recorded as they run."""

from __future__ import annotations

import inspect
import operator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, fx, nn

from pixkit.layers.base import MixingLayer
from pixkit.readiness.alone import mixes_colours, read_elsewhere
from pixkit.readiness.changeable import Changeable
from pixkit.readiness.operations import Kind, call_of, kind_of, row_of
from pixkit.readiness.untraceable import Untraceable, changed_by_hook, overwritten, require_said
from pixkit.readiness.watch import Held, Overheard, hooked, owned, same, tensors_in, version_of

__all__ = ["Operation", "Recorder", "Untraceable", "as_image"]

Grid = tuple[int, int]


@dataclass(frozen=True)
class Operation:
    """One operation of a traced network.

    Attributes:
        name: unique, from torch.fx.
        kind: what it may mix (`pixkit.readiness.operations`).
        node: the torch.fx node.
        module: the target of a module node.
        label: a readable name: the module's path and class, or the function's name.
        inputs: names of the operations whose results it reads, in argument order.
        grid: height and width of the result, (1, 1) where it does not vary over sites.
        maps: number of feature maps of the result, or of its first part if it is a tuple; 0 if it is not an image. A
            tensor that needs no pixel counts as an image: its axes are the last of [B, M, h, w].
        parts: number of maps of each part of a tuple, else None.
        groups_apart: whether the result's maps still belong to colour groups, map m to m % G.
        in_place: whether it writes to an input. Nothing later in the network reads that input.
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
    """Runs the graph on a small batch and records what each operation is.

    The graph is not enough; values are needed as well. Shapes decide what an operation may mix, and an in-place change,
    which the graph does not show, is visible in the values that it changes. Every value is compared with itself before
    and after it is read, and every tensor of the network at the end. Values in memory that an operation reads, and
    values whose version has increased, are checked at once to find the operation that changed them.
    """

    def __init__(
        self,
        graph: fx.GraphModule,
        groups: int,
        modules: dict[str, nn.Module],
        network: nn.Module,
        around: AbstractContextManager[Any],
    ) -> None:
        """`around` is a context that is entered once per operation."""
        super().__init__(graph)
        self.around = around
        self.extra_traceback = False  # torch.fx would append it to the message of an error
        self.groups, self.called = groups, modules
        self.operations: dict[str, Operation] = {}
        self.held: dict[fx.Node, Held] = {}
        self.fresh: set[fx.Node] = set()
        # From the graph itself, the tensors that a forward makes; its modules are the network's.
        parts = [("", cast(nn.Module, graph)), *network.named_modules()]
        found = {id(tensor): (name, tensor) for path, part in parts for name, tensor in owned(part, path)}
        self.owned = [(name, Held(tensor)) for name, tensor in found.values()]
        self.lying: dict[int, list[tuple[str, Held]]] = {}
        for name, held in self.owned:
            for place in held.storages:
                self.lying.setdefault(place, []).append((name, held))
        self.features: Tensor | None = None
        self.output_name = ""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run all operations; the network's tensors must be unchanged afterwards."""
        result = super().run(*args, **kwargs)
        for name, held in self.owned:
            if held.changed():
                raise overwritten("forward", name)
        return result

    def run_node(self, n: fx.Node) -> Any:
        """Run an operation and describe it by its result."""
        self.held = {node: held for node, held in self.held.items() if node in self.env}
        if n.target == "projection":
            self.features = self.env[n.all_input_nodes[0]]
        for source in n.all_input_nodes:
            if source not in self.fresh and self.held[source].changed():
                raise overwritten(f"an operation before {_label(n, None)}", self.operations[source.name].label)
        module = self.called[cast(str, n.target)] if n.op == "call_module" else None
        result, watched = self._run_watched(n, module) if module is not None else (self._run_function(n), True)
        if n.op == "output":
            self.output_name = cast(fx.Node, n.args[0]).name
            return result
        # Torch counts writes by its own functions; writes by other code are visible only in the values.
        look = Held.written if watched and row_of(n, module) is not None else Held.changed
        changed = {source for source in n.all_input_nodes if look(self.held[source])}
        self.operations[n.name] = self._describe(n, result, bool(changed), watched)
        self._check_overwritten(n, changed, near=bool(changed) or look is Held.changed)
        self.held[n] = Held(result)
        self.fresh = {n, *n.all_input_nodes}
        return result

    def _run_function(self, node: fx.Node) -> Any:
        with Changeable() as changeable:
            result = self._ran(node)
        if call_of(node, None) is None:  # with an instruction, ignore the noise that torch's rrelu makes
            changeable.require_none(_label(node, None))
        return result

    def _ran(self, node: fx.Node) -> Any:
        with self.around:
            return super().run_node(node)

    def _run_watched(self, node: fx.Node, module: nn.Module) -> tuple[Any, bool]:
        """The result of a module, and whether its hooks, if any, only observe."""
        if not hooked(module):
            return self._ran(node), True
        heard = Overheard(module)
        with heard.listening():
            result = self._ran(node)
        if not heard.silent or any(self.held[source].changed() for source in node.all_input_nodes):
            return result, False
        with heard.silenced():
            alone = super().run_node(node)
        pairs = [*zip(tensors_in(result), tensors_in(alone), strict=True)]
        return result, all(same(*pair) and version_of(pair[0]) == version_of(pair[1]) for pair in pairs)

    def _check_overwritten(self, node: fx.Node, changed: set[fx.Node], near: bool) -> None:
        """Refuse if a value changed in place is read again: in the graph it would still have its old value."""
        reached = {place for source in node.all_input_nodes for place in self.held[source].storages if near}
        for earlier in self.env:
            if any(user.name not in self.operations for user in earlier.users):
                held = self.held[earlier]
                beside = not reached.isdisjoint(held.storages)
                if earlier in changed or held.written() or (beside and held.changed()):
                    raise overwritten(self.operations[node.name].label, self.operations[earlier.name].label)
        for name, held in (entry for place in reached for entry in self.lying.get(place, ())):
            if held.changed():
                raise overwritten(self.operations[node.name].label, name)

    def _describe(self, node: fx.Node, result: Any, in_place: bool, watched: bool) -> Operation:
        module = self.called[cast(str, node.target)] if node.op == "call_module" else None
        sources = _sources(node, module)
        inputs = tuple(source.name for source in sources)
        before = [self.operations[name] for name in inputs]
        sample = result[0] if isinstance(result, tuple | list) else result
        image = isinstance(sample, Tensor) and sample.ndim == 4
        kind = self._kind(node, module, before, image) if watched else self._changed(node, module, before)
        given = [self.env[each] for each in sources]
        if kind not in ("static", "all") and read_elsewhere(module, given):
            kind = "all"
        if kind == "elementwise" and mixes_colours(module, given, self.groups):
            kind = "channels"
        if kind == "mixing":
            require_said(cast(MixingLayer, module), _label(node, module))
        image = image or (kind == "static" and isinstance(sample, Tensor) and sample.ndim < 4)
        _, maps, *grid = as_image(sample).shape if image else (0, 0, 1, 1)
        parts = tuple(as_image(part).shape[1] for part in result) if image and sample is not result else None
        apart = kind in ("pixels", "static", "mixing") or self._apart(kind, before, parts or (maps,))
        return Operation(
            node.name,
            kind,
            node,
            module,
            _label(node, module, "" if watched else ", changed by a hook"),
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

    def _changed(self, node: fx.Node, module: nn.Module | None, before: list[Operation]) -> Kind:
        """The kind of a module whose hook changes its results: it is unknown what they read."""
        if all(operation.kind == "static" for operation in before):
            return "static"
        if isinstance(module, MixingLayer):
            raise changed_by_hook(_label(node, module))
        return "all"

    def _apart(self, kind: Kind, before: list[Operation], sizes: tuple[int, ...]) -> bool:
        """Whether maps still belong to colours by m % G: concatenated and split ones do if G divides each part."""
        if kind in ("channels", "all"):
            return False
        spread = [operation for operation in before if not (kind == "elementwise" and _one_for_all(operation))]
        read = [size for operation in spread for size in operation.parts or (operation.maps,)]
        return all(size % self.groups == 0 for size in (*sizes, *read))


def _sources(node: fx.Node, module: nn.Module | None) -> list[fx.Node]:
    """The inputs of an operation; a module's arguments in the order of its `forward`, however they were passed."""
    if module is None:
        return node.all_input_nodes
    found: list[fx.Node] = []
    args: tuple[Any, Any] = (node.args, {})
    if node.kwargs:
        bound = inspect.signature(module.forward).bind(*node.args, **node.kwargs)
        args = bound.args, bound.kwargs
    fx.map_arg(args, found.append)
    return found


def as_image(value: Tensor) -> Tensor:
    """View a tensor with fewer axes as [1, M, h, w], as torch broadcasts it."""
    return value[(None,) * (4 - value.ndim)]


def _one_for_all(operation: Operation) -> bool:
    """Whether it is a map that needs no pixel and combines with every other map in the same way."""
    return operation.kind == "static" and operation.parts is None and operation.maps == 1


def _label(node: fx.Node, module: nn.Module | None, remark: str = "") -> str:
    if module is not None:
        return f"{node.target} ({type(module).__name__}{remark})"
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    return f"{name} ({node.name})"
