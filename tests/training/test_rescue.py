"""Errors that training did not bring about: the steps that were made are saved, and what can go on goes on."""

import gc
import json
import os
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from toy_runs import manager_with, resumed, same, trained
from toys import (
    Exploding,
    NormedToy,
    StopAt,
    Told,
    Toy,
    TwoPhases,
    begin,
    contents,
    toy_model,
    toy_recipe,
    toy_trainer,
)

from pixkit.components import hookspecs
from pixkit.errors import NonFiniteError, PluginError, RunError, UsageError
from pixkit.memory import memory_errors
from pixkit.models.autoregressive import AutoregressiveModel
from pixkit.ranks import ALONE
from pixkit.recipe import load_recipe
from pixkit.runs import checkpoint
from pixkit.runs.lock import LockLost
from pixkit.runs.metrics import MetricsLog
from pixkit.training.build import build
from pixkit.training.rescue import release
from pixkit.training.resume import LoopState
from pixkit.training.rollback import Rollback
from pixkit.training.saving import Saver
from pixkit.training.watch import Interrupt, Quit, Terminated, TrainHooks, no_exit

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


class Halt(BaseException):
    """Nothing that `except Exception` catches."""


class Listener(Told):
    """Keeps problems apart from messages; may raise at a step."""

    def __init__(self, at=None, error=None):
        super().__init__()
        self.problems = []
        self.at, self.error = at, error

    def problem(self, text):
        self.problems.append(text)

    def step(self, step, metrics):
        super().step(step, metrics)
        if step == self.at:
            raise self.error


def failing(base, trouble):
    """A kind of toy that calls trouble(what, number): what is "loss" (of a step), "score" or "draw" (n'th call)."""

    class Failing(base):
        def ask(self, what):
            if not self.training:
                self.calls[what] += 1
                trouble(what, self.calls[what])

        def loss(self, batch, step):
            losses = super().loss(batch, step)
            trouble("loss", step)
            return losses

        def score(self, batch):
            self.ask("score")
            return super().score(batch)

        def draw(self, request):
            self.ask("draw")
            return super().draw(request)

    Failing.calls = Counter()
    Failing.__name__ = Failing.__qualname__ = base.__name__
    return Failing


def raising(error, *where):
    """A trouble: raise at these places."""

    def trouble(what, number):
        if (what, number) in where or (what, "always") in where:
            raise error

    return trouble


class Speechless(RuntimeError):
    """Cannot even say what is wrong."""

    def __str__(self):
        raise ValueError("no text")


CIRCULAR = RuntimeError("raised from itself")
CIRCULAR.__cause__ = CIRCULAR
ERRORS = [ValueError("a bug"), MemoryError(), torch.OutOfMemoryError("CUDA"), UsageError("no"), SystemExit(0), Halt()]
ERRORS += [Speechless(), CIRCULAR]


def name_of(error):
    return type(error).__name__


# ---------------------------------------------------------------- sampling


@pytest.mark.parametrize("error", ERRORS, ids=name_of)
def test_training_goes_on_where_sampling_fails_and_says_so_once(tmp_path, error):
    recipe = toy_recipe(keep=20)
    whole = trained(tmp_path / "whole", recipe)
    told = Listener()
    model = failing(Toy, raising(error, ("draw", "always")))
    run = trained(tmp_path / "run", toy_recipe(model, keep=20), reporter=told)
    assert contents(run.run) == contents(whole.run)
    assert run.state == whole.state
    assert told.pictures == [] and not run.run.samples.exists()
    assert len(told.problems) == 1
    assert name_of(error) in told.problems[0] and "step 5" in told.problems[0]
    exhausted = isinstance(error, MemoryError | torch.OutOfMemoryError)
    assert ("sample.batch_size" in told.problems[0]) == ("sample.count" in told.problems[0]) == exhausted


def test_a_failure_in_sampling_is_saved_before_training_goes_on_and_a_resumed_run_does_not_meet_it_again(
    tmp_path, monkeypatch
):
    config = {"checkpoint_every": 100, "eval_every": 100, "sample_every": 5}
    whole = trained(tmp_path / "whole", toy_recipe(**config))
    monkeypatch.setattr(whole.run, "samples", tmp_path / "none")
    (tmp_path / "none").mkdir()
    model = failing(Toy, raising(MemoryError(), ("draw", "always")))
    told = Listener(7, Quit())
    with pytest.raises(Quit):
        trained(tmp_path / "run", toy_recipe(model, **config), reporter=told)
    assert told.checkpoints == ["step-5"]
    model.calls["draw"] = 0
    seen = Listener(6, Quit())
    with pytest.raises(Quit):
        resumed(tmp_path / "run", toy_recipe(model, **config), reporter=seen)
    assert [row["step"] for row in seen.rows] == [6]
    assert model.calls["draw"] == 0
    run = resumed(tmp_path / "run", toy_recipe(model, **config))
    monkeypatch.setattr(run.run, "samples", tmp_path / "none")
    same(run, whole)


def test_samples_that_cannot_be_written_stop_the_build_and_are_drawn_again(tmp_path, monkeypatch):
    recipe = toy_recipe(checkpoint_every=100)
    whole = trained(tmp_path / "whole", recipe)
    real = os.replace

    def full(source, target):
        if "step-10.npz" in str(target):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RunError, match="No space left"):
        trained(tmp_path / "run", recipe)
    monkeypatch.undo()
    run = resumed(tmp_path / "run", recipe, reporter=(told := Told()))
    assert told.rows[0]["step"] == 11
    same(run, whole)


# ---------------------------------------------------------------- scoring


@pytest.mark.parametrize(
    ("error", "call"),
    [*((error, 1) for error in ERRORS), *((ERRORS[0], call) for call in (2, 3, 4))],
    ids=lambda value: value if isinstance(value, int) else name_of(value),
)
def test_an_error_in_scoring_saves_and_stops(tmp_path, error, call):
    """Calls 1 and 3 score the raw weights, 2 and 4 the averaged ones, after steps 5 and 10."""
    recipe = toy_recipe(checkpoint_every=100)
    whole = trained(tmp_path / "whole", recipe)
    told = Listener()
    model = failing(Toy, raising(error, ("score", call)))
    with pytest.raises(type(error)) as caught:
        trained(tmp_path / "run", toy_recipe(model, checkpoint_every=100), reporter=told)
    assert caught.value is error
    step = 5 if call < 3 else 10
    run = resumed(tmp_path / "run", recipe, reporter=(after := Told()))
    assert after.rows[0]["step"] == step + 1
    assert f"step {step} is saved" in told.texts[-1] and not told.problems
    same(run, whole)


@pytest.mark.parametrize("at", ["evaluated", "row"])
def test_an_error_after_the_scores_are_there_does_not_count_them_as_made(tmp_path, monkeypatch, at):
    recipe = toy_recipe(checkpoint_every=100)
    whole = trained(tmp_path / "whole", recipe)
    trainer = toy_trainer(tmp_path / "run", recipe, reporter=(told := Told()))
    begin(trainer)

    def fail(*arguments):
        raise ZeroDivisionError

    if at == "evaluated":
        told.evaluated = fail
    else:
        monkeypatch.setattr(Toy, "remarks", fail)
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    monkeypatch.undo()
    assert (trainer.state.step, trainer.state.evaluated, trainer.state.best_step) == (5, 0, None)
    same(resumed(tmp_path / "run", recipe), whole)


# ---------------------------------------------------------------- a step


@pytest.mark.parametrize("error", [ValueError("a bug"), MemoryError(), SystemExit(0)], ids=name_of)
@pytest.mark.parametrize("base", [Toy, NormedToy])
@pytest.mark.parametrize("part", [1, 2])
def test_an_error_in_a_step_before_its_update_loses_nothing(tmp_path, error, base, part):
    """NormedToy's losses change BatchNorm's statistics: those of the step that failed are not saved."""
    options = {"checkpoint_every": 100, "accumulate": 2, "clip": 0.5}
    whole = trained(tmp_path / "whole", toy_recipe(base, **options))
    parts = []

    def trouble(what, number):
        if (what, number) == ("loss", 8):
            parts.append(1)
            if len(parts) == part:
                raise error

    told = Listener()
    with pytest.raises(type(error)):
        trained(tmp_path / "run", toy_recipe(failing(base, trouble), **options), reporter=told)
    assert "step 7 is saved" in told.texts[-1] and not told.problems
    run = resumed(tmp_path / "run", toy_recipe(base, **options), reporter=(after := Told()))
    assert after.rows[0]["step"] == 8
    same(run, whole)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_step_that_is_not_finite_loses_nothing_before_it(tmp_path, what):
    recipe = toy_recipe(Exploding, model_config={"at": 8, "what": what}, checkpoint_every=100)
    with pytest.raises(NonFiniteError):
        trained(tmp_path / "run", recipe)
    trainer = toy_trainer(tmp_path / "run", recipe)
    trainer.restore()
    assert trainer.state.step == 7
    assert json.loads(trainer.run.nonfinite.read_text())["last_checkpoint"] == 7


def lost(folder, recipe, reporter, error):
    with pytest.raises(type(error)) as caught:
        trained(folder, recipe, reporter=reporter)
    assert caught.value is error
    assert len(reporter.problems) == 1
    return reporter.problems[0]


def test_an_error_after_the_first_phase_falls_back_to_the_last_checkpoint_and_says_so(tmp_path):
    whole = trained(tmp_path / "whole", toy_recipe(TwoPhases))
    calls = []

    def trouble(what, number):
        if (what, number) == ("loss", 8):
            calls.append(1)
            if len(calls) == 2:
                raise error

    error = ValueError("a bug")
    text = lost(tmp_path / "run", toy_recipe(failing(TwoPhases, trouble)), Listener(), error)
    assert "steps 6 to 7 are lost" in text and "begun to change the weights" in text
    assert "step 5 is saved: --resume continues from there" in text
    run = resumed(tmp_path / "run", toy_recipe(TwoPhases), reporter=(after := Told()))
    assert after.rows[0]["step"] == 6
    same(run, whole)


@pytest.mark.parametrize(("step", "text"), [(6, None), (7, "step 6 is lost"), (2, "step 1 is lost")])
def test_what_is_lost_is_said_in_steps(tmp_path, step, text):
    """Checkpoints are those of steps 5 and 10, and nothing is lost where one was just made."""

    def trouble(what, number):
        if (what, number) == ("loss", step):
            calls.append(1)
            if len(calls) == 2:
                raise ZeroDivisionError

    calls = []
    told = Listener()
    with pytest.raises(ZeroDivisionError):
        trained(tmp_path / "run", toy_recipe(failing(TwoPhases, trouble), checkpoint_every=100), reporter=told)
    if text is None:
        assert told.problems == [] and told.texts[-1] == "step 5 is saved: --resume continues from there"
    else:
        kept = "--resume starts from the beginning" if step == 2 else "step 5 is saved: --resume continues from there"
        assert told.problems == [f"{text}, for the step that failed had begun to change the weights; {kept}"]


def test_an_error_in_the_first_of_two_phases_loses_nothing(tmp_path):
    whole = trained(tmp_path / "whole", toy_recipe(TwoPhases))
    recipe = toy_recipe(failing(TwoPhases, raising(ValueError("a bug"), ("loss", 8))))
    with pytest.raises(ValueError, match="a bug"):
        trained(tmp_path / "run", recipe)
    run = resumed(tmp_path / "run", toy_recipe(TwoPhases), reporter=(after := Told()))
    assert after.rows[0]["step"] == 8
    same(run, whole)


@pytest.mark.parametrize("where", ["optimizer", "average"])
def test_an_error_in_the_update_itself_falls_back_to_the_last_checkpoint(tmp_path, monkeypatch, where):
    """Even where the weights are as before: moments of the gradients may not be."""
    whole = trained(tmp_path / "whole", toy_recipe())
    trainer = toy_trainer(tmp_path / "run", toy_recipe(), reporter=(told := Listener()))
    begin(trainer)
    owner, name = (trainer.stepper.phases[0].optimizer, "step") if where == "optimizer" else (trainer.ema, "update")
    real = getattr(owner, name)
    calls = []

    def fail(*arguments):
        calls.append(1)
        if len(calls) == 8:
            with torch.no_grad():
                trainer.stepper.phases[0].optimizer.state[trainer.model.logits]["exp_avg"].add_(1)
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(MemoryError):
        trainer.train()
    assert "steps 6 to 7 are lost" in told.problems[0]
    same(resumed(tmp_path / "run", toy_recipe()), whole)


def add(weight):
    weight.add_(1)


def add_unseen(weight):
    weight.data.add_(1)


def put_another(weight):
    weight.data = weight.data + 1


@pytest.mark.parametrize("write", [add, add_unseen, put_another])
def test_weights_that_a_loss_wrote_to_are_not_saved_as_those_of_the_step_before(tmp_path, write):
    """As data-dependent initialisation in the first pass does, or clipping; torch does not count writes to `.data`."""

    class Writing(Toy):
        at = 8

        def loss(self, batch, step):
            if step == self.at:
                with torch.no_grad():
                    write(self.scale)
                raise error
            return super().loss(batch, step)

    error = ValueError("a bug")
    Writing.__name__ = "Toy"
    whole = trained(tmp_path / "whole", toy_recipe())
    assert "steps 6 to 7 are lost" in lost(tmp_path / "run", toy_recipe(Writing), Listener(), error)
    same(resumed(tmp_path / "run", toy_recipe()), whole)


def test_a_weight_that_a_loss_put_another_in_place_of_is_not_saved(tmp_path):
    class Replacing(Toy):
        def loss(self, batch, step):
            if step == 8:
                self.scale = torch.nn.Parameter(self.scale.detach() + 1)
                raise error
            return super().loss(batch, step)

    error = ValueError("a bug")
    Replacing.__name__ = "Toy"
    assert "steps 6 to 7 are lost" in lost(tmp_path / "run", toy_recipe(Replacing), Listener(), error)


def test_buffers_that_cannot_be_brought_back_are_not_saved(tmp_path):
    class Growing(Toy):
        def loss(self, batch, step):
            if step == 8:
                self.initialised = torch.zeros(3, dtype=torch.int64)
                raise error
            return super().loss(batch, step)

    error = ValueError("a bug")
    Growing.__name__ = "Toy"
    assert "steps 6 to 7 are lost" in lost(tmp_path / "run", toy_recipe(Growing), Listener(), error)


# ---------------------------------------------------------------- hooks


class Leaving:
    """A plugin that fails, and prints."""

    def __init__(self, error):
        self.error = error
        self.calls = 0

    @hookspecs.hookimpl
    def pixkit_train_step(self, step):
        print("a plugin says")
        if step == 7:
            self.calls += 1
            raise self.error

    @hookspecs.hookimpl
    def pixkit_train_end(self, step):
        print("never called")


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), MemoryError(), SystemExit(0), GeneratorExit(), Halt()], ids=name_of
)
def test_a_hook_that_fails_is_saved_before_and_training_goes_on(tmp_path, capsys, error):
    whole = trained(tmp_path / "whole", toy_recipe(keep=20))
    told = Listener()
    plugin = Leaving(error)
    run = trained(tmp_path / "run", toy_recipe(keep=20), reporter=told, manager=manager_with(plugin))
    assert plugin.calls == 1
    assert len(told.problems) == 1 and name_of(error) in told.problems[0] and "plugin0" in told.problems[0]
    assert told.checkpoints == [f"step-{step}" for step in (4, 5, 7, 8, 10, 12, 15, 16, 20)]
    assert contents(run.run) == contents(whole.run)
    out, err = capsys.readouterr()
    assert "a plugin says" in err and out == ""


@pytest.mark.parametrize("stop", [Quit(), Terminated(143)], ids=name_of)
def test_what_stops_a_build_at_once_stops_it_in_a_hook_too_and_saves_nothing(tmp_path, stop):
    with pytest.raises(type(stop)):
        trained(tmp_path / "run", toy_recipe(), manager=manager_with(Leaving(stop)))
    trainer = toy_trainer(tmp_path / "run", toy_recipe())
    assert trainer.run.steps()[-1] == 5


def test_hooks_print_to_stderr_even_where_it_is_closed(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    for manager in (manager_with(Leaving(None)), None):
        assert TrainHooks(manager, print).call("step", run=None, step=1, metrics={})


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize("lag", [None, 2])
def test_rows_that_could_not_be_written_are_written_when_their_steps_are_saved(tmp_path, monkeypatch, lag):
    """Those of steps that were launched before, too."""
    whole = trained(tmp_path / "whole", toy_recipe(checkpoint_every=100), lag=lag)
    real = MetricsLog.add

    def full(self, row):
        if row["step"] >= 7:
            self._file.write(json.dumps(row) + "\n")  # into the buffer alone
            raise RunError("no space")
        real(self, row)

    monkeypatch.setattr(MetricsLog, "add", full)
    with pytest.raises(RunError, match="no space"):
        trained(tmp_path / "run", toy_recipe(checkpoint_every=100), lag=lag)
    monkeypatch.undo()
    run = resumed(tmp_path / "run", toy_recipe(checkpoint_every=100), reporter=(told := Told()), lag=lag)
    assert told.rows[0]["step"] == 8 + (lag or 0)
    same(run, whole)


@pytest.mark.parametrize("name", ["step-8", "last"])
def test_what_fails_once_while_saving_is_saved_all_the_same(tmp_path, monkeypatch, name):
    whole = trained(tmp_path / "whole", toy_recipe(eval_every=100, checkpoint_every=8))
    trainer = toy_trainer(tmp_path / "run", toy_recipe(eval_every=100, checkpoint_every=8))
    begin(trainer)
    real = os.fsync
    failed = []

    def once(descriptor):
        if not failed and name in os.readlink(f"/proc/self/fd/{descriptor}"):
            failed.append(1)
            raise OSError(5, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", once)
    with pytest.raises(RunError, match="Input/output error"):
        trainer.train()
    assert failed
    assert trainer.run.checkpoint("last").name == "step-8"
    checkpoint.verify(trainer.run.checkpoint("last"))
    same(resumed(tmp_path / "run", toy_recipe(eval_every=100, checkpoint_every=8)), whole)


def test_the_first_error_is_the_one_that_is_raised(tmp_path, monkeypatch):
    error = ValueError("a bug")
    model = failing(Toy, raising(error, ("score", 3)))
    trainer = toy_trainer(tmp_path / "run", toy_recipe(model, checkpoint_every=100), reporter=(told := Listener()))
    begin(trainer)
    real = checkpoint.save

    def full(folder, *arguments, **options):
        if folder.name == "step-10":
            raise RunError("no space")
        real(folder, *arguments, **options)

    monkeypatch.setattr(checkpoint, "save", full)
    with pytest.raises(ValueError, match="a bug") as caught:
        trainer.train()
    assert caught.value is error
    assert "steps 6 to 10 are lost" in told.problems[-1] and "no space" in told.problems[-1]
    assert trainer.run.checkpoint("last").name == "step-5"


def test_a_run_that_failed_before_a_signal_goes_on(tmp_path):
    """The checkpoint that an error brought about is one like any other."""
    recipe = toy_recipe()
    whole = trained(tmp_path / "whole", recipe)
    with pytest.raises(ValueError, match="a bug"):
        trained(tmp_path / "run", toy_recipe(failing(Toy, raising(ValueError("a bug"), ("loss", 7)))))
    interrupt = Interrupt()
    resumed(tmp_path / "run", recipe, interrupt=interrupt, reporter=StopAt(interrupt, 9))
    same(resumed(tmp_path / "run", recipe), whole)


# ---------------------------------------------------------------- memory


def test_what_an_error_about_memory_holds_is_let_go():
    class Large:
        alive = 0

        def __init__(self):
            Large.alive += 1

        def __del__(self):
            Large.alive -= 1

    def fail(error):
        kept = Large()
        assert kept
        raise error

    def wrapped():
        with memory_errors():
            fail(MemoryError())

    for work, alive in ((lambda: fail(MemoryError()), 0), (wrapped, 0), (lambda: fail(ValueError()), 1)):
        try:
            work()
        except (MemoryError, UsageError, ValueError) as error:
            release(error)
            assert Large.alive == alive
    gc.collect()
    assert Large.alive == 0


# ---------------------------------------------------------------- builds


TINY = """
pixkit: 1
name: tiny
data: {source: digits, limit_train: 64, limit_test: 16, validation: 0.02}
model: {type: autoregressive, backbone: {type: pixelcnn, width: 4, layers: 1, first_kernel: 3, output_layers: 1}}
train: {steps: 4, batch_size: 8, eval_every: 2, checkpoint_every: 100, sample_every: 2}
sample: {count: 2}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return load_recipe(path)


def test_a_build_whose_samples_all_fail_has_its_scores(tmp_path, recipe, monkeypatch):
    def fail(self, request):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(AutoregressiveModel, "draw", fail)
    result = build(recipe, tmp_path / "run", device="cpu", reporter=(told := Listener()))
    assert result.grid_path is None and result.interrupted is None and told.pictures == []
    assert [row.split for row in result.scores] == ["train", "validation", "test"] * 2
    assert result.run.final_scores()["scores"] == [row.dump() for row in result.scores]
    assert len(told.problems) == 2
    assert all("sample.batch_size" in text for text in told.problems) and "best" in told.problems[1]


def test_what_to_do_about_memory_can_be_done_to_the_run_that_is_there(tmp_path, recipe, monkeypatch):
    """Its batch size cannot be changed when it is resumed."""
    real = AutoregressiveModel.score

    def fail(self, batch):
        if self.training:
            return real(self, batch)
        raise MemoryError

    monkeypatch.setattr(AutoregressiveModel, "score", fail)
    with pytest.raises(UsageError, match="memory is exhausted") as caught:
        build(recipe, tmp_path / "run", device="cpu")
    assert caught.value.hint.startswith("free some memory, or use less (train.recompute=true), then continue with ")
    monkeypatch.undo()
    assert build(recipe, tmp_path / "run", device="cpu", resume=True).scores


@pytest.mark.parametrize("error", [SystemExit(0), Halt()], ids=name_of)
def test_a_component_does_not_end_a_build_as_if_it_had_succeeded(tmp_path, recipe, monkeypatch, error):
    real = AutoregressiveModel.score

    def leave(self, batch):
        if self.training:
            return real(self, batch)
        raise error

    monkeypatch.setattr(AutoregressiveModel, "score", leave)
    with pytest.raises(PluginError, match="tried to end the process") as caught:
        build(recipe, tmp_path / "run", device="cpu")
    assert name_of(error) in caught.value.found
    assert f"({__file__}, line {leave.__code__.co_firstlineno + 3})" in caught.value.found
    monkeypatch.undo()
    result = build(recipe, tmp_path / "run", device="cpu", resume=True, reporter=(told := Listener()))
    assert told.rows[0]["step"] == 3
    assert result.scores


def test_what_stops_a_build_is_not_taken_for_a_component():
    for stop in (KeyboardInterrupt(), Quit(), Terminated(143), ValueError()):
        with pytest.raises(type(stop)), no_exit():
            raise stop


def test_rows_are_on_the_disk_before_the_checkpoint_is_and_nothing_of_a_lost_run_is(monkeypatch):
    done = []
    note = lambda name: lambda *given, **options: done.append(name) or []  # noqa: E731 - each notes one call
    names = ("check", "checkpoint_folder", "point", "forget", "steps")
    run = SimpleNamespace(**{name: note(name) for name in names})
    monkeypatch.setattr(checkpoint, "save", note("save"))
    monkeypatch.setattr(checkpoint, "amend", note("amend"))
    log, state = SimpleNamespace(sync=note("sync")), LoopState(step=3)
    saver = Saver(
        run,
        toy_recipe(),
        SimpleNamespace(ranks=ALONE, phases=()),
        SimpleNamespace(saving=note("saving"), checkpoint=note("told")),
    )
    after = ["point", "point", "steps", "forget", "told"]
    for change, expected in (({}, ["save", *after]), ({}, None), ({"evaluated": 3}, ["amend", *after])):
        done.clear()
        state = replace(state, **change)
        saver.save(state, {}, None, log)
        assert done == ([] if expected is None else ["check", "sync", "saving", "checkpoint_folder", *expected])
    assert saver.saved == state and saver.saved is not state

    def lost():
        raise LockLost("it is another's")

    run.check = lost
    done.clear()
    with pytest.raises(LockLost):
        saver.save(LoopState(step=4), {}, None, log)
    assert done == []


def test_a_step_whose_buffers_cannot_be_kept_is_not_taken_back_to_the_one_before(monkeypatch):
    model, _ = toy_model(toy_recipe(NormedToy))
    rollback = Rollback(model)
    rollback.keep()
    assert rollback.restore()

    def exhausted(name):
        raise MemoryError

    monkeypatch.setattr(model, "get_buffer", exhausted)
    with pytest.raises(MemoryError):
        rollback.keep()
    monkeypatch.undo()
    assert not rollback.restore()


CHANGES = {
    "none": (lambda model, rollback: None, True),
    "values of a buffer": (lambda model, rollback: model.kept.fill_(7), True),
    "the shape of a buffer": (lambda model, rollback: setattr(model, "kept", torch.ones(3)), False),
    "one buffer less": (lambda model, rollback: delattr(model, "kept"), False),
    "one buffer more": (lambda model, rollback: model.register_buffer("more", torch.ones(1)), False),
    "a weight": (lambda model, rollback: model.weight.detach().mul_(1), False),
    "a weight without a count": (lambda model, rollback: model.weight.data.mul_(2), False),
    "which tensor is a weight": (lambda model, rollback: setattr(model, "weight", copy_of(model.weight)), False),
    "one weight more": (lambda model, rollback: setattr(model, "other", copy_of(model.weight)), False),
    "the last weight less": (lambda model, rollback: delattr(model, "bias"), False),
    "the update": (lambda model, rollback: rollback.drop(), False),
}


def copy_of(weight):
    return torch.nn.Parameter(weight.detach().clone())


@pytest.mark.parametrize("change", CHANGES)
def test_a_step_is_taken_back_if_it_has_changed_the_values_of_buffers_only(change):
    model = torch.nn.Linear(2, 2)
    model.register_buffer("kept", torch.zeros(1))
    rollback = Rollback(model)
    assert not rollback.restore()
    rollback.keep()
    (make, restored), before = CHANGES[change], {name: value.clone() for name, value in model.state_dict().items()}
    make(model, rollback)
    changed = {name: value.clone() for name, value in model.state_dict().items()}
    assert rollback.restore() is restored
    expected, found = before if restored else changed, model.state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_run_that_another_build_took_over_is_not_saved_to(tmp_path):
    """And nothing is said of steps that could be gone on from: the run is another's."""
    told = Listener()
    trainer = toy_trainer(tmp_path, toy_recipe(steps=9, checkpoint_every=3), reporter=told)

    class Held:
        def check(self, every=0.0):
            if trainer.state.step >= 4:
                raise LockLost("this build no longer holds the run")

    begin(trainer)
    trainer.run._held = Held()
    with pytest.raises(LockLost):
        trainer.train()
    assert trainer.state.step == 4 and trainer.run.steps() == [3]
    assert trainer.run.checkpoint("last").name == "step-3"
    assert not told.problems and not any("--resume" in message for message in told.texts)
