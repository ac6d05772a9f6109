"""What a plan says of itself: what is remembered, what is told, and in how many calls a walk is made."""

import functools
from collections import defaultdict

import pytest
import torch
from nets import NETS, net_of
from teacher import COLOUR, GREY

from pixkit.execution.cuda.graphs import GraphExecutor
from pixkit.execution.eager import EagerExecutor
from pixkit.execution.native.buffers import Buffers
from pixkit.execution.native.threads import Threaded
from pixkit.execution.plan import POINTWISE, fleeting, make_plan, pointwise
from pixkit.execution.reference import CALLS, ReferenceExecutor, chunks
from pixkit.image import ImageSpec
from pixkit.layers.base import TapLayer
from pixkit.modes import Mode
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import named, network


def test_a_walk_is_made_in_at_most_20_calls_which_cover_it():
    for total in range(1, 130):
        parts = list(chunks(total))
        assert [start for start, *_ in parts] == [0, *(stop for _, stop, _ in parts[:-1])]
        assert all(start < stop and whole == total for start, stop, whole in parts) and parts[-1][1] == total
        assert len(parts) <= CALLS == 20 and (total > 20 or len(parts) == total)


def computed(plan):
    """By operation and colour group, at which step each site is computed."""
    found = defaultdict(dict)
    for time, instructions in enumerate(plan.steps(torch.device("cpu"))):
        for one in instructions:
            found[one.operation.name, one.group] |= dict.fromkeys(one.sites.tolist(), time)
    return found


@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
@pytest.mark.parametrize("name", ["Plain", "Gated", "MaskedUnet", "Attending"])
def test_what_is_read_where_and_when_it_is_computed_and_nowhere_else_need_not_be_remembered(name, spec):
    if name == "Attending" and spec is COLOUR:
        pytest.skip("attention works on sites, not on single colours")
    plan = make_plan(Trace(net_of(NETS[name], spec)))
    operations, groups, expected = plan.trace.operations, plan.trace.groups, set()
    found = computed(plan)
    for operation in operations.values():
        alike = all(
            pointwise(reader)
            and (reader.groups_apart or groups == 1)
            and all(found[operation.name, group] == found[reader.name, group] for group in range(groups))
            for reader in operations.values()
            if operation.name in reader.inputs
        )
        passed = operation.kind in (*POINTWISE, "mixing") and operation.name != plan.trace.output
        if passed and alike:
            expected.add(operation.name)
    assert expected and fleeting(plan, pointwise) == expected


def test_layers_that_read_their_own_site_alone_are_those_of_one_tap():
    operations = [o for o in Trace(net_of(NETS["Plain"], GREY)).operations.values() if isinstance(o.module, TapLayer)]
    expected = [operation.module.kernel_size == 1 for operation in operations]
    own = functools.partial(Buffers._own_site, None)
    assert set(expected) == {True, False} and [own(operation) for operation in operations] == expected


class Operations(Mode):
    """Counts torch's operations."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("colours, width", [(1, 4), (3, 12)])
def test_more_steps_are_planned_and_laid_out_by_no_more_operations_of_torch(colours, width):
    """Each costs tens of microseconds where memory is guarded; there is one for each operation of a step and image."""
    counts = []
    for rows in (4, 7):
        backbone = (
            named("backbone", "transformer", width=width, heads=1, blocks=1)
            if colours == 1
            else named("backbone", "pixelcnn", width=width, layers=1)
        )
        trace = Trace(network(backbone, ImageSpec(colours, rows, 4, 2)))
        plan = make_plan(trace)
        ways = [
            lambda trace=trace: make_plan(trace),
            *(lambda make=make, plan=plan: make(plan, 2) for make in LAID_OUT),
        ]
        counts.append([])
        for way in ways:
            with torch.no_grad(), Operations() as counted:
                way()
            counts[-1].append(counted.count)
    assert counts[0] == counts[1]


def filled(plan, batch):
    Threaded(plan, batch).fill(None)


LAID_OUT = (ReferenceExecutor, EagerExecutor, filled)


class Counted(GraphExecutor):
    """Replays by running the body again, and counts what would be captured."""

    captured = 0

    def _capture(self, body):
        self.captured += 1
        return body


@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
def test_a_graph_is_captured_for_each_shape_of_step_and_progress_told_for_each_step(spec):
    """A shape is what is computed, in which colour, at how many sites, and how many are drawn."""
    plan = make_plan(Trace(net_of(NETS["Plain"], spec)))
    executor, told = Counted(plan, 2), []
    with torch.no_grad():
        uniforms = plan.trace.network.uniforms(Noise(0, range(2))).flatten(3)
        executor.walk(uniforms, 1.0, lambda *done: told.append(done))
    shapes = {
        (*((i.operation.name, i.group, len(i.sites)) for i in instructions), len(sites))
        for instructions, (sites, _) in zip(plan.steps(torch.device("cpu")), plan.draws, strict=True)
    }
    assert executor.captured == len(shapes) < len(plan.draws)
    assert told == [(step + 1, len(plan.draws)) for step in range(len(plan.draws))]
