"""Leaks that no graph shows: values written in place, and modules that do something else than their class."""

import pytest
import torch
from altered import ALTERED, UNSAID
from hidden import WRITES, Statistic, mean
from leaks import GREY, Base
from nets import net_of
from torch import nn
from torch.nn.modules import module as machinery

from pixkit.errors import CausalityError, UsageError
from pixkit.layers import Shift
from pixkit.readiness.check import find, verify
from pixkit.readiness.law import find_leak, require_law
from pixkit.readiness.plain import tampered
from pixkit.readiness.trace import Trace, Untraceable
from pixkit.samplers.kept import prepared

REFUSED = [*((cls, "changed in place") for cls, *_ in WRITES), *UNSAID]


@pytest.mark.parametrize(("cls", "writer", "written"), WRITES, ids=[case[0].__name__ for case in WRITES])
def test_what_is_written_and_read_again_is_not_traced(cls, writer, written):
    with pytest.raises(Untraceable, match="changed in place") as error:
        Trace(net_of(cls, GREY))
    assert error.value.where.startswith(writer) and f"the result of {written}" in error.value.found


@pytest.mark.parametrize(("cls", "reason"), REFUSED, ids=[case[0].__name__ for case in REFUSED])
def test_nothing_is_proved_of_what_leaks_past_the_graph(cls, reason):
    net = net_of(cls, GREY)
    for _ in range(2):  # a network may have kept what it saw the first time
        found = find(net)
        assert isinstance(found.problem, Untraceable) and isinstance(found.seen, CausalityError)
        assert any(word in str(found.problem) for word in reason.split("|"))


@pytest.mark.parametrize(("cls", "blamed"), ALTERED, ids=[case[0].__name__ for case in ALTERED])
def test_a_module_that_is_not_what_its_class_is_mixes_everything(cls, blamed):
    net = net_of(cls, GREY)
    with pytest.raises(CausalityError) as error:
        require_law(Trace(net))
    assert f"the output of {blamed} is ready too late" in str(error.value)
    if "Wave" not in blamed:  # of which nothing is known anyway
        assert ("has a hook that changes" if "hook" in blamed else "runs different code from the class") in str(
            error.value
        )
    assert isinstance(find(net).seen, CausalityError)


def test_hooks_of_the_network_and_of_every_module_are_no_part_of_a_trace():
    net = net_of(Sound, GREY)
    assert find_leak(Trace(net)) is None
    handle = net.register_forward_hook(lambda module, args, out: out + mean(out))
    with pytest.raises(Untraceable, match="more than its forward"):
        Trace(net)
    handle.remove()
    handle = machinery.register_module_forward_hook(lambda module, args, out: None)
    try:
        with pytest.raises(Untraceable, match="more than its forward"):
            Trace(net)
    finally:
        handle.remove()
    net.forward = lambda x, context=None: x
    with pytest.raises(Untraceable, match="more than its forward"):
        Trace(net)


class Sound(Base):
    def plant(self, spec):
        self.bad = nn.ELU()


class Watched(Sound):
    """A hook counts, another has the values, and neither changes anything."""

    def plant(self, spec):
        super().plant(spec)
        calls = []
        for layer in (self.bad, self.body, self.body.apply_kernel):
            layer.register_forward_hook(lambda module, args, out: calls.append(out.mean()))


class Overwritten(Sound):
    """What is written is not read again."""

    def wrong(self, h):
        h = h.mul_(-2.0)
        h += 1
        return torch.relu_(h)


@pytest.mark.parametrize("cls", [Watched, Overwritten])
def test_what_only_watches_and_what_nobody_reads_again_are_fine(cls):
    net = net_of(cls, GREY)
    assert isinstance(verify(net), Trace)


class Counting(Sound):
    """Later calls may do something else."""

    def plant(self, spec):
        super().plant(spec)
        self.calls = 0

    def wrong(self, h):
        self.calls += 1
        return h if self.calls < 99 else h + mean(h)


def test_a_network_that_counts_its_calls_is_not_traced():
    with pytest.raises(Untraceable, match="a different value in its attribute `calls` after each call"):
        Trace(net_of(Counting, GREY))


class Remembering(Sound):
    """It reads what it kept of its last call, where it finds proxies."""

    def wrong(self, h):
        if isinstance(h, torch.Tensor):
            self.kept = h[:1].mean((2, 3), keepdim=True).detach()
        return h + self.kept


def test_what_a_network_kept_of_a_call_is_not_that_of_the_images_that_a_trace_is_compared_by():
    with pytest.raises(Untraceable, match="its trace computes something different from its forward"):
        Trace(net_of(Remembering, GREY))


def test_tracing_leaves_the_network_as_it_was():
    class Constant(Sound):
        def wrong(self, h):
            return h + torch.ones(1, 6, 1, 1, dtype=torch.float64)

    net = net_of(Constant, GREY)
    hooks = net.backbone.bad._forward_hooks
    before = set(vars(net))
    assert find_leak(Trace(net)) is None
    assert set(vars(net)) == before and net.backbone.bad._forward_hooks is hooks


def test_a_statistic_that_is_not_written_is_static():
    class Read(Statistic):
        def wrong(self, h):
            return h + self.stat

    assert isinstance(verify(net_of(Read, GREY)), Trace)


@pytest.mark.parametrize("cls", [Shift, nn.ELU])
def test_a_class_that_was_given_another_forward_is_known_no_more(cls, monkeypatch):
    own = cls.forward
    monkeypatch.setattr(cls, "forward", lambda self, x: own(self, x) + (x.amin() > 9) * mean(x))
    layer = Shift(1, 0) if cls is Shift else nn.ELU()
    assert tampered(layer) and tampered(nn.Sequential(nn.Identity(), layer)) and not tampered(nn.Identity())


def test_a_network_that_has_never_been_called_is_a_usage_error():
    net = net_of(Statistic, GREY)
    net.backbone.last = nn.LazyLinear(1)
    for call in (Trace, lambda network: prepared(network, None)):
        with pytest.raises(UsageError, match=r"backbone.last.weight[\s\S]*call it once first: network\(x\)"):
            call(net)
