"""Tracing: which mode, what is static, what changes in place, colours through splits and concatenations."""

import itertools
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from leaks import Base
from nets import NETS, ImageSpec, net_of
from torch import fx, nn

from pixkit.layers import ConcatenatedELU, MaskedConv2d, MixingLayer, Shift
from pixkit.readiness.law import Leak, find_leak, law_error
from pixkit.readiness.operations import kind_of
from pixkit.readiness.trace import Trace, Untraceable
from pixkit.readiness.watch import Held

GREY, COLOUR = ImageSpec(1, 3, 4, 2), ImageSpec(3, 3, 4, 3)


def kinds(trace):
    return {operation.label.split(" ")[0]: operation.kind for operation in trace.operations.values()}


@pytest.mark.parametrize(("module", "kind"), [
    (nn.Conv2d(6, 6, 1), "channels"), (nn.Conv2d(6, 6, 1, padding="same"), "channels"),
    (nn.Conv2d(6, 6, 1, padding="valid"), "channels"), (nn.Conv2d(6, 6, 1, stride=2), "all"),
    (nn.Conv2d(6, 6, 1, padding=1), "all"), (nn.Conv2d(6, 6, (1, 3), padding=(0, 1)), "all"),
    (nn.Conv2d(6, 6, 1, stride=(1, 2)), "all"), (nn.BatchNorm2d(6), "elementwise"),
    (nn.BatchNorm2d(6, track_running_stats=False), "all"), (nn.ReLU(), "elementwise"), (nn.Softmax(1), "channels"),
    (nn.Softmax(2), "all"), (Shift(1, 0), "mixing"), (ConcatenatedELU(), "elementwise"), (nn.GroupNorm(2, 6), "all"),
])  # fmt: skip
def test_what_a_module_mixes(module, kind):
    """In evaluation; in training anything may be, of what is not a layer of pixkit's that speaks for itself."""

    node = fx.Graph().call_module("body", (fx.Graph().placeholder("x"),))
    assert kind_of(node, module.eval()) == kind
    assert kind_of(node, module.train()) == ("mixing" if kind == "mixing" else "all")
    module.eval()


def test_a_tensor_without_elements_lies_nowhere():
    """All such have one address, and none of them can be written."""
    assert Held([torch.empty(0), torch.empty(2, 0)]).storages == set()
    whole = torch.ones(3)
    assert Held((whole, torch.empty(0), {"a": whole[1:]})).storages == {whole.untyped_storage().data_ptr()}


def test_nothing_listens_to_a_network_that_was_traced():
    net = net_of(NETS["Plain"], GREY)
    Trace(net)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_it_is_traced_as_in_eval_mode_and_left_as_it_was():
    class Noisy(Base):
        def plant(self, spec):
            self.drop = nn.Dropout(0.5)

        def wrong(self, h):
            return F.dropout(self.drop(h), 0.5, self.training)

    net = net_of(Noisy, GREY).train()
    net.backbone.drop.eval()
    trace = Trace(net)
    node = next(operation.node for operation in trace.operations.values() if operation.label.startswith("dropout"))
    assert False in (*node.args, *node.kwargs.values())
    assert net.training and net.backbone.training and not net.backbone.drop.training


class Residual(Base):
    """An activation that changes its input in place, which is then added."""

    inplace = True

    def plant(self, spec):
        self.act = nn.ReLU(inplace=self.inplace)

    def wrong(self, h):
        return h + self.act(h)


class OutOfPlace(Residual):
    inplace = False


class Accumulated(Base):
    """A view changed in place, and the whole read after it."""

    def plant(self, spec):
        pass

    def wrong(self, h):
        first, second = h.chunk(2, 1)
        first += second
        return h * 2


class Random(Base):
    """Noise in eval mode."""

    def plant(self, spec):
        pass

    def wrong(self, h):
        return F.dropout(h, 0.5, True)


class Asking(Base):
    """Of what is not traced, something that is nothing, as a rule, of what comes later."""

    def plant(self, spec):
        pass

    def wrong(self, h):
        return h + (h.amin((1, 2, 3), keepdim=True) > 9) * h.flip(3) if isinstance(h, torch.Tensor) else h


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (Residual, "changed in place"),
        (Accumulated, "computes something different"),
        (Random, "random numbers"),
        (Asking, rf"differs from its forward, which continues with aten.amin.default \({__file__}:"),
    ],
)
@pytest.mark.usefixtures("nothing_adopted")
def test_what_a_trace_would_get_wrong_is_not_traced(cls, reason):
    with pytest.raises(Untraceable, match=reason):
        Trace(net_of(cls, GREY))


def test_why_neither_way_of_tracing_will_do_is_told():
    with pytest.raises(Untraceable) as caught:
        Trace(net_of(Random, GREY))
    first, last = (
        "dropout (dropout): the network cannot be traced",
        "Random: the network cannot be rewritten site by site",
    )
    told, also = str(caught.value).split("\n"), "  and rewritten by torch.export: "
    (other,) = (line.removeprefix(also) for line in told if line.startswith(also))
    assert told[0] == first and other.startswith(last) and "random" in other
    assert str(caught.value.__cause__).startswith(last)

    class Turned(Base):
        def plant(self, spec):
            pass

        def wrong(self, h):
            return h.flip(3)

    trace = Trace(net_of(Turned, GREY))
    told = str(law_error(trace, find_leak(trace))).split("\n")
    assert any(line.startswith("  not followed further: Turned: ") for line in told)
    assert told[-1].startswith("  try: replace flip")


class Gradient(Base):
    """Gradients are taken in a context, which a graph does not have."""

    def plant(self, spec):
        pass

    def wrong(self, h):
        with torch.enable_grad():
            given = h.detach().requires_grad_()
            given.square().sum().backward()
        return h + given.grad


@pytest.mark.usefixtures("nothing_adopted")
def test_what_fails_while_the_trace_runs_is_told():
    with pytest.raises(Untraceable, match="does not require grad") as caught:
        Trace(net_of(Gradient, GREY))
    assert (caught.value.where, caught.value.message) == ("Gradient", "the network cannot be traced")


class Numbered(Base):
    """Each call adds its number, as an array."""

    def plant(self, spec):
        self.calls = itertools.count()

    def wrong(self, h):
        return h + torch.from_numpy(np.full(1, float(next(self.calls))))


def test_arrays_that_differ_from_call_to_call_are_not_traced():
    with pytest.raises(Untraceable, match="Numbered: the network cannot be traced") as caught:
        Trace(net_of(Numbered, GREY))
    found = "data that no torch operation made differs from call to call: "
    assert caught.value.found.startswith(found) and "test_trace.py:" in caught.value.found


def test_other_threads_are_left_alone_while_a_network_is_traced(monkeypatch):
    """One calls a layer of the network, and one that is being trained."""
    other, failed = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2).double()), []
    monkeypatch.setattr(threading, "excepthook", failed.append)

    class Threaded(Base):
        def plant(self, spec):
            pass

        def wrong(self, h):
            def call():
                given = torch.zeros(1, 6, 3, 4, dtype=torch.float64)
                assert type(self.body(given)) is type(other(given)) is torch.Tensor

            thread = threading.Thread(target=call)
            thread.start()
            thread.join()
            return h

    assert find_leak(Trace(net_of(Threaded, GREY))) is None
    assert not failed


@pytest.mark.usefixtures("nothing_adopted")
def test_a_wrong_trace_is_noticed_before_the_head_is_trained():
    """A projection that begins with zeros gives the same parameters whatever it is given."""
    net = net_of(Accumulated, GREY)
    for tensor in net.projection.parameters():
        nn.init.zeros_(tensor)
    with pytest.raises(Untraceable, match="computes something different"):
        Trace(net)


class Last(MixingLayer):
    """Of the last site its own value, elsewhere nothing."""

    def forward(self, x):
        out = torch.zeros_like(x)
        out[..., -1, -1] = x[..., -1, -1]
        return out

    def ready(self, *inputs):
        return self.forward(*inputs)

    def reads(self, units, grids):
        return [self.forward(units)]


class Mute(MaskedConv2d):
    """Its `reads` says nothing, though it reads the pixel of its own site."""

    def reads(self, units, grids):
        return [torch.zeros_like(each) for each in super().reads(units, grids)]


def test_a_leak_by_way_of_a_layer_that_hides_what_it_reads_is_found():
    class Muted(Base):
        def plant(self, spec):
            self.stem, self.bad = Mute(spec.inputs, 6, 3, "B", spec.ordering), nn.Identity()

    leak = find_leak(Trace(net_of(Muted, GREY)))
    assert leak.blamed.label == "backbone.stem (Mute)" and leak.path[-1][0] == "x"


def test_of_what_is_late_from_the_pixel_on_the_first_layer_is_blamed():
    """Where it joins what is late as well; and the first operation, where nothing mixes sites or colours."""

    class Late(Base):
        def plant(self, spec):
            self.stem = MaskedConv2d(spec.inputs, 6, 3, "B", spec.ordering)
            self.first, self.then = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1)

        def forward(self, x):
            return self.then(self.first(x + self.stem(x)))

    class Bare(Base):
        def plant(self, spec):
            self.width = 1

        def forward(self, x):
            return F.elu(x)

    assert find_leak(Trace(net_of(Late, GREY))).blamed.label == "backbone.first (Conv2d)"
    net = net_of(Bare, GREY)
    net.projection = nn.Identity()
    assert find_leak(Trace(net)).blamed.label == "encoding (ScaledLevels)"


def test_in_place_operations_are_fine_where_nobody_reads_their_input_again():
    class Chain(Base):
        def plant(self, spec):
            self.act = nn.ReLU(inplace=True)

        def wrong(self, h):
            h = self.act(h)
            h += 1.0
            return h

    assert find_leak(Trace(net_of(OutOfPlace, GREY))) is None
    assert find_leak(Trace(net_of(Chain, GREY))) is None


def test_what_needs_no_pixel_is_static_whatever_its_operations():
    trace = Trace(net_of(NETS["Conditioned"], COLOUR))
    found = kinds(trace)
    for name in ("backbone.label", "backbone.latent", "backbone.place", "backbone.grow.1", "backbone.grow.2"):
        assert found[name] == "static", name
    assert found["backbone.stem"] == "mixing"
    assert all(not ready.any() for name, ready in trace.ready().items() if trace.operations[name].kind == "static")


class Halves(Base):
    """Splits maps into parts that do or do not keep the colours' pattern."""

    sizes = (3, 3)

    def plant(self, spec):
        pass

    def wrong(self, h):
        parts = torch.split(h, self.sizes, 1)
        return torch.cat(parts[::-1], 1)


class Odd(Halves):
    sizes = (3, 1, 2)


def test_parts_that_break_the_pattern_of_colours_mix_them():
    assert find_leak(Trace(net_of(Halves, COLOUR))) is None
    leak = find_leak(Trace(net_of(Odd, COLOUR)))
    assert leak is not None and leak.readiness > leak.deadline
    assert find_leak(Trace(net_of(Odd, ImageSpec(1, 3, 4, 2)))) is None


@pytest.mark.parametrize(("colours", "apart"), [(1, True), (2, False), (3, True)])
def test_halves_that_gate_each_other_keep_colours_apart_if_they_divide_by_them(colours, apart):
    """Of 6 maps, map m is gated by map m + 3, which is another colour's of two."""

    class Gating(Base):
        def plant(self, spec):
            self.gate = nn.GLU(1)

        def wrong(self, h):
            return torch.cat([self.gate(h), self.gate(h)], 1)

    trace = Trace(net_of(Gating, ImageSpec(colours, 3, 4, 2)))
    gates = [operation for operation in trace.operations.values() if operation.label == "backbone.gate (GLU)"]
    assert gates and all(operation.groups_apart is apart for operation in gates)
    assert (find_leak(trace) is None) is apart


def test_one_map_of_pixels_for_all_others_mixes_the_colours():
    """It is one colour's; a map that needs no pixel is nobody's."""

    class Shaded(Base):
        def plant(self, spec):
            self.one = nn.Conv2d(6, 1, 1)
            self.shade = nn.Parameter(torch.rand(1, 1, 3, 4))

        def wrong(self, h):
            return h * self.shade * torch.sigmoid(self.one(h))

    apart = [o.groups_apart for o in Trace(net_of(Shaded, COLOUR)).operations.values() if o.label.startswith("mul")]
    assert apart == [True, False]


@pytest.mark.parametrize(
    "function",
    [
        lambda h: F.interpolate(h, scale_factor=1),
        lambda h: h.softmax(2),
        lambda h: torch.softmax(h, -1),
        lambda h: h.flip(1),
        lambda h: h[:, :, :, [1, 0, 3, 2]],
        lambda h: torch.cat(torch.chunk(h, 2, 3)[::-1], 3),
        lambda h: F.layer_norm(h, (3, 4)),
        lambda h: h.reshape(-1, 6, 4, 3).transpose(2, 3),
        lambda h: h * h.shape[0],
        lambda h: torch.einsum("bmhw,hk->bmkw", h, torch.ones(3, 3, dtype=torch.float64)),
        lambda h: F.conv2d(h, torch.ones(6, 6, 1, 1, dtype=torch.float64)),
        lambda h: h.cumsum(2),
        lambda h: h - h.amax((2, 3), keepdim=True),
        lambda h: torch.cat([F.glu(h), F.glu(h, 3)], 3),
        lambda h: torch.max(h, 2, True)[0] + h,
        lambda h: F.softmin(h, 3),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("nothing_adopted")
def test_what_is_in_no_table_is_taken_to_mix_everything(function):
    class Foreign(Base):
        def plant(self, spec):
            pass

        def wrong(self, h):
            return function(h)

    assert isinstance(find_leak(Trace(net_of(Foreign, GREY))), Leak)


@pytest.mark.parametrize(
    "function",
    [
        lambda h: h.softmax(1),
        lambda h: torch.softmax(h, dim=1),
        lambda h: F.softmin(h, -3) + nn.functional.softmin(h, dim=1),
        lambda h: torch.cat([F.glu(h, 1), F.glu(h, dim=-3)], 1),
        lambda h: h % 2 + torch.atan2(h, h.cosh()) + torch.special.erfcx(h) // 0.5,
        lambda h: torch.sigmoid(-h) * 3 - 1 / (h.abs() + 1),
        lambda h: torch.maximum(h, h.neg().tanh()),
        lambda h: torch.cat(h.chunk(3, dim=1)[::-1], dim=1),
        lambda h: F.gelu(h) + F.softplus(h) - F.silu(h) * F.leaky_relu(h, 0.1),
        lambda h: h * torch.arange(6.0, dtype=torch.float64)[:, None, None],
    ],
)
def test_what_works_site_by_site_keeps_sites_apart(function):
    class Local(Base):
        def plant(self, spec):
            pass

        def wrong(self, h):
            return function(h)

    assert find_leak(Trace(net_of(Local, GREY))) is None
