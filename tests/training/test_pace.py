"""In which order steps are launched, averaged and told of."""

from collections import deque
from types import SimpleNamespace

import pytest

from pixkit.training.pace import Pace, is_due, next_due
from pixkit.training.step import NonFiniteStep

MODEL = "the model"


class Steps:
    """A stepper, or one that launches ahead; notes what it is asked for."""

    flag = "flag"

    def __init__(self, lag=0, fail=None, bad=None):
        self.lag, self.fail, self.bad = lag, fail, bad
        self.model, self.done, self.waiting, self.whole = MODEL, [], deque(), True

    def __len__(self):
        return len(self.waiting)

    def make(self, step):
        self.launch(step)
        return self.read()

    def launch(self, step):
        self.done.append(f"launch {step}")
        if step == self.fail:
            raise ValueError("a bug")
        self.waiting.append(step)

    def wait(self):
        self.done.append(f"wait {self.waiting[0]}")

    def read(self):
        step = self.waiting.popleft()
        if step == self.bad:
            raise NonFiniteStep("the loss", {})
        return {"loss": step}

    def undo(self):
        self.done.append("undo")
        return self.whole

    def average(self, model, step, flag=None):
        assert (model, flag) == (MODEL, None if self.lag is None else "flag")
        self.done.append(f"average {step}")


def paces(lag, **trouble):
    """A pace of steps that are launched ahead, or none if there is no lag; the steps; and their average."""
    steps = Steps(lag, **trouble)
    pace = Pace(steps, None if lag is None else steps)
    return pace, steps, SimpleNamespace(update=steps.average)


def test_a_plain_step_is_made_and_averaged_before_the_next():
    pace, steps, ema = paces(None)
    assert [pace.next(step, 9, ema) for step in (1, 2)] == [{"loss": 1}, {"loss": 2}]
    assert steps.done == ["launch 1", "average 1", "launch 2", "average 2"]
    assert (pace.pending, pace.made, pace.stepping, list(pace.rest())) == (0, 2, False, [])
    assert pace.next(3, 9, None) == {"loss": 3} and steps.done[-1] == "launch 3"


def test_so_many_steps_are_launched_before_the_first_is_waited_for():
    pace, steps, ema = paces(2)
    assert pace.next(1, 9, ema) == {"loss": 1}
    assert steps.done == ["launch 1", "average 1", "launch 2", "average 2", "launch 3", "average 3", "wait 1"]
    assert (pace.pending, pace.made) == (2, 3)
    assert pace.next(2, 9, ema) == {"loss": 2} and steps.done[-3:] == ["launch 4", "average 4", "wait 2"]
    assert list(pace.rest()) == [{"loss": 3}, {"loss": 4}] and pace.pending == 0


@pytest.mark.parametrize(("until", "launched"), [(2, [1, 2]), (1, [1]), (0, [1]), (9, [1, 2, 3])])
def test_none_is_launched_after_what_is_due(until, launched):
    pace, steps, _ = paces(2)
    pace.next(1, until, None)
    assert [line for line in steps.done if "launch" in line] == [f"launch {step}" for step in launched]


def test_what_was_launched_before_an_error_is_told_of_before_it():
    pace, steps, ema = paces(3, fail=3)
    with pytest.raises(ValueError, match="a bug"):
        pace.next(1, 9, ema)
    assert (pace.pending, pace.made, pace.stepping) == (2, 2, False)
    assert steps.done[-3:] == ["undo", "wait 1", "wait 2"]
    assert pace.next(1, 9, ema) == {"loss": 1}
    assert list(pace.rest()) == [{"loss": 2}]


def test_steps_that_cannot_be_taken_back_are_not_read():
    pace, steps, ema = paces(3, fail=3)
    steps.whole = False
    with pytest.raises(ValueError, match="a bug"):
        pace.next(1, 9, ema)
    assert pace.stepping and not pace.undo() and steps.done.count("wait 1") == 0


def test_of_a_step_that_is_not_finite_it_is_not_known_which_was_made():
    pace, _, ema = paces(2, bad=2)
    pace.next(1, 9, ema)
    with pytest.raises(NonFiniteStep):
        pace.next(2, 9, ema)
    assert pace.made is None and pace.stepping
    assert pace.undo() and not pace.stepping


def test_between_steps_there_is_nothing_to_take_back():
    pace, steps, _ = paces(None)
    assert pace.undo()
    pace.next(1, 9, None)
    assert pace.undo() and "undo" not in steps.done


@pytest.mark.parametrize(("step", "sample", "due"), [
    (1, None, 4), (4, None, 4), (5, None, 7), (7, None, 7), (8, None, 8), (9, None, 12), (29, None, 30), (30, None, 30),
    (1, 3, 3), (4, 3, 4), (5, 3, 6), (8, 3, 8), (9, 3, 9),
])  # fmt: skip
def test_steps_are_launched_up_to_where_there_is_something_to_do(step, sample, due):
    config = SimpleNamespace(steps=30, eval_every=4, checkpoint_every=7, sample_every=sample)
    assert (next_due(config, step), is_due(config, step)) == (due, due == step)
