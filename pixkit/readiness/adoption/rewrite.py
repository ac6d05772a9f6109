"""Rewrites an exported network, operation by operation, as a graph of images."""

from __future__ import annotations

import operator
import re
from typing import Any, cast

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from pixkit.layers.geometry import Grid
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.chosen import CHOSEN, chooses
from pixkit.readiness.adoption.complex import MADE, Pairs, of_pairs
from pixkit.readiness.adoption.families import HANDLERS
from pixkit.readiness.adoption.functions import ALONG, along, dtypes, require_held, require_type, typed
from pixkit.readiness.adoption.known import Known, evaluate
from pixkit.readiness.adoption.moves import CASTS, MOVED, SAME, SHAPED, move
from pixkit.readiness.adoption.pointwise import function_of, pointwise
from pixkit.readiness.adoption.rows import of_rows
from pixkit.readiness.adoption.scores import LAST, REDUCED, TURNED, Scores, Turned, of_scores, turned
from pixkit.readiness.adoption.separable import Mixed, blaming, line_of, name_of
from pixkit.readiness.adoption.unwritten import followed, read_by
from pixkit.readiness.elements.operation import gives_memory

PRODUCTS = frozenset(("matmul", "bmm", "einsum"))
"""Operations that multiply values by attention weights."""
CHECKS = frozenset(("_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range_for_size"))
"""Operations without a result."""


class Rewriter:
    """Goes through an exported graph.

    Args:
        builder: receives the rewritten operations.
        who: the class of the network.
    """

    def __init__(self, builder: Builder, who: str) -> None:
        self.builder, self.who = builder, who
        self.values: dict[fx.Node, Any] = {}
        self.remarks: list[str] = []

    def read(self, graph: fx.Graph, given: dict[str, Any]) -> list[Any]:
        """Rewrite all operations; return the rewritten outputs.

        Args:
            graph: the exported graph.
            given: the value of each placeholder: `Known`, or addresses.

        Raises:
            NotSeparable: naming the operation that does not fit.
        """
        last = {read: node for node in graph.nodes for read in node.all_input_nodes}
        for node in graph.nodes:
            if node.op == "placeholder":
                self.values[node] = given[node.name]
            elif node.op == "call_function" and name_of(node) not in CHECKS:
                with blaming(node, self.who):
                    self.builder.name = _called(node)
                    self.values[node] = self._value(node)
                # Tables of all the operations of a large network would not fit into memory together.
                for read in (read for read in node.all_input_nodes if last[read] is node):
                    self.values.pop(read, None)
                if self.builder.remark:
                    self.remarks.append(f"{name_of(node)}, {self.builder.remark} ({line_of(node)})")
                    self.builder.remark = ""
        return [self.values[node] for node in pytree.tree_leaves(graph.output_node().args)]

    def made(self, graph: fx.Graph, result: str, grid: Grid) -> fx.GraphModule:
        """The new graph, reduced to what the features need.

        Args:
            graph: the exported graph.
            result: the name of the node that returns the features.
            grid: the features' grid.
        """
        node = next(node for node in graph.nodes if node.name == result)
        with blaming(node, self.who):
            self.builder.name = "features"
            self._finish(self.values[node], grid)
        made = fx.GraphModule(self.builder.root, self.builder.graph)
        made.meta["remarks"] = tuple(self.remarks)
        made.graph.eliminate_dead_code()
        made.delete_all_unused_submodules()
        made.recompile()
        return made

    def _finish(self, features: Any, grid: Grid) -> None:
        if not isinstance(features, Tensor):
            raise Mixed("which needs no pixel, or is not an image")
        self.builder.graph.output(self.builder.node(features.flatten(2), grid))

    def _value(self, node: fx.Node) -> Any:
        args: Any = fx.map_arg(node.args, self.values.__getitem__)
        kwargs: Any = fx.map_arg(node.kwargs, self.values.__getitem__)
        if node.target is operator.getitem:
            return args[0][args[1]]
        leaves = pytree.tree_leaves((args, kwargs))
        if not any(isinstance(leaf, Tensor | Scores | Turned | Pairs) for leaf in leaves):
            return self._known(node, args, kwargs)
        arguments, name = _bound(node, args, kwargs), name_of(node)
        self.builder.space.require_written(read_by(name, arguments))
        if name in MADE or any(isinstance(leaf, Pairs) for leaf in leaves):
            return self._of_pairs(node, name, arguments)
        if name in SHAPED | SAME | CASTS:
            return self._alike(node, name, arguments)
        if any(isinstance(leaf, Scores | Turned) for leaf in leaves) and name not in PRODUCTS:
            return self._of_scores(node, name, arguments, (args, kwargs))
        return self._computed(node, arguments, args, kwargs)

    def _of_scores(self, node: fx.Node, name: str, arguments: dict[str, Any], given: tuple[Any, Any]) -> Any:
        """Operations on products of queries and keys: row by row, or on one number per row."""
        require_type(dtypes(node), self.builder)
        leaves = pytree.tree_leaves(given)
        mixed = any(isinstance(leaf, Tensor) for leaf in leaves)
        first = next(leaf for leaf in leaves if isinstance(leaf, Scores | Turned))
        if name in TURNED and not getattr(first, "reduced", False):
            return turned(first, node, arguments)
        rowwise = name in LAST | REDUCED or torch.Tag.pointwise in cast(Any, node.target).tags
        if isinstance(first, Scores) and first.reduced and (mixed or not rowwise):
            settled = {id(leaf): of_rows(self.builder, leaf) for leaf in leaves if isinstance(leaf, Scores)}
            (args, kwargs), named = pytree.tree_map(lambda leaf: settled.get(id(leaf), leaf), (given, arguments))
            return self._computed(node, named, args, kwargs)
        if isinstance(first, Turned):
            raise Mixed("which does not treat products of queries and keys row by row")
        found = of_scores(self.builder, node, arguments)
        short = len(node.meta["val"].shape) < len(found.shape)
        return of_rows(self.builder, found)[..., 0] if found.reduced and short else found

    def _of_pairs(self, node: fx.Node, name: str, arguments: dict[str, Any]) -> Any:
        """Operations on complex numbers, which have the network's precision."""
        kinds = {kind for kind in dtypes(node) if kind.is_complex or kind.is_floating_point}
        require_type({kind.to_real() for kind in kinds}, self.builder)

        def each(given: dict[str, Any]) -> Any:
            if name in SAME:
                return _same(name, given, node.meta["val"].shape)
            return move(name, cast(Any, node.target), given, self.builder.space, self.builder.dtype)

        return of_pairs(self.builder, name, arguments, each)

    def _alike(self, node: fx.Node, name: str, arguments: dict[str, Any]) -> Any:
        """A value with the shape, or the values, of the first argument."""
        if name in SHAPED:
            return _shaped(node, node.meta["val"], arguments)
        if name in CASTS:
            return self._cast(node, next(iter(arguments.values())))
        return _same(name, arguments, node.meta["val"].shape)

    def _computed(self, node: fx.Node, arguments: dict[str, Any], args: Any, kwargs: Any) -> Any:
        name, function = name_of(node), cast(Any, node.target)
        if name in CHOSEN and chooses(name, arguments):
            return CHOSEN[name](self.builder, node, arguments)
        if name in MOVED:
            return move(name, function, arguments, self.builder.space, self.builder.dtype)
        kinds = dtypes(node, (each for each in node.all_input_nodes if not isinstance(self.values[each], Known)))
        own = all(kind == self.builder.dtype for kind in kinds)
        if name in ALONG and not (own and name in HANDLERS):
            return along(self.builder, node, arguments)
        if name in HANDLERS:
            require_type(kinds, self.builder)
            return HANDLERS[name](self.builder, arguments)
        if torch.Tag.pointwise not in function.tags:
            raise Mixed("for which there is no rule")
        if own and function_of(name) is not None:
            return pointwise(self.builder, name, args, kwargs)
        return typed(self.builder, node, args, kwargs)

    def _cast(self, node: fx.Node, value: Any) -> Any:
        """Convert to another type, which must hold the values without loss."""
        kind, before = node.meta["val"].dtype, cast(fx.Node, node.args[0]).meta["val"].dtype
        if isinstance(value, Known):
            return Known(value.value.to(kind), value.fixed, value.unwritten)
        require_held(kind, self.builder)
        held = before == torch.bool or (before.is_floating_point and torch.promote_types(before, kind) == kind)
        if held or (kind == self.builder.dtype and not before.is_floating_point):
            return value
        if isinstance(value, Scores):
            raise Mixed(f"which converts products of queries and keys to {kind}")
        return typed(self.builder, node, (value, kind), {}, torch.Tensor.to)

    def _known(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        """Evaluate an operation that needs no pixel; for moves, tracking what is known of every element."""
        name, function = name_of(node), cast(Any, node.target)
        operands = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Known)]
        if gives_memory(function):
            return Known.memory(node.meta["val"])
        if getattr(function, "namespace", "aten") not in ("aten", "prims"):
            raise Mixed("for which there is no rule")
        if torch.Tag.nondeterministic_seeded in getattr(function, "tags", ()):
            raise Mixed("which draws at random")
        if not all(operand.written for operand in operands):
            return followed(function, args, kwargs)
        if name in MOVED and not all(operand.all_fixed for operand in operands):
            arguments = _bound(node, args, kwargs)
            space = self.builder.space
            given = {key: pytree.tree_map(self._addressed, value) for key, value in arguments.items()}
            for table in ("indices", "index", "condition", "mask", "repeats"):
                if table in given:
                    given[table] = arguments[table]
            found = move(name, function, given, space, self.builder.dtype)
            kind = pytree.tree_leaves(node.meta["val"])[0].dtype  # the first operand may be a condition
            return pytree.tree_map(lambda part: space.values(part, kind), found)
        return evaluate(function, args, kwargs)

    def _addressed(self, leaf: Any) -> Any:
        return self.builder.space.constant(leaf) if isinstance(leaf, Known) else leaf


def _shaped(node: fx.Node, kind: Tensor, arguments: dict[str, Any]) -> Known:
    """Numbers in the shape of a value that needs pixels."""
    name = name_of(node)
    if gives_memory(node.target):
        return Known.memory(kind)
    filled = {"ones": 1.0, "full": arguments.get("fill_value", 0.0)}
    number = next((value for key, value in filled.items() if key in name), 0.0)
    number = float(number.value) if isinstance(number, Known) else number
    return Known.constant(torch.full(kind.shape, number, dtype=kind.dtype))


def _same(name: str, arguments: dict[str, Any], shape: torch.Size) -> Any:
    value = next(iter(arguments.values()))
    if "dropout" in name and arguments.get("p") and arguments.get("train"):
        raise Mixed("which drops values at random")
    if isinstance(value, Known):
        return value.alike(lambda plane: plane.reshape(shape))
    return value if isinstance(value, Scores) else value.reshape(shape)


def _bound(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by ATen's names, with defaults."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        raise Mixed("for which there is no rule")
    found = {argument.name: argument.default_value for argument in schema.arguments}
    return found | dict(zip(found, args, strict=False)) | kwargs


def _called(node: fx.Node) -> str:
    """A readable name: the module that contains the operation, and the operation."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = stack[-1][0] if stack else ""
    path = re.sub(r"^L__self__\.?|^self\.?", "", path)
    return re.sub(r"\W+", "_", f"{path}_{name_of(node)}").strip("_")
