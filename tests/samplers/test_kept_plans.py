"""Plans and executors are kept between calls, and never used for anything else than what they were made of."""

import copy
import gc
import pickle
import weakref
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from pixkit.backbones.base import Backbone
from pixkit.backbones.conditioners import LabelContext
from pixkit.errors import CausalityError
from pixkit.execution import choose
from pixkit.execution.eager import WORK, EagerExecutor
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.image import ImageSpec
from pixkit.layers import MaskedConv2d
from pixkit.layers.modes import evaluating
from pixkit.memory import keep
from pixkit.noise import Noise
from pixkit.orderings import KnownFirst
from pixkit.precision import float32_products, write
from pixkit.readiness.content import Content, Untold
from pixkit.readiness.trace import Trace, Untraceable
from pixkit.samplers import Ancestral, BatchRequest, Cached, Known, kept
from pixkit.samplers.guidance import Guided
from pixkit.samplers.kept import Prepared
from pixkit.testing import component, named, network

SPEC = ImageSpec(1, 2, 3, 3)
SETTINGS = {"times": 1.0}
EXECUTORS = ["reference", "eager", "native"]
NATIVE = pytest.param("native", marks=pytest.mark.needs_compiler)


def scaled(x, by=1.0):
    return x * by


class Nine(nn.Module):
    """What one class attribute, one default and one global say."""

    sign = 1.0

    def forward(self, x):
        return scaled(x) * self.sign * SETTINGS["times"]


class Switched(Backbone):
    """Made of pixkit's layers, by a forward that depends on much else."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 4
        self.conv = MaskedConv2d(spec.inputs, 4, 3, "A", spec.ordering)
        self.inner, self.factors, self.causal = Nine(), [1.0, 2.0], True
        self.loose = torch.full((1, 4, 1, 1), 0.5)
        self.register_buffer("shift", torch.linspace(-1, 1, 4)[:, None, None])
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        seen = self.drop(torch.tanh(self.inner(self.conv(x)) * self.factors[0] + self.shift)) + self.loose
        return seen if self.causal else seen + 3.0 * x


def step(net):
    net.log_prob(torch.ones(2, *SPEC.shape, dtype=torch.int64)).sum().backward()
    torch.optim.SGD(net.parameters(), lr=2.0).step()


def other_state(net):
    net.load_state_dict({name: -value for name, value in net.state_dict().items()})


def replaced(net):
    net.backbone.conv = copy.deepcopy(net.backbone.conv)
    net.backbone.conv.bias.data.add_(1.0)


class Doubled(nn.Module):
    def forward(self, weight):
        return -2 * weight


def doubled(x, by=1.0):
    return 2 * x


def patched(owner, name, value):
    return lambda net, patch: patch.setattr(owner, name, value)


def everywhere(net, patch):
    hooks = OrderedDict({0: lambda module, args, out: -out})
    patch.setattr(nn.modules.module, "_global_forward_hooks", hooks)


CHANGES = {
    "a step of an optimiser": step,
    "data": lambda net: net.backbone.conv.weight.data.mul_(-1),
    "numpy": lambda net: net.backbone.conv.weight.detach().numpy().__imul__(-2),
    "one bit": lambda net: net.projection.bias.data.view(torch.int64)[0].bitwise_xor_(1 << 62),
    "another state": other_state,
    "another parameter": lambda net: setattr(net.projection, "bias", nn.Parameter(1 - net.projection.bias.detach())),
    "another module": replaced,
    "a buffer in place": lambda net: net.backbone.shift.neg_(),
    "another buffer": lambda net: setattr(net.backbone, "shift", -net.backbone.shift),
    "a tensor that is an attribute": lambda net: net.backbone.loose.neg_(),
    "a number in a list": lambda net: net.backbone.factors.__setitem__(0, -2.0),
    "a parametrisation": lambda net: parametrize.register_parametrization(net.backbone.conv, "weight", Doubled()),
    "a forward of the module's own": lambda net: setattr(net.backbone.inner, "forward", lambda x: -x),
    "another precision": lambda net: net.float(),
    "a forward that reads on": lambda net: setattr(net.backbone, "causal", False),
    "a hook": lambda net: net.backbone.inner.register_forward_hook(lambda module, args, out: -out),
    "an attribute of a class": patched(Nine, "sign", -1.0),
    "the forward of a class": patched(Nine, "forward", lambda self, x: -x),
    "a default": patched(scaled, "__defaults__", (-2.0,)),
    "code": patched(scaled, "__code__", doubled.__code__),
    "a global": lambda net, patch: patch.setitem(SETTINGS, "times", -2.0),
    "a hook of every module": everywhere,
}
REFUSED = ("a forward that reads on", "a hook of every module")
SAME = ("another precision",)


def switched():
    return network(component("backbone", Switched), SPEC, gain=0.7)


def drawn(net, executor=None, first=0, count=6, **keys):
    sampler = Ancestral(Ancestral.Config()) if executor is None else Cached(Cached.Config(executor=executor))
    return sampler.sample(net, Noise(5, range(first, first + count)), **keys)


def act(change, subject, patch):
    """Make a change, of the subject itself or by monkeypatch."""
    change(subject, patch) if change.__code__.co_argcount == 2 else change(subject)


@pytest.mark.parametrize("change", CHANGES)
def test_a_plan_does_not_hold_of_what_has_changed(change, monkeypatch):
    net = switched()
    x = torch.full((1, *SPEC.shape), 2)
    before, content = net(x), Content(net)
    assert content.holds(net)
    act(CHANGES[change], net, monkeypatch)
    assert not content.holds(net)
    assert torch.allclose(net(x).double(), before) == (change in SAME)


@pytest.mark.parametrize(
    "change, executors",
    [
        ("a step of an optimiser", EXECUTORS),
        ("an attribute of a class", ["native"]),
        ("another module", ["eager"]),
        ("another precision", ["native"]),
        ("a forward that reads on", ["reference"]),
        ("a hook of every module", ["reference"]),
    ],
)
@pytest.mark.needs_compiler
def test_nothing_stale_is_drawn(change, executors, monkeypatch):
    net = switched()
    before = drawn(net)
    for executor in executors * 2:
        assert torch.equal(drawn(net, executor), before)
    assert len(net.kept.entries) == 1
    act(CHANGES[change], net, monkeypatch)
    expected = drawn(net)
    assert torch.equal(expected, before) == (change in SAME)
    for executor in executors:
        if change in REFUSED:
            with pytest.raises((CausalityError, Untraceable)):
                drawn(net, executor)
        else:
            assert torch.equal(drawn(net, executor), expected), executor


@pytest.mark.parametrize("executor", ["reference", "eager", NATIVE])
def test_what_is_kept_draws_what_is_made_anew(executor, monkeypatch):
    """In batches of several sizes, and given in part."""
    made, begin, laid_out, lay_out = [], Prepared.__init__, [], choose.make
    monkeypatch.setattr(choose, "make", lambda *args: laid_out.append(args[2]) or lay_out(*args))
    monkeypatch.setattr(Prepared, "__init__", lambda self, *args: made.append(args[1]) or begin(self, *args))
    net = switched()
    mask = net.ordering.steps < 4
    images = [drawn(net, executor, number, 1) for number in range(6)]
    held = [image.clone() for image in images]
    assert torch.equal(torch.cat(images), drawn(net)) and len(made) == 1
    given = Known(mask, images[0])
    assert all(torch.equal(drawn(net, executor, known=given), drawn(net, known=given)) for _ in range(2))
    assert all(torch.equal(drawn(net, executor, batch_size=4), drawn(net)) for _ in range(2))
    assert len(made) == 2 and all(map(torch.equal, images, held))
    assert laid_out == [1, 6, 4, 2], "each size once, and given in part once"


@pytest.mark.parametrize("executor", ["reference", "eager", NATIVE])
def test_a_kept_plan_is_for_every_label(executor):
    net = network(component("backbone", Labelled), SPEC, conditioner=LabelContext(3, 2))
    guided = Guided(Cached(Cached.Config(executor=executor)), 1.0, torch.tensor([3]))
    plainly = Guided(Ancestral(Ancestral.Config()), 1.0, torch.tensor([3]))
    for labels in ([0, 1, 2], [2, 2, 1]):
        context, noise = torch.tensor(labels), Noise(1, range(3))
        assert torch.equal(drawn(net, executor, count=3, context=context), drawn(net, count=3, context=context))
        assert torch.equal(guided.sample(net, noise, context=context), plainly.sample(net, noise, context=context))
    assert len(net.kept.entries) == 2
    guided.weight = 5.0
    guided.sample(net, noise, context=context)
    assert len(net.kept.entries) == 3


class Labelled(Switched):
    conditional = True

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.enter = nn.Conv2d(spec.context, 4, 1)

    def forward(self, x, context):
        return super().forward(x) + self.enter(context)


def test_what_a_library_hides_shows_in_what_the_network_computes(monkeypatch):
    net = switched()
    drawn(net, "eager")
    (plan,) = net.kept.entries
    monkeypatch.setattr(Content, "holds", lambda self, module: True)
    with torch.no_grad(), float32_products("ieee"):
        assert plan.holds(net, None)
        monkeypatch.setitem(SETTINGS, "times", -2.0)
        assert not plan.holds(net, None)


def moved(net):
    """The weights lie elsewhere, and where they lay is something else."""
    old = net.backbone.conv.weight.data
    net.backbone.conv.weight.data = old.clone()
    old.neg_()


def twin(net):
    old, net.backbone.conv = net.backbone.conv, copy.deepcopy(net.backbone.conv)
    old.weight.data.neg_()


@pytest.mark.parametrize("change", [twin, moved])
def test_what_a_plan_refers_to_may_not_change_unseen(change):
    """What is swapped for its equal is still what the plan runs."""
    net = switched()
    before = drawn(net, "reference")
    assert torch.equal(drawn(net, "reference"), before)
    change(net)
    assert torch.equal(drawn(net, "reference"), before)


def test_an_executor_made_of_other_weights_does_not_wait():
    """Whoever is told of progress may put weights in place that are gone again after."""
    net, turns = switched(), []

    def turn(done, total):
        if not turns or done == total:
            turns.append(net.backbone.conv.weight.data.neg_())

    expected = drawn(net, first=2, count=1)
    drawn(net, "reference", count=3, batch_size=2, progress=turn)
    assert len(turns) == 2
    assert torch.equal(drawn(net, "reference", first=2, count=1), expected)


def test_modes_of_torch_and_its_settings_count():
    class Turned(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            return function(*args, **(kwargs or {}))

    net = switched()
    with Turned():
        drawn(net, "reference")
    assert net.kept.entries == ()
    drawn(net, "reference")
    with torch.autocast("cpu", torch.bfloat16, enabled=False):
        drawn(net, "reference")
    assert len(net.kept.entries) == 1
    (plan,) = net.kept.entries
    with torch.no_grad(), float32_products("ieee"):
        assert plan.holds(net, None)
        write(("mkldnn", "matmul"), "bf16")
        try:
            assert not plan.holds(net, None)
        finally:
            write(("mkldnn", "matmul"), "none")
        assert plan.holds(net, None)


def test_each_ordering_has_a_plan_and_all_have_one_place():
    net = network(named("backbone", "local_pixelcnn", width=4, blocks=1, stages=1), SPEC)
    mask = torch.eye(2, 3, dtype=torch.bool)[None]
    for _ in range(2):
        twin = net.under(KnownFirst(net.ordering, mask))
        assert torch.equal(drawn(twin, "eager"), drawn(twin)) and torch.equal(drawn(net, "eager"), drawn(net))
    assert len(net.kept.entries) == 2


def test_what_is_kept_is_bounded(monkeypatch):
    net = switched()
    assert (keep.MOST, kept.EXECUTORS) == (8, 4)
    monkeypatch.setattr(keep, "MOST", 2)
    monkeypatch.setattr(kept, "EXECUTORS", 2)
    for numbers, entries in ((range(3), [2, 1]), ((1,), [1, 2])):
        for number in numbers:
            known = Known(net.ordering.steps < number, torch.zeros(1, *SPEC.shape, dtype=torch.int64))
            drawn(net, "reference", known=known)
        assert [int(plan.plan.known.sum()) for plan in net.kept.entries] == entries, "the last one used comes first"
    for count in range(1, 4):
        drawn(net, "reference", count=count)
    waiting = net.kept.entries[0]._waiting
    assert [count for _, count, *_ in waiting] == [2, 3]
    with monkeypatch.context() as patch:
        patch.setattr(kept, "LARGEST", sum(chosen.executor.nbytes for chosen in waiting.values()) - 1)
        drawn(net, "reference", count=3)
    assert [count for _, count, *_ in waiting] == [3]
    drawn(net, "reference", count=2)
    monkeypatch.setattr(keep, "LARGEST", net.kept.entries[0].nbytes + 1)
    drawn(net, "reference")
    assert len(net.kept.entries) == 1
    monkeypatch.setattr(keep, "LARGEST", 0)
    assert torch.equal(drawn(net, "reference"), drawn(net)) and net.kept.entries == ()


def test_plans_go_with_their_network_and_are_not_copied():
    net = switched()
    drawn(net, "eager")
    assert copy.deepcopy(net).kept.entries == () == pickle.loads(pickle.dumps(net.kept)).entries
    assert not any("kept" in name for name in net.state_dict())
    gone = weakref.ref(net), weakref.ref(net.kept.entries[0])
    gc.disable()
    try:
        del net
        assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("executor", ["reference", NATIVE])
def test_threads_share_a_plan_and_no_executor(executor):
    net = switched()
    expected = [drawn(net, None, number, 2) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda number: drawn(net, executor, number, 2), range(4))]
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("executor", ["reference", NATIVE])
def test_a_draw_that_was_stopped_leaves_nothing_behind(executor):
    net = switched()
    expected = drawn(net, executor)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drawn(net, executor, progress=stop)
    assert not net.kept.entries[0]._waiting
    assert torch.equal(drawn(net, executor), expected)


def test_inference_mode_has_executors_of_its_own():
    net = switched()
    with torch.inference_mode():
        expected = drawn(net, "reference")
    assert torch.equal(drawn(net, "reference"), expected)


@pytest.mark.parametrize("value", [torch.Generator(), iter(()), {object()}], ids=["generator", "iterator", "set"])
def test_what_cannot_be_told_is_planned_each_time(value):
    net = switched()
    net.backbone.extra = value
    with pytest.raises(Untold):
        Content(net)
    assert torch.equal(drawn(net, "reference"), drawn(net)) and net.kept.entries == ()


def branches(x):
    return x if bool((x > -9).all()) else -x


def test_why_there_is_no_plan_is_kept_until_something_changes(monkeypatch):
    """Whatever is known; each time as an error of its own, since a traceback would hold what it led through."""
    tried, begin = [], Trace.__init__
    monkeypatch.setattr(Trace, "__init__", lambda self, network: tried.append(network) or begin(self, network))
    net = switched()
    net.backbone.inner.forward = branches
    mask = net.ordering.steps < 4
    given = [None, Known(mask, torch.zeros(1, *SPEC.shape, dtype=torch.int64))]
    errors = []
    for known in given * 2:
        with pytest.raises(Untraceable) as caught:
            drawn(net, "reference", known=known)
        errors.append(caught.value)
    assert len(tried) == 1 and len({id(error) for error in errors}) == 4 and len({str(error) for error in errors}) == 1
    (refused,) = net.kept.entries
    assert refused.error.__traceback__ is None is refused.error.__cause__
    assert refused.nbytes == refused.content.nbytes > 0
    del net.backbone.inner.forward
    assert torch.equal(drawn(net, "reference"), drawn(net)) and len(tried) == 2


@pytest.mark.parametrize("cause", kept.PASSING)
def test_a_refusal_for_want_of_memory_is_not_kept(cause, monkeypatch):
    def fails(self, network):
        between = RuntimeError()
        between.__cause__ = cause()
        raise Untraceable("the network cannot be traced") from between

    net = switched()
    with monkeypatch.context() as patch:
        patch.setattr(Trace, "__init__", fails)
        with pytest.raises(Untraceable):
            drawn(net, "reference")
    assert net.kept.entries == () and torch.equal(drawn(net, "reference"), drawn(net))


@pytest.mark.parametrize("executor", ["reference", "eager", NATIVE])
def test_who_holds_prepared_batches_draws_by_the_weights_of_the_moment(executor):
    net = network(component("backbone", Switched), SPEC)
    sampler, noise = Cached(Cached.Config(executor=executor)), Noise(2, range(3))
    with torch.no_grad(), evaluating(net):
        batches = sampler.prepare(net, None)
        before = batches(BatchRequest(noise))
        net.projection.weight.data.neg_()
        after = batches(BatchRequest(noise))
    assert torch.equal(after, Ancestral(Ancestral.Config()).sample(net, noise)) and not torch.equal(after, before)


def test_what_an_eager_executor_takes_is_mostly_pythons():
    plan = make_plan(Trace(network(component("backbone", Switched), SPEC)))
    executor, reference = EagerExecutor(plan, 1), ReferenceExecutor(plan, 1)
    assert executor.nbytes >= WORK * SPEC.sites * len(plan.schedules) // 2 > reference.nbytes
