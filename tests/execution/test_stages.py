"""What a team shares, and where it meets: in no stage does a thread touch what another writes, and none is needless."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pixkit.execution.native import stages, team
from pixkit.execution.native.stages import ITSELF, Access, Work, roles
from pixkit.execution.native.threads import Threaded
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import CALLS
from pixkit.image import ImageSpec
from pixkit.readiness.trace import Trace
from pixkit.testing import named, network

LONG, SHORT = 2 * stages.LEAST, stages.LEAST / 2


def part(memory, start=0, stop=64):
    return Access(memory, start, stop, True)


def whole(memory, start=0, stop=64):
    return Access(memory, start, stop, False)


def work(reads, writes, time=LONG, units=4):
    return Work(units, tuple(reads), tuple(writes), time)


LINEAR = work([whole(1)], [part(2)])


@pytest.mark.quick
@pytest.mark.parametrize(
    ("following", "role"),
    [
        (work([part(2)], [part(3)]), (0, True)),
        (work([part(2)], [part(3)], SHORT), (0, True)),
        (work([whole(2)], [part(3)]), (1, True)),
        (work([whole(2)], [part(3)], SHORT), (1, False)),
        (work([part(2)], [part(3)], units=2), (1, True)),
        (work([part(2, 32, 96)], [part(3)]), (1, True)),
        (work([part(2, 64, 96)], [part(3)]), (0, True)),
        (work([part(2)], [part(3)], LONG, units=0), (1, False)),
        (work([part(3)], [part(4)], SHORT, units=0), (0, False)),
        (work([part(3)], [part(1)]), (1, True)),
        (work([part(3)], [whole(2)]), (1, True)),
        (work([whole(1)], [part(3)]), (0, True)),
    ],
)
def test_threads_meet_between_operations_of_which_one_touches_what_others_wrote(following, role):
    assert roles([LINEAR, following]) == [(0, True), role]
    assert roles([following, LINEAR])[1].stage == role[0], "whichever comes first"


@pytest.mark.quick
def test_what_takes_little_stays_with_the_thread_that_did_what_it_reads():
    first = work([], [part(1)], LONG, units=0)
    assert roles([first, work([whole(1)], [part(2)], SHORT), work([whole(2)], [part(3)], SHORT)]) == [(0, False)] * 3
    assert roles([first, work([whole(1)], [part(2)])]) == [(0, False), (1, True)]


@pytest.mark.quick
def test_threads_meet_each_time_before_what_reads_its_own_results():
    own = work([whole(2)], [part(2)])
    assert roles([LINEAR, own, LINEAR]) == [(0, True), (ITSELF, True), (2, True)]
    assert roles([work([part(2)], [part(2)])]) == [(0, True)]


def suits(plan, threads, batch=1):
    packed = Threaded(plan, batch)
    packed.fill(None)
    return packed.suits(threads)


def test_a_team_is_for_wide_layers_and_few_images():
    small, wide = (
        make_plan(Trace(network(named("backbone", "pixelcnn", width=width, layers=1), ImageSpec(1, 8, 8, 2)).float()))
        for width in (32, 640)
    )
    assert [suits(wide, 2), suits(wide, 4, 2)] == [True, True]
    assert [suits(small, 2), suits(wide, 1), suits(wide, 2, 64), suits(wide, 2, 0)] == [False, False, False, False]


class Small(Threaded):
    """A linear layer of 2 taps from 3 to 32 maps, attention of 4 heads, and three more operations."""

    def __init__(self, width=32, batch=1, read=1.0):
        def part(kind, **sizes):
            return "", SimpleNamespace(kind=kind, **sizes)

        self.batch, self.dtype, self._part_read = batch, torch.float32, read
        self._parts = [
            part("LINEAR", taps=2, inner=3, width=width),
            part("ATTEND", taps=4, inner=5, count=6, grid=10),
            part("CONCATENATED_ELU"),
            part("COPY", count=17),
            part("NORM"),
        ]
        shared, stage = (True, True, False, True, False), (0, 1, 1, 2, 3)
        self.ops = [SimpleNamespace(taps=4, shared=a, stage=b) for a, b in zip(shared, stage, strict=True)]
        self._leading, self.plan = [0, 1, 3, 4], SimpleNamespace(draws=[None] * 3)
        self.table = np.array([(0, 7), (1, 5), (2, 3), (0, 2), (3, 1), (4, 1), (0, 9)], [("op", int), ("count", int)])

    def _domain(self, number):
        return 10 * number + 20


@pytest.mark.quick
@pytest.mark.parametrize(("rows", "product"), [(1, 1 / 90e3), (3, 3 / 160e3)])
def test_the_time_of_each_operation(rows, product):
    """Reading weights, or the products of several images; attention reads half of its keys and values."""
    others = [rows * maps / 2e3 for maps in (40, 50, 60)]
    attention = rows * 4 * 10 / 2 * ((5 + 6) * 4 / 90e3 + 1 / 2e3)
    assert Small()._times(rows) == pytest.approx([2 * 3 * 32 * 4 * product, attention, *others])


@pytest.mark.quick
@pytest.mark.parametrize(("read", "width"), [(1.0, 65536), (0.5, 131072)])
def test_weights_that_the_cache_does_not_hold_are_read_from_farther_away(read, width):
    for more, speed in ((0, 90e3), (1, 30e3)):
        found = Small(width + more, read=read)._times(1)
        assert found[0] == pytest.approx(24 * (width + more) * max(read / speed, 1 / 160e3))
        assert found[1] == pytest.approx(20 * (44 / speed + 1 / 2e3))


@pytest.mark.quick
def test_the_time_of_a_team():
    """What is shared by as many threads as it has parts; meetings between stages and around what is drawn."""
    small = Small(33)
    assert [small._units(head) for head in range(5)] == [3, 4, 2, 2, 0]
    assert Small(32)._units(0) == 2
    linear, attention, active, copy, norm = small._times(1)
    assert small._walk(small._times(1)) == pytest.approx(9 * linear + 5 * attention + 3 * active + copy + norm)
    for threads, parts in ((2, (2, 2, 2)), (4, (3, 4, 2))):
        shared = 9 * linear / parts[0] + 5 * attention / parts[1] + copy / parts[2]
        extra = team.MEETING * (4 + 2 * 3) + team.BEGINNING * CALLS * (threads - 1)
        assert small._team(threads) == pytest.approx(shared + 3 * active + norm + extra)


@pytest.mark.quick
@pytest.mark.parametrize(("batch", "threads", "rows"), [(7, 4, 2), (8, 4, 2), (3, 4, 1), (1, 2, 1)])
def test_a_team_has_to_be_faster_than_slices_by_a_margin(batch, threads, rows, monkeypatch):
    asked, small = [], Small(batch=batch)
    monkeypatch.setattr(small, "_times", asked.append)
    monkeypatch.setattr(small, "_walk", lambda times: 100.0)
    for time, faster in ((100 * team.GAIN - 0.01, True), (100 * team.GAIN, False)):
        monkeypatch.setattr(small, "_team", lambda threads, time=time: time)
        assert small.suits(threads) is faster
    assert asked == [rows, rows]
