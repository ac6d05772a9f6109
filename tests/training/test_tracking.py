"""What trackers are told, when, and what becomes of what they raise."""

import dataclasses
import json
import math
import random

import numpy as np
import pytest
import torch
from toy_runs import same, trained
from toys import Told, spec_of, toy_recipe, toy_trainer

from pixkit.components.config import ComponentConfig
from pixkit.errors import PluginError, RecipeError, UsageError
from pixkit.recipe import load_recipe
from pixkit.runs.load import load
from pixkit.runs.run import Run
from pixkit.trackers import Tracker
from pixkit.training.build import build, dry_run
from pixkit.training.tracking import Tracking, hyperparameters
from pixkit.training.watch import Terminated

SMALL = [
    "data={source: digits, limit_train: 32, limit_test: 8, validation: 0.01}", "sample.count=1",
    "model.backbone={type: pixelcnn, width: 4, layers: 1}",
    "train={steps: 2, batch_size: 8, eval_every: 2, checkpoint_every: 2, ema: 0, sample_every: 99}",
]  # fmt: skip


class Notes(Tracker):
    """Notes every call, in the class; draws from all generators, and prints."""

    calls: list = []  # noqa: RUF012

    class Config(ComponentConfig):
        fails: str = ""
        at: int = 0
        error: str = "ValueError"

    def _noted(self, call, step, *more):
        Notes.calls.append((self.config.fails, call, step, *more))
        print("noise")
        torch.rand(3), np.random.rand(3), random.random()
        if (self.config.fails, self.config.at) == (call, step):
            raise {"ValueError": ValueError("no more"), "SystemExit": SystemExit(0)}[self.config.error]

    def start(self, run, hyperparameters, step):
        self.step = step
        self._noted("start", step, run, hyperparameters)

    def log(self, step, values):
        self.step = step
        self._noted("log", step, values)

    def image(self, step, path):
        self._noted("image", step, path.name)

    def save(self):
        self._noted("save", self.step)

    def finish(self):
        self._noted("finish", self.step)


@pytest.fixture(autouse=True)
def calls():
    Notes.calls = []
    return Notes.calls


def notes(**config):
    return spec_of("tracker", Notes, **config)


def followed(folder, recipe, log, told=None):
    """A toy run with trackers, as a build trains it."""
    told = told or Told()
    tracking = Tracking(log, told.problem)
    trainer = toy_trainer(folder, recipe, reporter=tracking.beside(told))
    trainer.stepper.initialise()
    trainer.begin()
    with tracking.following(trainer.run, recipe, 0):
        trainer.train()
    return trainer


def loaded(*log, overrides=()):
    """A recipe with trackers that no plugin brings."""
    found = load_recipe("digits-pixelcnn", [*SMALL, *overrides])
    train = found.recipe.train.model_copy(update={"log": list(log)})
    return dataclasses.replace(found, recipe=found.recipe.model_copy(update={"train": train}))


def test_a_run_has_the_same_bits_with_and_without_a_tracker(tmp_path, capsys):
    recipe = toy_recipe(steps=7, sample_every=3)
    same(followed(tmp_path / "with", recipe, [notes(), notes()]), trained(tmp_path / "without", recipe))
    out = capsys.readouterr()
    assert not out.out and "noise" in out.err


def test_a_tracker_is_told_the_rows_of_the_log_its_pictures_and_when_they_are_kept(tmp_path, calls):
    trainer = followed(tmp_path, toy_recipe(steps=6, eval_every=3, checkpoint_every=2), [notes()])
    order = [(call, step) for _, call, step, *_ in calls]
    assert order[0] == ("start", 0) and order[-1] == ("finish", 6)
    assert [step for call, step in order if call == "save"] == [2, 3, 4, 6]  # before every checkpoint
    assert [more for _, call, _, *more in calls if call == "image"] == [["step-3.png"], ["step-6.png"]]
    rows = list(trainer.run.rows())
    told = [(step, more[0]) for _, call, step, *more in calls if call == "log"]
    assert [step for step, _ in told] == [row["step"] for row in rows]
    for row, (_, values) in zip(rows, told, strict=True):
        prefix = {"train": "train", "eval": "validation"}[row["event"]]
        assert all(row[name.removeprefix(f"{prefix}/")] == value for name, value in values.items())
        assert {f"{prefix}/nats", f"{prefix}/bits_per_dim"} < values.keys()
        assert not {"step", "event", "images", "seconds", "best", "kind"} & {name.split("/")[1] for name in values}
    assert {"train/lr", "train/loss", "train/grad_norm"} < told[0][1].keys()


def test_numbers_that_are_not_finite_are_told(calls):
    tracking = Tracking([notes()], print)
    tracking._trackers[0][1].step = 1
    tracking.evaluated(1, {"nats": math.nan, "far": math.inf, "best": True, "kind": "exact"})
    ((_, _, _, values),) = calls
    assert math.isnan(values["validation/nats"]) and values["validation/far"] == math.inf and len(values) == 2


def test_hyperparameters_are_the_recipes_values_by_their_keys():
    found = hyperparameters(toy_recipe(optimizer={"type": "adam", "lr": 0.25, "betas": [0.5, 0.75]}))
    assert found["train.optimizer.lr"] == 0.25 and found["train.optimizer.betas"] == "[0.5, 0.75]"
    assert found["data.count"] == 37 and found["train.clip"] is None and found["model.type"] == "toy"


@pytest.mark.parametrize(("fails", "at"), [("log", 3), ("image", 5), ("save", 4), ("finish", 8)])
@pytest.mark.parametrize("error", ["ValueError", "SystemExit"])
def test_one_that_fails_midway_is_reported_once_and_training_goes_on(tmp_path, calls, fails, at, error):
    told = Told()
    recipe = toy_recipe(steps=8, eval_every=5)
    trainer = followed(tmp_path, recipe, [notes(fails=fails, at=at, error=error), notes()], told)
    assert trainer.state.step == 8 and trainer.run.steps()[-1] == 8
    (said,) = [text for text in told.texts if "tracker" in text]
    assert f"step {at}: the tracker notes failed ({error}" in said and "training goes on" in said
    assert [(call, step) for who, call, step, *_ in calls if who == fails][-1] == (fails, at)
    whole = [(call, step) for who, call, step, *_ in calls if not who]
    assert whole[-1] == ("finish", 8) and ("log", 8) in whole


@pytest.mark.parametrize("fails", ["step", "evaluated", "sampled"])
def test_a_callback_that_raises_leaves_trackers_with_each_step_once(tmp_path, calls, fails):
    class Fails(Told):
        def step(self, step, metrics):
            assert (fails, step) != ("step", 2)

        def evaluated(self, step, metrics):
            assert fails != "evaluated"

        def sampled(self, path):
            assert fails != "sampled"

    recipe, run = toy_recipe(steps=3, eval_every=2, sample_every=2), tmp_path / "run"
    with pytest.raises(AssertionError):
        followed(run, recipe, [notes()], Fails())
    again = toy_trainer(run, recipe, reporter=(tracking := Tracking([notes()], print)).beside(Told()))
    again.restore()
    with tracking.following(again.run, recipe, again.state.step):
        again.train()
    told = sorted((call, step, "train/loss" in more[0]) for _, call, step, *more in calls if call in ("log", "image"))
    due = [(call, step, False) for call in ("image", "log") for step in (2, 3)]
    assert told == sorted([*due, *(("log", step, True) for step in (1, 2, 3))])


def test_what_stops_training_stops_it_and_trackers_are_finished(tmp_path, calls):
    class Ends(Told):
        def step(self, step, metrics):
            if step == 2:
                raise Terminated

    with pytest.raises(Terminated):
        followed(tmp_path, toy_recipe(), [notes()], Ends())
    assert calls[-1][1] == "finish"


def test_one_that_cannot_begin_ends_the_build_before_a_step_and_those_that_did_are_finished(tmp_path, calls):
    with pytest.raises(PluginError, match="the tracker notes cannot start") as caught:
        build(loaded(notes(), notes(fails="start")), tmp_path / "run", device="cpu")
    assert caught.value.exit_code == 4 and "no more" in caught.value.found and "train.log=[]" in caught.value.hint
    assert [(who, call) for who, call, *_ in calls] == [("", "start"), ("start", "start"), ("", "finish")]
    assert calls[0][3:5] == (tmp_path / "run", hyperparameters(loaded(notes(), notes(fails="start")).recipe))
    build(tmp_path / "run", overrides=["train.log=[]"], resume=True, device="cpu")
    assert Run(tmp_path / "run").steps()[-1] == 2


class Needy(Notes):
    """Takes a package that nobody has."""

    packages = {"no_such_module_anywhere": "such[extra]"}  # noqa: RUF012


@pytest.mark.parametrize("way", ["build", "dry run"])
def test_a_missing_package_is_an_error_with_the_line_that_installs_it_before_anything_is_read(tmp_path, way):
    recipe = loaded(spec_of("tracker", Needy), overrides=[f"data={{source: images, path: {tmp_path / 'nowhere'}}}"])
    with pytest.raises(UsageError, match="Needy needs no_such_module_anywhere") as caught:
        build(recipe, tmp_path / "run", device="cpu") if way == "build" else dry_run(recipe, "cpu")
    assert caught.value.exit_code == 2 and "pip install 'such[extra]'" in caught.value.hint
    assert not (tmp_path / "run").exists()


def test_a_run_is_read_without_the_plugin_of_its_tracker_and_gone_on_with_if_that_is_wanted(tmp_path):
    run = build(loaded(notes()), tmp_path / "run", device="cpu").run
    assert run.settings()["train"]["log"] == [{"type": "notes", "fails": "", "at": 0, "error": "ValueError"}]
    assert load(run).sample(1).shape == (1, 1, 8, 8)
    for options in ({"resume": True}, {"extend": 1}):
        with pytest.raises(PluginError, match="no tracker named 'notes'") as caught:
            build(run.path, device="cpu", **options)
        assert "train.log=[]" in caught.value.hint and caught.value.where == f"{run.path}, train.log"
    build(run.path, overrides=["train.log=[]"], extend=1, device="cpu")
    changes = run.settings()["lock"]["changes"]
    assert changes[0].startswith("step 2, train.steps: 2 -> 3") and run.settings()["train"]["log"] == []
    assert json.loads((run.path / "scores.json").read_text())["scores"]


def test_recipes_name_trackers_with_or_without_keys():
    for said in ("[tensorboard]", "[{type: tensorboard, flush_secs: 5}]"):
        (spec,) = load_recipe("digits-pixelcnn", [f"train.log={said}"]).recipe.train.log
        assert spec.name == "tensorboard" and spec.config.where("flush_secs") == "train.log.flush_secs"
    assert spec.config.flush_secs == 5
    for twice in ("[tensorboard, tensorboard]", "[tensorboard, {type: tensorboard, flush_secs: 30}]"):
        with pytest.raises(RecipeError, match="tensorboard is named twice"):
            load_recipe("digits-pixelcnn", [f"train.log={twice}"])
    with pytest.raises(RecipeError, match=r"(?s)no tracker with this name.*did you mean 'tensorboard'"):
        load_recipe("digits-pixelcnn", ["train.log=[tensorbord]"])
