"""What is reported of measured times, by a clock that runs only while work is done."""

from types import SimpleNamespace

import pytest
import torch

from pixkit.execution.choose import EXECUTORS
from pixkit.execution.native.compile import NoCompiler
from pixkit.image import ImageSpec
from pixkit.samplers import kept
from pixkit.tasks import timing
from pixkit.testing import named, plain_backbone

SPEC = ImageSpec(1, 5, 8, 2)
WALKS = {"reference": [2.0, 1.0, 4.0], "eager": [3.0], "native": [2.75, 0.5, 1.5]}
"""Seconds of each turn; one that does not get its turns has too many, or too few."""
MAKING = {"reference": [1.0, 1.0, 1.0, 3.0, 5.0], "eager": [2.0, 7.0], "native": [4.0, 9.0, 0.25, 0.75]}
"""Seconds of making an executor: once for all, to see whether the reference is too slow, then in each turn."""


RENEWING = {"reference": 0.5, "native": 0.125}
"""Seconds to make what waited ready again; the eager executor is too large to wait."""


class Work:
    """Stands for the clock and for the executors. The n-th forward pass takes n seconds."""

    def __init__(self, monkeypatch, step):
        self.now, self.forwards, self.step = 0.0, 0, step
        self.walks, self.making = ({name: list(each) for name, each in all_.items()} for all_ in (WALKS, MAKING))
        self.asked, self.steps = [], []
        monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(timing.executors, "make", self.make)
        for place, name, seconds in ((timing, "Trace", 11.0), (timing, "make_plan", 5.0), (kept.Found, "holds", 0.75)):
            monkeypatch.setattr(place, name, self.taking(seconds, getattr(place, name)))

    def taking(self, seconds, work):
        def timed(*arguments):
            self.now += seconds
            return work(*arguments)

        return timed

    def forward(self, network, inputs):
        self.forwards += 1
        self.now += self.forwards

    def make(self, name, plan, batch, context):
        self.now += self.making[name].pop(0)
        self.asked.append((name, batch, len(context)))
        if name == "native" and self.walks[name] is None:
            raise NoCompiler("there is no compiler")
        return SimpleNamespace(
            walk=lambda *given: self.walk(name, *given),
            advance=lambda step: self.advance(name, step),
            renew=lambda context: self.renew(name, context),
            nbytes=kept.LARGEST + (name == "eager"),
        )

    def walk(self, name, uniforms, temperature, progress):
        assert (uniforms.shape[0], temperature, progress) == (2, 1.0, None)
        self.now += self.walks[name].pop(0)

    def renew(self, name, context):
        assert len(context) == 2
        self.now += RENEWING[name]

    def advance(self, name, step):
        self.steps.append((name, step))
        self.now += self.step


@pytest.fixture
def measured(monkeypatch):
    """measured(step, ...): the work that was done, and what was found; a step of the reference takes so long."""

    def measuring(step, without=(), progress=None):
        backbone = {"type": "gated_pixelcnn", "width": 4, "layers": 1, "first_kernel": 3}
        context = {"type": "label", "size": 2}
        network = named("model", "autoregressive", backbone=backbone, context=context).build(SPEC, 3).eval().network
        work = Work(monkeypatch, step)
        work.walks |= dict.fromkeys(without)
        monkeypatch.delitem(EXECUTORS, "bfloat16")
        plan = timing.make_plan
        # The passes that trace the network do not count.
        monkeypatch.setattr(
            timing, "make_plan", lambda trace: (plan(trace), network.register_forward_pre_hook(work.forward))[0]
        )
        return work, timing.time_sampling(network, [2], rounds=2, progress=progress)

    return measuring


def test_rows_have_the_medians_of_the_turns_that_count(measured):
    told = []
    work, found = measured(0.5, progress=lambda *now: told.append(now))
    assert told == [("batch 2", 0, 1)]
    assert (found.steps, found.rounds) == (40, 2)
    assert found.preparation == {
        **{"trace": 11.0, "plan": 5.0, "check": 0.75},
        **{"reference": 1.0, "eager": 2.0, "native": 4.0},
    }
    # A first turn of one pass and 6 of 40 steps, then twice three passes and the 6 steps.
    forward, ancestral = (10 + 17) / 2, (sum(range(11, 17)) + sum(range(20, 26))) / 2 * 40 / 6
    seconds = {None: ancestral, "reference": 2.5, "eager": 3.0, "native": 1.0}
    packing = {"reference": 4.0, "eager": 7.0, "native": 0.5}
    first = {"reference": 16 + 4 + 2.5, "eager": 16 + 7 + 3.0, "native": 16 + 0.5 + 1.0}
    later = {"reference": 0.75 + 0.5 + 2.5, "native": 0.75 + 0.125 + 1.0}
    notes = {None: "extrapolated from 6 of 40 steps", "eager": "one turn"}
    assert {row.executor: row.seconds for row in found.rows} == seconds
    assert [row.sampler for row in found.rows] == ["ancestral", *["cached"] * 3]
    for row in found.rows:
        assert (row.batch, row.forward_seconds, row.ancestral_seconds) == (2, forward, ancestral)
        assert row.per_forward == row.seconds / forward and row.speedup == ancestral / row.seconds
        assert row.preparation_seconds == packing.get(row.executor)
        assert (row.first_seconds, row.later_seconds) == (first.get(row.executor), later.get(row.executor))
        assert row.note == notes.get(row.executor, "")
    assert [batch for _, batch, _ in work.asked] == [context for _, _, context in work.asked]
    assert sorted(batch for _, batch, _ in work.asked) == [1] * 3 + [2] * 8
    assert not any([*work.walks.values(), *work.making.values()]), "all turns were made"


def test_the_reference_is_left_out_where_a_twentieth_of_its_steps_says_so(measured):
    work, found = measured(0.625)
    row = found.rows[1]
    assert work.steps == [("reference", 20), ("reference", 21)]
    assert row.note == "left out: it would take about 25 s"
    assert (row.seconds, row.per_forward, row.speedup, row.preparation_seconds) == (None,) * 4
    assert (row.first_seconds, row.later_seconds) == (None, None)
    assert [row.seconds is None for row in found.rows] == [False, True, False, False]


def test_an_executor_that_cannot_be_made_says_why(measured):
    work, found = measured(0.5, without=["native"])
    assert found.rows[3].seconds is None and found.rows[3].note == "there is no compiler"
    assert "native" not in found.preparation and len(work.making["native"]) == 3


@pytest.mark.parametrize(("size", "made"), [((5, 8), (0, 8, 16, 23, 31, 39)), ((2, 2), (0, 1, 2, 3))])
def test_the_steps_that_are_made_are_spread_over_the_image(size, made):
    network = named("model", "autoregressive", backbone=plain_backbone()).build(ImageSpec(1, *size, 2), None).network
    count, given = timing._some_steps(network)
    assert (count, network.ordering.steps[~given].tolist()) == (len(made), list(made))
    assert torch.equal(given.sum(), torch.tensor(size[0] * size[1] - count))
