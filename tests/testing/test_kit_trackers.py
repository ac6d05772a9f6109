"""Each check of the contract of trackers fails for one that is so wrong."""

import os
import random
import signal

import numpy as np
import pytest
import torch

from pixkit.errors import UsageError
from pixkit.testing import check_tracker, component
from pixkit.trackers import Tracker


class Careful(Tracker):
    """Keeps what it is told in a file of its own."""

    def start(self, run, hyperparameters, step):
        self.run, self.rows = run, []
        (run / "mine.txt").touch()

    def log(self, step, values):
        self.rows.append((step, values))

    def finish(self):
        (self.run / "mine.txt").write_text(str(len(self.rows)))


def wrong(**attributes):
    return component("tracker", type("Wrong", (Careful,), {"__doc__": "One fault.", **attributes}))


def on_log(act):
    return {"log": lambda self, step, values: act(self)}


def test_one_that_only_looks_on_passes():
    check_tracker(component("tracker", Careful))


@pytest.fixture
def restored(tmp_path):
    """What the faulty ones change is as before in the end."""
    states = torch.random.get_rng_state(), random.getstate(), np.random.get_state(), os.getcwd()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    torch.random.set_rng_state(states[0])
    random.setstate(states[1])
    np.random.set_state(states[2])
    os.chdir(states[3])
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("act", "text"), [
    (lambda self: torch.rand(1), "torch's generator"),
    (lambda self: random.random(), "Python's generator"),
    (lambda self: np.random.rand(), "numpy's generator"),
    (lambda self: torch.set_default_dtype(torch.float64), "default type"),
    (lambda self: torch.set_grad_enabled(False), "gradients are recorded"),
    (lambda self: os.chdir("/"), "working directory"),
    (lambda self: signal.signal(signal.SIGINT, lambda *_: None), "handler of SIGINT"),
    (lambda self: signal.signal(signal.SIGTERM, lambda *_: None), "handler of SIGTERM"),
    (lambda self: (self.run / "metrics.jsonl").write_text("mine"), "metrics.jsonl of the run"),
    (lambda self: (self.run / "step-2.png").unlink(missing_ok=True), "step-2.png"),
])  # fmt: skip
@pytest.mark.usefixtures("restored")
def test_one_that_changes_what_is_not_its_own_is_noticed(act, text):
    with pytest.raises(AssertionError, match=text):
        check_tracker(wrong(**on_log(act)))


@pytest.mark.parametrize(("attributes", "error"), [
    ({"log": lambda self, step, values: [int(value) for value in values.values()]}, (ValueError, OverflowError)),
    ({"image": lambda self, step, path: path.read_text()}, UnicodeDecodeError),
    ({"start": lambda self, *given: Careful.start(self, *given) or 1 / (given[2] - 1)}, ZeroDivisionError),
    ({"start": lambda self, run, hyperparameters, step: {v + 1 for v in hyperparameters.values()}}, TypeError),
    ({"save": lambda self: self.nothing}, AttributeError),
    ({"finish": lambda self: self.nothing}, AttributeError),
    ({"packages": {"no_such_module_anywhere": "such"}}, UsageError),
    ({"__doc__": None}, AssertionError),
])  # fmt: skip
def test_one_that_cannot_take_what_comes_fails(attributes, error):
    with pytest.raises(error):
        check_tracker(wrong(**attributes))
