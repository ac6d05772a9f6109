"""The GPU's kernel, its lanes run one by one on the CPU: whatever their order, it draws the reference's images."""

import functools
import itertools
import re
import sys

import pytest
import torch
from families import LONG, construct, find_examined, networks, packaged_recipes, sample
from lanes import FAST, ORDERS, built, emulated
from nets import net_of
from teacher import COLOUR, GREY, backbone, check
from torch import nn

from pixkit.execution.cuda import nvrtc, trial
from pixkit.execution.cuda.fused import Fused
from pixkit.execution.cuda.persistent import PersistentExecutor
from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.native.layout import KINDS, definition
from pixkit.execution.native.packed import Packed
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.image import ImageSpec
from pixkit.layers import Elementwise
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import named, network

pytestmark = [
    pytest.mark.needs_compiler,
    pytest.mark.skipif(sys.platform != "linux", reason="the lanes are fibres in Linux's way"),
]
HOT = 4.0
"""A temperature at which few random networks are sure of all levels."""


def drawn(make, plan, batch):
    """Levels, parameters of all sites, and the executor."""
    net = plan.trace.network
    executor = make(plan, batch, net.example_context(batch))
    with torch.no_grad():
        executor.walk(net.uniforms(Noise(3, range(batch))).flatten(3), HOT, None)
    return executor.pixels.clone(), executor.params(torch.arange(net.spec.sites)).clone(), executor


@pytest.mark.parametrize("name", sample())
def test_a_recipe_is_drawn_as_by_the_reference_executor_in_every_order_of_lanes(name):
    nets = [*networks(name, side=8 if LONG else 3, most=1)]
    assert nets
    for net in nets:
        plan = make_plan(Trace(net))
        expected, params, _ = drawn(ReferenceExecutor, plan, 3)
        assert len(expected.unique()) > 1
        bits = {}
        for order, parts in (
            [*itertools.product(ORDERS, (1, 3))] if LONG else [*((o, 1) for o in ORDERS), ("shuffled", 3)]
        ):
            found, own, executor = drawn(emulated(order=order, parts=parts), plan, 3)
            assert torch.equal(found, expected)
            assert len(executor.kernel.launches) <= 20 and set(executor.kernel.parts) == {parts}
            assert torch.equal(own, bits.setdefault(parts, own))
            assert (own - params).abs().max() <= 1e-9 * params.abs().max()


@functools.cache
def trials():
    """Plans of the trial's networks, which have every kind of instruction, in float64; a batch size for each."""
    return [(make_plan(Trace(net.double())), min(batch, 2)) for net, batch in trial.networks()]


def test_the_trial_has_every_kind_of_instruction_that_is_not_elementwise():
    kinds = {part.kind for plan, batch in trials() for _, part in emulated()(plan, batch).packed._parts}
    assert set(KINDS[: KINDS.index("RELU")]) - {"SUM"} <= kinds  # which is for CPUs alone


@pytest.mark.parametrize("lanes", [1, 33, 96] if LONG else [33])
def test_any_number_of_lanes_draws_the_same_images(lanes):
    plans = trials()[: None if LONG else 3]
    assert len(plans) >= 3
    for plan, batch in plans:
        expected, *_ = drawn(ReferenceExecutor, plan, batch)
        assert torch.equal(drawn(emulated(lanes=lanes, order="shuffled"), plan, batch)[0], expected)


def test_an_image_is_the_same_to_the_bit_alone_and_in_company():
    """In float32, too: how sums are split depends on the plan alone."""
    net = network(named("backbone", "pixelcnn", width=12, layers=2), ImageSpec(1, 5, 6, 3)).float()
    plan = make_plan(Trace(net))
    _, alone, _ = drawn(emulated(), plan, 1)
    for processors, batch in ((8, 5), (1, 5), (1, 2)):
        _, params, _ = drawn(emulated(processors=processors), plan, batch)
        assert torch.equal(params[:1], alone)


@pytest.mark.parametrize("head", ["softmax", "bernoulli", "logistic_mixture"])
def test_float32_differs_by_ties_alone(head):
    """Of thousands of draws from one site's parameters, next to none differ."""
    levels = 2 if head == "bernoulli" else 64
    net = network(
        named("backbone", "pixelcnn", width=12, layers=0),
        ImageSpec(1, 1, 1, levels),
        head=named("head", head),
        gain=0.7,
    ).float()
    plan = make_plan(Trace(net))
    (found, *_), (expected, *_) = (drawn(make, plan, 1000) for make in (emulated(lanes=2), ReferenceExecutor))
    assert len(expected.unique()) > 1
    assert (found != expected).float().mean() < 2e-3


def test_given_levels_stay_and_count_and_progress_is_told_launch_by_launch():
    net = network(named("backbone", "pixelcnn", width=12, layers=1), ImageSpec(3, 5, 5, 4))
    generator = torch.Generator().manual_seed(0)
    known = torch.rand(net.spec.shape, generator=generator) < 0.4
    values = torch.randint(4, (3, *net.spec.shape), generator=generator)
    plan, said, levels = make_plan(Trace(net), known), [], []
    for make in (emulated(), ReferenceExecutor):
        executor = make(plan, 3, None)
        executor.pixels.copy_(torch.where(known, values, 0).flatten(2).transpose(1, 2))
        with torch.no_grad():
            executor.walk(net.uniforms(Noise(0, range(3))).flatten(3), 1.0, lambda *done: said.append(done))
        levels.append(executor.pixels.clone())
    assert torch.equal(*levels)
    assert torch.equal(levels[0].transpose(1, 2).unflatten(2, (5, 5))[:, known], values[:, known])
    ours = said[: -len(plan.draws)]
    assert 10 < len(ours) <= 20 and ours == sorted(ours) and ours[-1] == (75, 75)


def test_steps_one_by_one_compute_what_a_walk_does():
    net = network(named("backbone", "gated_pixelcnn", width=12, layers=2), ImageSpec(1, 4, 5, 3))
    plan = make_plan(Trace(net))
    for parts in (1, 2):
        levels, params, _ = drawn(emulated(parts=parts), plan, 2)
        executor = emulated(parts=parts)(plan, 2, None)
        executor.pixels.copy_(levels)
        for step in range(len(plan.draws)):
            executor.advance(step)
        assert torch.equal(executor.params(torch.arange(net.spec.sites)), params)
        assert executor.kernel.launches == [(step, step + 1) for step in range(len(plan.draws))]
        assert set(executor.kernel.parts) == {parts} and torch.equal(executor.pixels, levels)


@pytest.mark.parametrize("make", [emulated(), NativeExecutor], ids=["on a GPU", "native"])
def test_a_walk_draws_and_steps_after_it_compute_alone(make):
    net = network(named("backbone", "pixelcnn", width=6, layers=1), ImageSpec(1, 3, 4, 5))
    _, _, executor = drawn(make, make_plan(Trace(net)), 2)
    executor.pixels.fill_(1)
    for step in range(12):
        executor.advance(step)
    assert (executor.pixels == 1).all()
    with torch.no_grad():
        expected = net(torch.ones(2, 1, 3, 4, dtype=torch.int64)).flatten(2)
    assert torch.allclose(executor.params(torch.arange(12)), expected, rtol=0, atol=1e-12)


def test_a_linear_layer_and_what_follows_it_are_one_chain():
    """Of mnist-pixelcnn, where two operations of three go without a barrier of their own."""
    recipe = find_examined(packaged_recipes()["mnist-pixelcnn"], []).recipe
    model = construct(recipe, ImageSpec(1, 8, 8, 2), None, torch.device("cpu")).eval()
    plan = make_plan(Trace(model.network))
    packed = emulated()(plan, 1).packed
    chains = [packed.ops[op].fused + 1 for op in packed.table["op"][:-1].tolist()]
    assert sum(chains) > 2 * len(chains) and len(chains) < 28.5 * len(plan.draws)


FIRST = (
    "EMBED LINEAR+ELU LINEAR TANH+SIGMOID+MUL+ADD+CONCATENATED_ELU LINEAR MAXOUT NORM+ADD {attention}{rows}{corners} "
    "GATHER+GATHER+GATHER+GATHER+ADD CONSTANT+REARRANGE+ADD+NEGATE+COPY+COPY GLU+GELU+ADD+COPY CONSTANT LINEAR LINEAR"
)
ATTENTION, ROWS = "LAYER_NORM RMS_NORM AFFINE+RELU ATTEND ADD ", "GATHER ADD LINEAR LINEAR LSTM ADD "
ALONE, PAIR = "GATHER GATHER GATHER GATHER", "GATHER GATHER+GATHER GATHER"


@pytest.mark.parametrize(("number", "attention", "rows", "corners"), [
    (0, ATTENTION, ROWS, ALONE), (1, "", ROWS, ALONE), (2, "", "", PAIR), (4, ATTENTION, "", ALONE),
])  # fmt: skip
def test_what_is_one_chain(number, attention, rows, corners):
    """What reads other maps, sites or steps than were written begins a chain, and so does what has other elements.

    Of the checkerboard's four corners two are computed in one step each.
    """
    plan, _ = trials()[number]
    packed = Fused(plan, 1)
    packed.fill(None)
    kinds, chains = [part.kind for _, part in packed._parts], []
    for head in packed._heads():
        chains.append("+".join(kinds[head : head + 1 + packed._fused[head]]))
    assert " ".join(chains) == FIRST.format(attention=attention, rows=rows, corners=corners)


def test_numbers_are_part_of_a_chain():
    plan = make_plan(Trace(net_of(backbone(lambda h, tools: torch.tanh(h * 2 + 1), 6, None, []), GREY)))
    packed = Fused(plan, 1)
    packed.fill(None)
    kinds = [part.kind for _, part in packed._parts]
    numbers = kinds.index("MUL")
    assert kinds[numbers - 1 : numbers + 3] == ["LINEAR", "MUL", "ADD", "TANH"] and packed._fused[numbers - 1] >= 3


TEXT = nvrtc.SOURCE.read_text(encoding="utf-8")
BARRIERS = [(match.span(), "(void)0", 1) for match in re.finditer(r"BARRIER\(\)(?=;\n)", TEXT)]
CLUSTERS = [(match.span(), "BARRIER()", 3) for match in re.finditer(r"TOGETHER\(me->parts\)(?=;\n)", TEXT)]
"""Where a barrier stands, what is put there instead, and for how many blocks of a cluster that is wrong."""


def cases(parts):
    """Plans, batch sizes and numbers of lanes; blocks of a cluster first share the draws from 64 levels.

    Of these there are several steps a launch.
    """
    if parts > 1:
        net = network(named("backbone", "pixelcnn", width=12, layers=0), ImageSpec(3, 3, 5, 64))
        yield make_plan(Trace(net)), 1, 128
    yield from ((*pair, 64) for pair in trials())


def wrong(source, parts=1):
    """Whether a kernel is found wrong by its lanes, and the blocks of a cluster, in some order."""
    library = built("double", source, scratch=8192 if parts == 1 else 16384, extra=FAST)
    for plan, batch, lanes in cases(parts):
        expected, *_ = drawn(ReferenceExecutor, plan, batch)
        bits = []
        for order in ORDERS:
            executor = emulated(order=order, library=library, lanes=lanes, parts=parts)(plan, batch)
            uniforms = plan.trace.network.uniforms(Noise(3, range(batch))).flatten(3)
            with torch.no_grad():
                executor._launch(uniforms, HOT, None)
            bits.append(executor.params(torch.arange(plan.trace.network.spec.sites)))
            if not torch.equal(executor.pixels, expected) or not torch.equal(bits[-1], bits[0]):
                return True
    return False


@pytest.mark.parametrize("missing", [*BARRIERS, *CLUSTERS] if LONG else [BARRIERS[3], CLUSTERS[1]])
def test_a_barrier_that_is_missing_is_found(missing, tmp_path):
    (first, last), instead, parts = missing
    source = tmp_path / "persistent.cu"
    source.write_text(TEXT[:first] + instead + TEXT[last:], encoding="utf-8")
    assert wrong(source, parts)


def test_a_barrier_that_some_lanes_do_not_come_to_is_found(tmp_path):
    source = tmp_path / "persistent.cu"
    source.write_text(TEXT.replace("BARRIER();", "if (me->lane != 3) BARRIER();", 1), encoding="utf-8")
    with pytest.raises(AssertionError, match="not all lanes come to the barrier in line"):
        wrong(source)


def test_what_the_kernel_cannot_run_is_said():
    net = network(named("backbone", "pixelcnn", width=12, layers=1), ImageSpec(1, 3, 4, 3))
    plan = make_plan(Trace(net))
    with pytest.raises(Unsupported, match="the kernel runs on cuda in float32 or float64, not on cpu in float64"):
        PersistentExecutor(plan, 1)
    net.head.inverse = None
    with pytest.raises(Unsupported, match="no instruction draws from the head Softmax"):
        emulated()(plan, 1)


class Wave(Elementwise):
    expression = "a * sin_(x) + w * z"
    numbers = (0.5,)

    def __init__(self, maps):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(maps))

    def values(self):
        return (self.scale,)

    def forward(self, x, z):
        return 0.5 * x.sin() + self.scale[:, None, None] * z


def test_an_instruction_of_a_plugin_is_computed_in_the_chain_that_it_follows():
    net = net_of(backbone(lambda h, tools: tools[0](h.relu(), h), 18, modules=[lambda spec: Wave(18)]), COLOUR)
    plan = make_plan(Trace(net.double()))
    added = Packed(plan, 1).added
    library = built("double", extra=(*FAST, f"-D{definition(added)}"))
    executor = emulated(library=library)(plan, 2)
    assert added == (Wave.expression,)
    assert [part.kind for _, part in executor.packed._parts][2:4] == ["RELU", Wave.expression]
    assert executor.packed._fused[1] == 2
    check(net, torch.float64, executors=(emulated(library=library),), plan=plan)
