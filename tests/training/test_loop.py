"""The training loop."""

import json
import math
import os
import shutil
from types import SimpleNamespace

import pytest
import torch
from toy_runs import interrupted, manager_with, resumed, same, trained
from toys import (
    Exploding,
    Measured,
    NormedToy,
    StopAt,
    Told,
    Toy,
    TwoPhases,
    Unscored,
    begin,
    contents,
    toy_recipe,
    toy_trainer,
    within,
)

from pixkit.components import hookspecs
from pixkit.errors import CheckpointError, NonFiniteError, RunError
from pixkit.runs import checkpoint
from pixkit.runs.metrics import read_rows
from pixkit.runs.run import Run
from pixkit.training import loop, observer
from pixkit.training.watch import Interrupt


@pytest.mark.parametrize(
    ("model", "step"), [*((Toy, step) for step in (1, 4, 7, 10, 20)), (NormedToy, 3), (NormedToy, 10), (TwoPhases, 7)]
)
def test_a_run_interrupted_anywhere_ends_bit_for_bit_like_one_that_was_not(tmp_path, model, step):
    recipe = toy_recipe(model, schedule={"type": "cosine", "warmup": 3}, clip=0.5, accumulate=2)
    whole = trained(tmp_path / "whole", recipe)
    interrupted(tmp_path / "cut", recipe, step)
    same(resumed(tmp_path / "cut", recipe), whole)
    same(resumed(tmp_path / "cut", recipe), whole)


def checkpoints(run, steps):
    """All files of the checkpoints of these steps, manifests too."""
    folders = [run.checkpoint_folder(step) for step in steps]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for folder in folders for path in folder.iterdir()}


def test_however_often_a_run_is_interrupted_each_checkpoint_is_that_of_one_that_was_not(tmp_path):
    recipe = toy_recipe(keep=20)
    whole = trained(tmp_path / "whole", recipe)
    interrupted(tmp_path / "cut", recipe, 3)
    for step in (4, 5, 11):
        interrupt = Interrupt()
        trainer = resumed(tmp_path / "cut", recipe, interrupt=interrupt, reporter=StopAt(interrupt, step))
        assert trainer.state.step == step
    cut = resumed(tmp_path / "cut", recipe)
    same(cut, whole)
    steps = whole.run.steps()
    assert steps == [4, 5, 8, 10, 12, 15, 16, 20] and cut.run.steps() == sorted([3, *steps, 11])
    assert checkpoints(cut.run, steps) == checkpoints(whole.run, steps)


def test_a_run_whose_log_was_damaged_says_so_when_it_goes_on(tmp_path):
    recipe = toy_recipe()
    whole = trained(tmp_path / "whole", recipe)
    cut = interrupted(tmp_path / "cut", recipe, 7)
    with open(cut.run.metrics, "a") as file:
        file.write("no row\n")
    trainer = resumed(tmp_path / "cut", recipe, reporter=(told := Told()))
    assert [text for text in told.texts if "metrics.jsonl" in text] == ["metrics.jsonl: 1 damaged line is left out"]
    same(trainer, whole)


def test_rows_of_steps_after_the_checkpoint_are_dropped_and_made_again(tmp_path):
    recipe = toy_recipe()
    whole = trained(tmp_path / "whole", recipe)
    trainer = trained(tmp_path / "cut", recipe)
    trainer.run.point("last", 16)
    with open(trainer.run.metrics, "a") as file:
        file.write('{"step": 21, "tor')
    same(resumed(tmp_path / "cut", recipe), whole)


class Quitting(Toy):
    """Asks to stop while it scores, or samples, for the n'th time."""

    asked = 0
    interrupt = None
    at = ("score", 0)

    def ask(self, what):
        kind, number = Quitting.at
        if kind == what and not self.training:
            Quitting.asked += 1
            if Quitting.asked == number:
                Quitting.interrupt.signal = 2

    def score(self, batch):
        self.ask("score")
        return super().score(batch)

    def draw(self, request):
        self.ask("sample")
        return super().draw(request)


@pytest.mark.parametrize("at", [("score", 1), ("score", 2), ("score", 3), ("sample", 1), ("sample", 2)])
def test_scores_and_samples_that_were_cut_short_are_made_when_it_goes_on(tmp_path, monkeypatch, at):
    recipe = toy_recipe(Quitting)
    monkeypatch.setattr(Quitting, "at", ("score", 0))
    whole = trained(tmp_path / "whole", recipe)
    interrupt = Interrupt()
    monkeypatch.setattr(Quitting, "at", at)
    monkeypatch.setattr(Quitting, "asked", 0)
    monkeypatch.setattr(Quitting, "interrupt", interrupt)
    cut = trained(tmp_path / "cut", recipe, interrupt=interrupt)
    assert cut.state.step in (5, 10)
    assert cut.state.sampled < cut.state.step
    monkeypatch.setattr(Quitting, "at", ("score", 0))
    same(resumed(tmp_path / "cut", recipe), whole)


def test_what_is_due_when(tmp_path):
    told = Told()
    recipe = toy_recipe(
        steps=11, eval_every=4, checkpoint_every=3, sample_every=5, keep=20, optimizer={"type": "adamw", "lr": 0.01}
    )
    trainer = trained(tmp_path / "run", recipe, reporter=told)
    assert [row["step"] for row in told.rows] == list(range(1, 12))
    assert [row["step"] for row in told.scores] == [4, 8, 11]
    assert all(row["best"] for row in told.scores)
    assert told.pictures == ["step-5.png", "step-10.png", "step-11.png"]
    assert told.checkpoints == ["step-3", "step-4", "step-6", "step-8", "step-9", "step-11"]
    assert trainer.run.checkpoint("last").name == trainer.run.checkpoint("best").name == "step-11"
    assert [row["event"] for row in trainer.run.rows()].count("train") == 11


class Remarking(Toy):
    """Has something to say of its scores."""

    def assess(self, batch):
        return {"nats": self.score(batch), "part": batch.indices.float()}

    def remarks(self, parts, step=None):
        return [f"step {step}: {list(parts)}"]


def test_all_that_is_due_at_every_step_is_done_from_the_first_on(tmp_path):
    told = Told()
    every = {"eval_every": 1, "checkpoint_every": 1, "sample_every": 1}
    trained(tmp_path / "run", toy_recipe(Remarking, steps=2, **every), reporter=told)
    assert [row["step"] for row in told.scores] == [1, 2] and not any("decides" in row for row in told.scores)
    assert told.texts == ["step 1: ['part']", "step 2: ['part']"]
    assert told.pictures == ["step-1.png", "step-2.png"] and told.checkpoints == ["step-1", "step-2"]


def test_without_sample_every_samples_come_with_scores(tmp_path):
    told = Told()
    trained(tmp_path / "run", toy_recipe(steps=9, eval_every=4), reporter=told)
    assert told.pictures == ["step-4.png", "step-8.png", "step-9.png"]


def test_the_newest_checkpoints_and_the_best_are_kept(tmp_path):
    recipe = toy_recipe(
        steps=20, eval_every=4, checkpoint_every=2, keep=2, optimizer={"type": "sgd", "lr": 1.0}, ema=0.0
    )
    trainer = toy_trainer(tmp_path / "run", recipe)
    nats = iter([5.0, 3.0, 4.0, 6.0, 3.0])
    begin(trainer)
    judge = trainer.state.judge
    trainer.state.judge = lambda _: judge(next(nats))
    trainer.train()
    assert trainer.run.steps() == [8, 18, 20]
    assert trainer.run.checkpoint("best").name == "step-8"
    assert trainer.run.checkpoint("last").name == "step-20"
    assert trainer.state.stale == 3
    for step in trainer.run.steps():
        checkpoint.verify(trainer.run.checkpoint_folder(step))


def test_patience_stops_after_scorings_without_a_better_one(tmp_path):
    told = Told()
    trainer = toy_trainer(tmp_path / "run", toy_recipe(steps=99, eval_every=2, patience=2), reporter=told)
    nats = iter([5.0, 4.0, 4.0, math.nan])
    begin(trainer)
    judge = trainer.state.judge
    trainer.state.judge = lambda _: judge(next(nats))
    trainer.train()
    assert trainer.state.step == 8
    assert trainer.run.checkpoint("last").name == "step-8"
    assert trainer.run.checkpoint("best").name == "step-4"
    assert told.texts == ["stopped at step 8: no better score in 2 scorings"]


def test_the_best_is_that_of_the_average(tmp_path):
    told = Told()
    trainer = trained(tmp_path / "run", toy_recipe(), reporter=told)
    assert trainer.state.best_nats == min(row["nats_ema"] for row in told.scores)
    told = Told()
    trainer = trained(tmp_path / "plain", toy_recipe(ema=0.0), reporter=told)
    assert trainer.state.best_nats == min(row["nats"] for row in told.scores)
    assert "nats_ema" not in told.scores[0]
    assert not (trainer.run.checkpoint("last") / "ema.safetensors").exists()


@pytest.mark.parametrize("model", [Toy, NormedToy])
def test_the_saved_average_is_the_one_that_was_scored(tmp_path, model):
    trainer = trained(tmp_path / "run", toy_recipe(model))
    folder = trainer.run.checkpoint("last")
    tensors = checkpoint.read_tensors(folder, checkpoint.verify(folder), "ema")
    for name, value in trainer.ema.average.items():
        assert torch.equal(tensors[name], value)
    checkpoint.load_model(trainer.model, tensors, "here")
    row = [row for row in trainer.run.rows() if row["event"] == "eval"][-1]
    from pixkit.tasks.score import score

    again = score(trainer.model, trainer.dataset, "validation", 8, seed=trainer.recipe.seed)
    assert again.nats == pytest.approx(row["nats_ema"], rel=1e-12)
    if model is NormedToy:
        raw = checkpoint.read_tensors(folder, checkpoint.verify(folder), "model")
        assert not torch.equal(raw["norm.running_mean"], tensors["norm.running_mean"])


def test_the_model_initialises_itself_once(tmp_path):
    recipe = toy_recipe()
    trainer = interrupted(tmp_path / "run", recipe, 3)
    assert int(trainer.model.initialised) == 1
    assert int(resumed(tmp_path / "run", recipe).model.initialised) == 1


def test_given_weights_take_the_place_of_initialisation(tmp_path):
    source = trained(tmp_path / "source", toy_recipe())
    weights = {name: value.clone() for name, value in source.model.state_dict().items()}
    trainer = toy_trainer(tmp_path / "run", toy_recipe())
    begin(trainer, weights, "there")
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, weights[name])
    for name, value in trainer.ema.average.items():
        assert torch.equal(value, weights[name])
    with pytest.raises(CheckpointError, match=r"(?s)there.*logits is missing"):
        begin(trainer, {"scale": weights["scale"], "initialised": weights["initialised"]}, "there")


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_leaves_the_last_good_checkpoint(tmp_path, what):
    recipe = toy_recipe(Exploding, model_config={"at": 7, "what": what}, accumulate=2)
    trainer = toy_trainer(tmp_path / "run", recipe)
    begin(trainer)
    with pytest.raises(NonFiniteError, match="step 7") as caught:
        trainer.train()
    assert caught.value.exit_code == 5
    assert str(trainer.run.nonfinite) in str(caught.value)
    told = json.loads(trainer.run.nonfinite.read_text())
    assert (told["step"], told["phase"], told["last_checkpoint"]) == (7, "likelihood", 6)
    expected = [batch.indices.tolist() for batch in trainer.stepper.batches(7)]
    assert told["indices"] == expected
    assert trainer.run.checkpoint("last").name == "step-6"
    checkpoint.verify(trainer.run.checkpoint("last"))
    assert [row["step"] for row in trainer.run.rows()][-1] == 6


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    recipe = toy_recipe(optimizer={"type": "sgd", "lr": 1e38}, eval_every=100, steps=5, checkpoint_every=1)
    trainer = toy_trainer(tmp_path / "run", recipe)
    begin(trainer)
    with torch.no_grad():
        trainer.model.scale.fill_(3e38)
    with pytest.raises(NonFiniteError):
        trainer.train()
    assert all(checkpoint.verify(trainer.run.checkpoint_folder(step)) for step in trainer.run.steps())


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    trainer = toy_trainer(tmp_path / "run", toy_recipe(eval_every=100))
    begin(trainer)
    real = os.fsync
    files = []

    def full(descriptor):
        if "step-8" in os.readlink(f"/proc/self/fd/{descriptor}"):
            files.append(descriptor)
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"(?s)No space left.*--resume"):
        trainer.train()
    monkeypatch.undo()
    assert files
    assert trainer.run.steps() == [4]
    assert sorted(os.listdir(trainer.run.checkpoints)) == ["step-4"]
    checkpoint.verify(trainer.run.checkpoint("last"))
    whole = trained(tmp_path / "whole", toy_recipe(eval_every=100))
    same(resumed(tmp_path / "run", toy_recipe(eval_every=100)), whole)


def test_a_checkpoint_of_another_versions_loop_is_refused(tmp_path):
    trainer = trained(tmp_path / "run", toy_recipe(steps=2))
    folder = trainer.run.checkpoint("last")
    manifest = checkpoint.verify(folder)
    tensors = {name: checkpoint.read_tensors(folder, manifest, name) for name in manifest.files}
    checkpoint.save(folder, tensors, step=2, model="toy", state={"step": 2}, metrics={})
    with pytest.raises(CheckpointError, match="loop's state"):
        toy_trainer(tmp_path / "run", toy_recipe()).restore()


def test_another_models_checkpoint_is_refused(tmp_path):
    trainer = trained(tmp_path / "run", toy_recipe(steps=2))
    with pytest.raises(CheckpointError, match=r"norm\.weight is missing"):
        toy_trainer(tmp_path / "run", toy_recipe(NormedToy)).restore()
    folder = trainer.run.checkpoint("last")
    manifest = checkpoint.verify(folder)
    tensors = {name: checkpoint.read_tensors(folder, manifest, name) for name in manifest.files}
    del tensors["ema"]["scale"]
    checkpoint.save(folder, tensors, step=2, model="toy", state=manifest.state, metrics={})
    with pytest.raises(CheckpointError, match=r"scale is missing") as caught:
        toy_trainer(tmp_path / "run", toy_recipe()).restore()
    assert caught.value.where == str(folder)


def test_a_model_without_likelihood_is_trained_and_its_last_checkpoint_is_best(tmp_path):
    told = Told()
    trainer = trained(tmp_path / "run", toy_recipe(Unscored), reporter=told)
    assert told.scores == []
    assert told.pictures
    assert trainer.run.checkpoint("best").name == "step-20"


def test_a_models_metric_decides_where_there_is_no_likelihood(tmp_path):
    """Training makes this one larger, so that the first scoring is the best."""
    told = Told()
    recipe = toy_recipe(Measured, ema=0.0, optimizer={"type": "sgd", "lr": 0.5})
    trainer = trained(tmp_path / "run", recipe, reporter=told)
    assert [row["step"] for row in told.scores] == [5, 10, 15, 20]
    far = [row["far"] for row in told.scores]
    assert far == sorted(far) and far[0] < far[-1]
    assert [row["best"] for row in told.scores] == [True, False, False, False]
    assert trainer.state.best_nats == far[0]
    assert trainer.run.checkpoint("best").name == "step-5"
    for row in told.scores:
        assert row["decides"] == "far" and row["known"] == row["scored"] == row["images"]
        assert not {"nats", "stderr", "bits_per_dim"} & set(row)


def test_a_best_checkpoint_that_was_lost_is_said_and_replaced(tmp_path):
    """Training makes the metric larger, so that the first scoring would be the best for ever."""
    recipe = toy_recipe(Measured, ema=0.0, optimizer={"type": "sgd", "lr": 0.5})
    run = interrupted(tmp_path / "run", recipe, 12).run
    assert run.checkpoint("best").name == "step-5"
    shutil.rmtree(run.checkpoint("best"))
    told = Told()
    resumed(tmp_path / "run", recipe, reporter=told)
    assert any("the best checkpoint is lost, step-5" in text for text in told.texts)
    assert run.checkpoint("best").name == "step-15"


def test_the_metric_of_the_average_decides(tmp_path):
    told = Told()
    trainer = trained(tmp_path / "run", toy_recipe(Measured), reporter=told)
    assert trainer.state.best_nats == min(row["far_ema"] for row in told.scores)


def test_without_validation_images_the_last_checkpoint_is_best(tmp_path):
    told = Told()
    trainer = trained(tmp_path / "run", toy_recipe(data={"validation": 0.0}), reporter=told)
    assert told.scores == []
    assert trainer.run.checkpoint("best").name == "step-20"


def test_a_finished_run_has_nothing_left_to_do(tmp_path):
    recipe = toy_recipe()
    first = trained(tmp_path / "run", recipe)
    before = contents(first.run)
    told = Told()
    resumed(tmp_path / "run", recipe, reporter=told)
    assert (told.rows, told.scores, told.checkpoints) == ([], [], [])
    assert contents(first.run) == before


def test_a_reporter_is_told_of_how_many_steps_how_many_were_made(tmp_path):
    class Started(StopAt):
        def start(self, total, done):
            self.begun = (total, done)

    for done in (0, 7):
        told = Started(Interrupt(), 99)
        (trained if not done else resumed)(tmp_path / "run", toy_recipe(steps=7 + done), reporter=told)
        assert told.begun == (7 + done, done)


def test_a_signal_before_the_first_step_saves_nothing(tmp_path):
    interrupt = Interrupt()
    interrupt.signal = 15
    trainer = trained(tmp_path / "run", toy_recipe(), interrupt=interrupt)
    assert trainer.state.step == 0
    assert trainer.run.steps() == []


def test_steps_are_made_while_images_are_fed_kernels_are_heard_and_states_can_be_read(tmp_path, monkeypatch):
    trainer, held, seen = toy_trainer(tmp_path / "run", toy_recipe(steps=2)), [], []
    begin(trainer)
    stepper, make = trainer.stepper, trainer.stepper.make
    for owner, name in (
        (stepper.source, "feeding"),
        (stepper.kernels, "heard"),
        (trainer._saver.optimisers, "readable"),
    ):
        monkeypatch.setattr(owner, name, lambda name=name: within(held, name))
    monkeypatch.setattr(stepper, "make", lambda step: (seen.append([*held]), make(step))[1])
    trainer.train()
    assert seen == [["feeding", "heard", "readable"]] * 2 and held == []


class Timed(Toy):
    """Takes two seconds for the loss of a batch, three for the scores of one, by a clock of its own."""

    now = 0.0

    def loss(self, batch, step):
        Timed.now += 2
        return super().loss(batch, step)

    def score(self, batch):
        Timed.now += 0 if self.training else 3
        return super().score(batch)


def test_before_each_row_of_the_log_a_run_is_checked_once_a_second_at_most(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(Run, "check", lambda self, every=0.0: asked.append(every))
    trained(tmp_path, toy_recipe(steps=3, eval_every=9, checkpoint_every=9))
    assert asked.count(1.0) == 3 and set(asked) == {0.0, 1.0}


def test_how_fast_it_goes_is_told_in_images_a_second(tmp_path, monkeypatch):
    """Scores and samples do not count as a step's time."""
    for module in loop, observer:
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: Timed.now))
    told = Told()
    trained(tmp_path / "run", toy_recipe(Timed, steps=4, eval_every=2, accumulate=2, batch_size=5), reporter=told)
    assert [row["images_per_second"] for row in told.rows] == [2 * 5 / 4] * 4
    assert [row["epoch"] for row in told.rows] == [10 * step / 33 for step in (1, 2, 3, 4)]
    assert [row["seconds"] for row in told.scores] == [3 * 2] * 2  # four images, with both kinds of weights


class Watching:
    """A plugin that writes down what it is told, and meddles."""

    def __init__(self):
        self.calls = []

    @hookspecs.hookimpl
    def pixkit_train_start(self, run):
        self.calls.append(("start", run.path.name))

    @hookspecs.hookimpl
    def pixkit_train_step(self, run, step, metrics):
        self.calls.append(("step", step, metrics["loss"]))
        metrics.clear()
        torch.rand(5)

    @hookspecs.hookimpl
    def pixkit_train_eval(self, step, metrics):
        self.calls.append(("eval", step, metrics["nats"]))

    @hookspecs.hookimpl
    def pixkit_train_end(self, step):
        self.calls.append(("end", step))


class Failing:
    """A plugin that fails."""

    def __init__(self):
        self.calls = 0

    @hookspecs.hookimpl
    def pixkit_train_step(self, run, step, metrics):
        self.calls += 1
        raise SystemError("plugin trouble")


def test_plugins_are_told_and_change_nothing(tmp_path):
    watching, failing, told = Watching(), Failing(), Told()
    recipe = toy_recipe(steps=6, eval_every=3)
    watched = trained(tmp_path / "run", recipe, manager=manager_with(failing, watching), reporter=told)
    kinds = [call[0] for call in watching.calls]
    assert kinds == ["start", *["step"] * 3, "eval", *["step"] * 3, "eval", "end"]
    assert watching.calls[0] == ("start", "run")
    assert watching.calls[-1] == ("end", 6)
    rows = [row for row in read_rows(watched.run.metrics) if row["event"] == "train"]
    assert [call[2] for call in watching.calls if call[0] == "step"] == [row["loss"] for row in rows]
    assert failing.calls == 1
    assert [text for text in told.texts if "plugin trouble" in text] == told.texts
    same(watched, trained(tmp_path / "plain", recipe))
