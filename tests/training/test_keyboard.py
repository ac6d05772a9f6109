"""A KeyboardInterrupt that is no second signal: a component raised it, or replaced the handler of SIGINT."""

import os
import signal

import pytest
from toy_runs import manager_with, resumed, same, trained
from toys import Told, Toy, TwoPhases, toy_recipe

from pixkit.cli.main import main
from pixkit.components import hookspecs
from pixkit.runs import checkpoint
from pixkit.runs.run import Run
from pixkit.training import observer
from pixkit.training.watch import Quit

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

TINY = """
pixkit: 1
name: tiny
data: {source: digits, limit_train: 64, limit_test: 16, validation: 0.02}
model: {type: autoregressive, backbone: {type: pixelcnn, width: 4, layers: 1, first_kernel: 3, output_layers: 1}}
train: {steps: 4, batch_size: 8, eval_every: 3, checkpoint_every: 100}
sample: {count: 2}
"""


def press():
    """Ctrl-C, under Python's own handler: what a plugin gets that sets it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.kill(os.getpid(), signal.SIGINT)


def throw():
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _handler():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


class Listening(Told):
    def step(self, step, metrics):
        super().step(step, metrics)
        if step == 7:
            throw()


class Plugin:
    def __init__(self, stop):
        self.stop = stop

    @hookspecs.hookimpl
    def pixkit_train_step(self, step):
        if step == 7:
            self.stop()


class Stopped(Toy):
    at = ""

    def loss(self, batch, step):
        if (self.at, step) == ("loss", 8):
            throw()
        return super().loss(batch, step)

    def score(self, batch):
        if not self.training and self.at == "score":
            throw()
        return super().score(batch)

    def draw(self, request):
        if self.at == "draw":
            throw()
        return super().draw(request)


@pytest.mark.parametrize(
    ("place", "step"), [("loss", 7), ("score", 5), ("draw", 5), ("hook", 7), ("handler", 7), ("reporter", 7)]
)
def test_it_saves_as_a_signal_does(tmp_path, place, step):
    model = type("Toy", (Stopped,), {"at": place})
    whole = trained(tmp_path / "whole", toy_recipe(checkpoint_every=100))
    plugins = {"hook": [Plugin(throw)], "handler": [Plugin(press)]}.get(place, [])
    told = Listening() if place == "reporter" else Told()
    recipe = toy_recipe(model, checkpoint_every=100)
    with pytest.raises(KeyboardInterrupt) as caught:
        trained(tmp_path / "run", recipe, reporter=told, manager=manager_with(*plugins))
    assert not isinstance(caught.value, Quit)
    assert Run(tmp_path / "run").steps()[-1] == step
    same(resumed(tmp_path / "run", toy_recipe(checkpoint_every=100)), whole)


def test_between_the_updates_of_a_step_it_falls_back_to_the_last_checkpoint_and_says_so(tmp_path):
    class Stopping(TwoPhases):
        calls = 0

        def loss(self, batch, step):
            self.calls += step == 8
            if self.calls == 2:
                throw()
            return super().loss(batch, step)

    told = Told()
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", toy_recipe(Stopping, checkpoint_every=100), reporter=told)
    assert Run(tmp_path / "run").checkpoint("last").name == "step-5"
    assert "steps 6 to 7 are lost" in told.texts[-1]


def test_another_one_while_the_steps_are_saved_stops_at_once(tmp_path, monkeypatch):
    real = checkpoint.save

    def pressed(folder, *arguments, **options):
        if folder.name == "step-7":
            press()
        real(folder, *arguments, **options)

    monkeypatch.setattr(checkpoint, "save", pressed)
    with pytest.raises(Quit):
        trained(tmp_path / "run", toy_recipe(checkpoint_every=100), manager=manager_with(Plugin(press)))
    assert Run(tmp_path / "run").steps()[-1] == 5


@pytest.mark.parametrize("second", [False, True])
def test_a_build_ends_with_130(tmp_path, monkeypatch, capsys, second):
    """And says how to go on, unless it is told again to stop."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    build = ["build", "tiny.yaml", "-o", "run", "--quiet"]
    if second:
        monkeypatch.setattr(checkpoint, "save", lambda *_, **__: press())
    monkeypatch.setattr(observer, "validate", lambda *_, **__: press())
    assert main(build) == 130
    said = capsys.readouterr().err
    assert "Traceback" not in said and not (tmp_path / "run" / "build.lock").exists()
    assert ("stopped and saved; to continue: pixkit build run --resume" in said) == (not second)
