"""What is said of modules of which nothing can be proved: where it is, what was found, and what was expected."""

import re
from types import SimpleNamespace

import pytest
import torch
from leaks import GREY, Base
from nets import net_of
from test_trace import Last
from torch import fx, nn

from pixkit.errors import UsageError, message
from pixkit.layers import MaskedConv2d, Shift
from pixkit.readiness import fidelity
from pixkit.readiness.changeable import RAW, Changeable
from pixkit.readiness.elements.notes import RANDOM
from pixkit.readiness.law import find_leak, law_error
from pixkit.readiness.proving import _of_training, _require_parameters
from pixkit.readiness.recorder import _label, _sources, as_image
from pixkit.readiness.trace import Trace, Untraceable
from pixkit.readiness.untraceable import (
    late,
    require_called,
    require_evaluation,
    require_own_call,
    require_said,
)

pytestmark = pytest.mark.quick


def raised(function, *args):
    with pytest.raises((Untraceable, UsageError)) as caught:
        function(*args)
    return caught.value.message, caught.value.where, caught.value.found


class Late(Base):
    def plant(self, spec):
        self.last, self.grow = Last(), nn.Conv2d(spec.inputs, 6, 1)

    def forward(self, x):
        return self.body(self.stem(x)) + self.grow(self.last(x))


def test_a_broken_law_is_told_in_full():
    trace = Trace(net_of(Late, GREY))
    leak = find_leak(trace)
    assert (leak.deadline, leak.readiness) == (11, 12), "at the last step"
    error = law_error(trace, leak)
    assert (error.where, error.message) == (
        "Late",
        "not causal: the output of backbone.last (Last) is ready too late",
    )
    assert (
        error.found
        == "the prediction of colour group 0 at row 2, column 3 is made at step 11 and ready at 12, by this path"
    )
    assert error.expected == "readiness of at most 11"
    first, *others = error.lines
    assert first == "    x (x): colour group 0, row 2, column 3"
    assert [line.endswith("  <-- blamed") for line in others].count(True) == 1
    assert "    backbone.last (Last): colour group 0, row 2, column 3  <-- blamed" in others
    assert others[-1] == "    projection (Pointwise): colour group 0, row 2, column 3"


class Turned(Base):
    def plant(self, spec):
        pass

    def wrong(self, h):
        return torch.nn.functional.elu(h.flip(3))


@pytest.mark.usefixtures("nothing_adopted")
def test_what_is_only_assumed_is_told_as_long_as_no_swap_shows_it():
    trace = Trace(net_of(Turned, GREY))
    leak = find_leak(trace)
    told = "the output of flip (flip) is ready too late"
    why = f"{told}; flip (flip) is not in the table of operations, so it is assumed to mix everything"
    known, shown = law_error(trace, leak), law_error(trace, leak, seen=True)
    assert known.message == f"not proved causal: nothing is exported here; {why}"
    assert shown.message == f"not causal: {why}"
    assert known.lines[-1] == shown.lines[-1] == f"  not followed further: {message(trace.foreign)}"
    assert known.hint == shown.hint == "replace flip with pixkit.layers.Shift"
    trace.foreign.found = "a branch"
    assert law_error(trace, leak).message == f"not proved causal: nothing is exported here: a branch; {why}"


def test_a_module_that_trains_is_told_by_its_path():
    module = nn.Sequential(nn.Tanh(), nn.Sequential(nn.Dropout())).eval()
    require_evaluation(module, "backbone.body")
    module[1][0].train()
    assert raised(require_evaluation, module, "backbone.body") == (
        "a module of the network is not in evaluation mode",
        "backbone.body.1.0 (Dropout)",
        "training mode, though the network was put in evaluation mode",
    )
    assert raised(require_evaluation, nn.Tanh(), "part")[1] == "part (Tanh)"


def test_a_module_that_was_never_called_is_told_with_all_that_it_lacks():
    module = nn.Sequential(nn.LazyLinear(2), nn.LazyBatchNorm1d())
    message, where, found = raised(require_called, module, "network", "network(x)")
    assert (message, where) == ("the module has not been called yet, so its shapes are unknown", "network")
    assert found == "uninitialized: 0.weight, 0.bias, 1.weight, 1.bias, 1.running_mean, 1.running_var"
    bare = nn.Identity()
    bare.register_buffer("late", nn.UninitializedBuffer())
    assert raised(require_called, bare, "module", "module(x)")[2] == "uninitialized: late"
    require_called(nn.Linear(2, 2), "module", "module(x)")


class Hooked(Base):
    def plant(self, spec):
        self.bad = nn.Identity()


def test_which_other_code_a_call_of_the_network_runs_is_told():
    hook, method = (
        "a forward hook or pre-hook of the network, or of every module",
        "a method assigned to the instance, or an overridden `__call__`",
    )
    net = net_of(Hooked, GREY)
    require_own_call(net)
    for register in (net.register_forward_hook, net.register_forward_pre_hook):
        handle = register(lambda *args: None)
        assert raised(require_own_call, net) == ("a call of the network does more than its forward", "Hooked", hook)
        handle.remove()
    net.forward = lambda x, context=None: x
    assert raised(require_own_call, net)[2] == method


class Moved(Shift):
    def forward(self, x):
        return x


def test_what_a_layer_does_not_say_is_told_by_name():
    require_said(Shift(1, 0), "part (Shift)")
    assert raised(require_said, Moved(1, 0), "part (Moved)") == (
        "a mixing layer does not say what its own forward reads",
        "part (Moved)",
        "`forward` of Moved with an inherited `ready`, which describes another",
    )
    layer = Shift(1, 0)
    layer.forward = lambda x: x
    assert raised(require_said, layer, "part (Shift)") == (
        "a call of a mixing layer does not run its forward",
        "part (Shift)",
        "a method assigned to the instance or to a part of it, or an overridden `__call__`",
    )


def test_of_remarks_on_a_toldprediction_three_are_told():
    known = "a prediction that is ready after its step, followed site by site"
    assert late("Net").found == known
    assert late("Net", ("a", "b", "c", "d")).found == f"{known}; a; b; c"


def test_random_numbers_are_told_before_memory():
    changeable = Changeable()
    changeable.require_none("Net")
    with changeable:
        torch.empty(2)
        torch.empty(3, 3)
    said = "which differs from call to call"
    assert raised(changeable.require_none, "part")[1:] == ("part", f"{RAW}, {said} (aten.empty.memory_format)")
    with changeable:
        torch.rand(2)
        torch.randn(2)
    assert raised(changeable.require_none, "part")[2] == f"random numbers, {said} (aten.rand.default)"


def test_a_trace_may_be_off_by_rounding():
    one = torch.tensor([1.0, 100.0, 0.0, float("nan")])
    for off, close in (([2e-5, 2e-5, 2e-5, 0], False), ([9e-5, 9e-3, 9e-6, 0], True), ([3e-4, 0, 0, 0], False)):
        assert fidelity._close(one, one + torch.tensor(off)) is close


class Pair(nn.Module):
    def forward(self, one, other):
        return one


def test_a_module_reads_its_arguments_in_the_order_of_its_forward():
    graph = fx.Graph()
    a, b = graph.placeholder("a"), graph.placeholder("b")
    module = Pair()
    for args, kwargs in (((a, b), {}), ((a,), {"other": b}), ((), {"other": b, "one": a})):
        assert _sources(graph.call_module("pair", args, kwargs), module) == [a, b]
    assert _sources(graph.call_function(torch.add, (b, a)), None) == [b, a]
    assert _label(graph.call_module("pair", (a, b)), module, ", changed") == "pair (Pair, changed)"
    assert _label(graph.call_function(torch.add, (b, a)), None) == "add (add_1)"
    assert _label(graph.call_method("tanh", (b,)), None) == "tanh (tanh)"
    assert [tuple(as_image(torch.zeros(tuple(range(2, 2 + axes)))).shape) for axes in range(5)] == [
        *((1, 1, 1, 1), (1, 1, 1, 2), (1, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5)),
    ]


def test_training_mode_is_told_where_it_matters():
    normed, drop = nn.Sequential(nn.BatchNorm1d(2), nn.Tanh(), nn.Sequential(nn.BatchNorm1d(2))), nn.Dropout()
    random, other = (SimpleNamespace(noted=[SimpleNamespace(kind=kind)]) for kind in (RANDOM, "host"))
    still = SimpleNamespace(noted=[])
    said = "the module is in training mode ({}): try module.eval()"
    for run in (random, other, still):
        assert [*_of_training(normed, run)] == [said.format("0, 2.0")]
        assert [*_of_training(normed.eval(), run)] == [] == [*_of_training(torch.tanh, run)]
        normed.train()
    assert [*_of_training(drop, random)] == [said.format("it draws random numbers")]
    assert [*_of_training(drop, other)] == [*_of_training(drop, still)] == [*_of_training(drop.eval(), random)] == []


def test_parameters_that_are_not_there_are_told():
    module = nn.Linear(2, 2)
    _require_parameters(module, ["weight", "bias"])
    _require_parameters(torch.tanh, ())
    said = "the module has no such parameter", "fixed"
    assert raised(_require_parameters, module, ["weight", "two", "one"]) == (*said, "one, two")
    assert raised(_require_parameters, module, "weight") == (*said, "'weight'")
    assert raised(_require_parameters, torch.tanh, ["weight"]) == (*said, "weight")


def test_a_convolution_that_sees_itself_is_told_what_to_be():
    class Itself(Base):
        def plant(self, spec):
            self.stem, self.bad = MaskedConv2d(spec.inputs, 6, 3, "B", spec.ordering), nn.Identity()

    trace = Trace(net_of(Itself, GREY))
    error = law_error(trace, find_leak(trace))
    assert re.fullmatch(r'give backbone.stem \(MaskedConv2d\) mask_type="A": .*', error.hint)
