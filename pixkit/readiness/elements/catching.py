"""Errors that depend on values and are caught: whether one is raised reveals something without any operation."""

from __future__ import annotations

import ast
import functools
import linecache

from pixkit.readiness.elements.marks import Call
from pixkit.readiness.elements.tape import Line

INDEXING = frozenset({
    *("index", "index_put", "_index_put_impl", "_unsafe_index", "_unsafe_index_put", "index_select", "index_add"),
    *("index_copy", "index_fill", "index_reduce", "gather", "take", "put", "scatter", "scatter_add", "scatter_reduce"),
    *("embedding", "_embedding_bag", "_embedding_bag_forward_only", "nll_loss_forward", "nll_loss2d_forward"),
    *("repeat_interleave", "bincount", "segment_reduce"),
})  # fmt: skip
"""Operations that raise errors if integers among their arguments are out of range."""
CHECKING = frozenset({"_linalg_check_errors", "_assert_async", "_assert_scalar", "multinomial"})
"""Operations that raise errors depending on any values that they read."""


def may_raise(call: Call) -> bool:
    """Whether values that are not fixed decide if an operation raises an error."""
    name = call.func.overloadpacket.__name__
    if name not in INDEXING and name not in CHECKING:
        return False
    return any(
        not each.all_fixed and (name in CHECKING or not (each.value.is_floating_point() or each.value.is_complex()))
        for each in call.marks
    )


def caught(line: Line) -> bool:
    """Whether user code continues after an error at a line: the line, or one of its callers, is inside a `try`."""
    return any(each.number in lines for each in (line, *line.callers) for lines in _guarded(each.file))


@functools.cache
def _guarded(file: str) -> tuple[range, ...]:
    """Lines of a file inside a `try` that continues after errors."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return ()
    guarding = [
        node for node in ast.walk(tree) if isinstance(node, ast.Try | ast.TryStar | ast.With) and _goes_on(node)
    ]
    ends = [(node.body[0].lineno, node.body[-1]) for node in guarding]
    return tuple(range(first, (last.end_lineno or last.lineno) + 1) for first, last in ends)


def _goes_on(node: ast.Try | ast.TryStar | ast.With) -> bool:
    if isinstance(node, ast.With):
        return any("suppress" in ast.unparse(item.context_expr) for item in node.items)
    return bool(node.handlers)
