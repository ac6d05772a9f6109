"""What a team shares, and where it meets: in no stage does a thread touch what another writes, and none is needless."""

import pytest

from pixkit.execution.native import stages
from pixkit.execution.native.stages import ITSELF, Access, Work, roles
from pixkit.execution.native.threads import Threaded
from pixkit.execution.plan import make_plan
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
