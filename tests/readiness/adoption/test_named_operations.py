"""How operations of a foreign network are named in errors, and what a forward may not do."""

from types import SimpleNamespace

import pytest
import torch
from torch import fx, nn
from torch.export.graph_signature import OutputKind

from pixkit.layers.contraction import SiteSum
from pixkit.readiness.adoption import export
from pixkit.readiness.adoption.assigned import Assigned, written
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.followed import _Executed, require_followed
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.rewrite import _called, _shaped
from pixkit.readiness.adoption.separable import HINTS, Mixed, NotSeparable, blaming, finite, line_of, name_of

pytestmark = pytest.mark.quick
aten = torch.ops.aten
TRACE = """  File "/a/outer.py", line 3, in forward
    x = self.part(x)
  File "/a/b/net.py", line 12, in call
    y = x @ x
"""


def node(target=aten.bmm.default, **meta):
    return SimpleNamespace(target=target, meta=meta)


def test_an_operation_is_named_with_its_innermost_line():
    assert line_of(node(stack_trace=TRACE)) == "net.py:12: y = x @ x"
    assert line_of(node()) == line_of(node(stack_trace=None)) == line_of(node(stack_trace="?")) == "an unknown line"
    assert [name_of(node(each)) for each in (aten.bmm.default, torch.relu, "t")] == ["bmm", "relu", "t"]


@pytest.mark.parametrize(("error", "why"), [
    (Mixed("which mixes images"), "which mixes images"),
    (ValueError("too small"), "for which its rule fails: too small"),
])  # fmt: skip
def test_an_operation_that_does_not_fit_is_blamed(error, why):
    with pytest.raises(NotSeparable) as caught, blaming(node(stack_trace=TRACE), "Net"):
        raise error
    assert (caught.value.message, caught.value.where) == ("the network cannot be rewritten site by site", "Net")
    assert caught.value.found == f"bmm, {why} (net.py:12: y = x @ x)" and caught.value.hint is None
    assert caught.value.__cause__ is error
    with pytest.raises(NotSeparable) as caught, blaming(node(aten.nonzero.default), "Net"):
        raise error
    assert caught.value.hint == HINTS["nonzero"]
    own = NotSeparable("another", where="there")
    with pytest.raises(NotSeparable) as caught, blaming(node(), "Net"):
        raise own
    assert caught.value is own


@pytest.mark.parametrize(("stack", "name"), [
    (None, "bmm"), ({}, "bmm"), ({"a": ("L__self__", nn.Module)}, "bmm"),
    ({"a": ("L__self__", nn.Module), "b": ("L__self__.part.0", nn.Tanh)}, "part_0_bmm"),
    ({"a": ("self.part", 0)}, "part_bmm"),
    ({"a": ("", nn.Module), "b": ("blocks.1", 0), "c": ("blocks.1.shelf_self", 0)}, "blocks_1_shelf_self_bmm"),
])  # fmt: skip
def test_a_layer_is_called_by_its_module_and_operation(stack, name):
    assert _called(node(nn_module_stack=stack)) == name


@pytest.mark.parametrize(("function", "more", "value"), [
    (aten.zeros_like.default, {}, 0.0), (aten.ones_like.default, {}, 1.0), (aten.new_ones.default, {}, 1.0),
    (aten.new_zeros.default, {}, 0.0), (aten.full_like.default, {"fill_value": 2.5}, 2.5),
    (aten.new_full.default, {"fill_value": Known.constant(torch.tensor(3))}, 3.0),
])  # fmt: skip
def test_what_is_made_in_another_s_shape(function, more, value):
    for kind in (torch.float64, torch.int32):
        found = _shaped(node(function), torch.zeros(2, 3, dtype=kind), more)
        assert found.value.dtype == kind and found.value.tolist() == torch.full((2, 3), value).to(kind).tolist()
        assert found.all_fixed and found.written
    memory = _shaped(node(aten.empty_like.default), torch.zeros(2, 3), {})
    assert not memory.written and memory.value.shape == (2, 3)


def program_of(*kinds, **kept):
    specs = [SimpleNamespace(kind=kind, target="weight") for kind in kinds]
    return SimpleNamespace(graph_signature=SimpleNamespace(output_specs=specs), state_dict=kept)


def test_a_parameter_may_be_written_only_with_what_it_holds():
    zeros, ones = Known.constant(torch.zeros(2)), Known.constant(torch.ones(2))
    own, changed, buffer = OutputKind.USER_OUTPUT, OutputKind.PARAMETER_MUTATION, OutputKind.BUFFER_MUTATION
    program = program_of(own, changed, weight=torch.zeros(2))
    assert written(program, [ones, zeros]) == [] and written(program, [zeros, ones]) == ["weight"]
    assert written(program, [zeros, torch.zeros(2)]) == ["weight"], "addresses, of what needs pixels"
    assert written(program_of(buffer, weight=torch.zeros(2)), [zeros]) == ["weight"]
    assert written(program_of(changed), [zeros]) == ["weight"]


def test_data_that_is_assigned_is_copied_and_read_as_a_view():
    weight = nn.Parameter(torch.zeros(2))
    with Assigned():
        seen = weight.data
        weight.data = torch.ones(2)
        assert seen.eq(1).all() and not seen.requires_grad and weight.data_ptr() == seen.data_ptr()
        assert torch.add(seen, other=2).eq(3).all()


def test_sums_with_zeros_are_of_finite_values():
    layer, inner = SiteSum(torch.eye(2), None, torch.eye(2).bool(), (1, 2)), nn.Tanh()
    backbone = nn.Sequential(inner, nn.Sequential(layer))
    x = torch.zeros(1, 1, 1, 2)
    with finite(backbone):
        backbone(x)
        for number in (torch.inf, torch.nan):
            with pytest.raises(NotSeparable) as caught:
                layer(torch.where(torch.arange(2) > 0, number, x))
            assert caught.value.where == "1.0"
        inner(x + torch.inf)
    layer(x + torch.inf)
    assert not layer._forward_pre_hooks


class Adding(nn.Module):
    """Adds a number, and gives its input again if that is asked for."""

    several = False

    def forward(self, x):
        return (x + 1, x) if self.several else x + 1


class Deciding(nn.Module):
    """Does something else than is exported."""

    def __init__(self, exporting):
        super().__init__()
        self.exporting = exporting

    def forward(self, x):
        return torch.sin(x) if type(x) is torch.Tensor and not self.exporting else torch.tanh(x)


def test_a_forward_that_returns_several_results_is_refused():
    several = Adding()
    several.several = True
    with pytest.raises(NotSeparable) as caught:
        export._exported(several, (torch.zeros(2, 3),), "Net")
    assert (caught.value.message, caught.value.where) == ("the network returns several results", "Net")
    assert caught.value.found == "2 of them"
    program = export._exported(Adding(), (torch.zeros(2, 3),), "Net")
    assert [each.tolist() for each in _Executed(program)(torch.zeros(2, 3))] == [[[1.0] * 3] * 2]


def test_where_an_export_parts_from_what_runs_is_told():
    x = (torch.ones(2, 3),)
    program = torch.export.export(Deciding(True), x)
    require_followed(program, Deciding(True), x, "Net")
    with pytest.raises(NotSeparable) as caught:
        require_followed(program, Deciding(False), x, "Net")
    assert (caught.value.message, caught.value.where) == ("torch's export of the network differs from what runs", "Net")
    start, _, end = caught.value.found.partition(" (")
    assert start == "run normally it continues with aten.sin.default" and end.endswith(
        "), exported with aten.tanh.default"
    )
    with pytest.raises(NotSeparable) as caught:
        require_followed(torch.export.export(Scaled(2.0), x), Scaled(3.0), x, "Net")
    assert caught.value.found.endswith("), exported with the same on different values")


class Scaled(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, x):
        return x * self.by


def test_images_are_treated_alike_in_each_respect():
    """Of the first image, another operation, map or site is not what the second one reads."""
    builder = Builder(2, torch.float64)
    x, other = (builder.placeholder(name, 4, (1, 4), groups=1).flatten(2) for name in "xy")
    assert isinstance(builder.node(x, (1, 4)), fx.Node)
    for changed in (other[1], x[1].flip(0), x[1].flip(1)):
        with pytest.raises(Mixed, match="which treats the images of a batch in different ways"):
            builder.node(torch.stack([x[0], changed]), (1, 4))
