"""That the table of operations leaves nothing out by oversight: torch's own lists, gone through."""

import pytest
import torch
from torch import fx, nn

from pixkit.readiness.operations import aliases, row_of
from pixkit.readiness.table import ROWS

LEFT_OUT = {
    "gives bool": "eq equal ge gt le lt ne isfinite isinf isnan isneginf isposinf signbit "
    "logical_and logical_not logical_or logical_xor",
    "reads bool": "where masked_fill",
    "of whole numbers": "bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor gcd lcm",
    "of complex numbers": "angle conj_physical",
    "its second result is whole": "frexp",
    "always float64": "float_power",
}
"""Pointwise operations that are not in the table, by why."""


def pointwise():
    """What ATen marks as pointwise, less the derivatives and what is for its own use."""
    found = set()
    for schema in torch._C._jit_get_all_schemas():
        place, name = schema.name.split("::")
        packet = getattr(torch.ops.aten, name, None) if place == "aten" else None
        overload = getattr(packet, schema.overload_name or "default", None)
        if overload is not None and torch.Tag.pointwise in overload.tags:
            found.add(name.removeprefix("special_").removesuffix("_"))
    return {name for name in found if not name.startswith("_") and "backward" not in name}


def named():
    return {alias if isinstance(alias, str) else alias.__name__ for row in ROWS for alias in aliases(row)}


def test_every_pointwise_operation_is_in_the_table_or_left_out_for_a_reason():
    out = {name for names in LEFT_OUT.values() for name in names.split()}
    known, found = named() | {row.short for row in ROWS}, pointwise()
    assert len(found) > 150
    assert sorted(found - known - out) == []
    assert sorted(out & known) == []


OF_SITES = {"logsumexp", "softmax", "log_softmax"}


def test_every_special_function_is_in_the_table():
    """torch.special holds functions of one or two values, and a few along an axis."""
    public = {name for name in torch.special.__all__ if callable(getattr(torch.special, name))}
    known = {id(alias) for row in ROWS for alias in aliases(row)}
    assert sorted(name for name in public - OF_SITES if id(getattr(torch.special, name)) not in known) == []


OTHER_ACTIVATIONS = {"MultiheadAttention"}


def test_every_activation_module_is_in_the_table():
    classes = {name for name in nn.modules.activation.__all__ if name not in OTHER_ACTIVATIONS}
    known = {alias for row in ROWS for alias in aliases(row)}
    assert sorted(name for name in classes if getattr(nn, name) not in known) == []


@pytest.mark.parametrize("name", [name for names in LEFT_OUT.values() for name in names.split()])
def test_what_is_left_out_has_no_row(name):
    graph = fx.Graph()
    node = graph.call_function(getattr(torch, name, torch.Tensor.masked_fill), ())
    assert row_of(node, None) is None
