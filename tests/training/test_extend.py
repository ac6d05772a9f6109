"""Runs that have ended and are given more steps."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from toy_runs import trained
from toys import toy_recipe, toy_trainer

from pixkit.errors import RecipeError, RunError, UsageError
from pixkit.recipe import load_recipe
from pixkit.runs import checkpoint
from pixkit.runs.checkpoint import read_manifest
from pixkit.runs.run import Run
from pixkit.runs.segments import recipe_as_trained
from pixkit.testing import named
from pixkit.training.build import build
from pixkit.training.segments import Segment, Segments, extension_of
from pixkit.training.train import train
from pixkit.training.watch import Reporter, Terminated

COSINE = {"type": "cosine", "warmup": 2, "floor": 0.1}


class Rates(Reporter):
    """Keeps rates and what is said; ends the build at once after a step, if asked to."""

    def __init__(self, last=None):
        self.rates, self.said, self.last = {}, [], last

    def message(self, text):
        self.said.append(text)

    def step(self, step, metrics):
        self.rates[step] = metrics["lr"]
        if step == self.last:
            raise Terminated


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("digits-pixelcnn", [
        "data={source: digits, limit_train: 32, limit_test: 8, validation: 0.01}", "sample.count=1",
        "model.backbone={type: pixelcnn, width: 4, layers: 1}",
        "train={steps: 4, batch_size: 8, eval_every: 4, checkpoint_every: 2, ema: 0.9, sample_every: 99}",
        "train.schedule={type: cosine, warmup: 2, floor: 0.1}",
        "train.precision=fp32", "train.memory_format=contiguous",
    ])  # fmt: skip


@pytest.fixture(scope="module")
def ended(recipe, tmp_path_factory):
    return build(recipe, tmp_path_factory.mktemp("ended") / "run", device="cpu").run.path


def schedule(type="constant", **config):
    return named("schedule", type, **config).build()


def expected(start, length):
    """The rates of a segment by their definition: those of a run of its own."""
    return {start + n: 1e-3 * schedule(**COSINE).factor(n, length) for n in range(1, length + 1)}


def test_an_extended_cosine_begins_anew_and_has_the_same_bits_when_it_is_killed_and_resumed(recipe, ended, tmp_path):
    whole, killed = (shutil.copytree(ended, tmp_path / name) for name in ("whole", "killed"))
    (killed / "last").unlink()  # then the newest sound checkpoint is gone on from, as by --resume
    heard = Rates()
    build(whole, extend=5, device="cpu", reporter=heard)
    assert heard.rates == pytest.approx(expected(4, 5))
    with pytest.raises(Terminated):
        build(killed, extend=5, device="cpu", reporter=Rates(last=7))
    assert Run(killed).steps()[-1] == 6
    with pytest.raises(RunError, match="only a run that has ended") as caught:
        build(killed, extend=5, device="cpu")
    assert caught.value.found == "6 of 9 steps" and "--resume" in caught.value.hint
    build(killed, resume=True, device="cpu")
    for name in ("model", "ema", "optimizer"):
        one, other = (Run(run).checkpoint("last") / f"{name}.safetensors" for run in (whole, killed))
        assert one.parent.name == "step-9" and one.read_bytes() == other.read_bytes()
    for run in (whole, killed):
        settings = Run(run).settings()
        assert settings["lock"]["segments"] == [{"step": 0, "steps": 4}, {"step": 4, "steps": 5}]
        assert settings["lock"]["changes"] == ["step 4, train.steps: 4 -> 9"] and settings["train"]["steps"] == 9
    again = Rates()
    train(recipe, whole, extend=2, device="cpu", callbacks=again)  # whose recipe says 4 steps
    assert again.rates == pytest.approx(expected(9, 2))
    lock = Run(whole).settings()["lock"]
    assert [row["steps"] for row in lock["segments"]] == [4, 5, 2]
    assert lock["changes"] == ["step 4, train.steps: 4 -> 9", "step 9, train.steps: 9 -> 11"]
    assert [any("cosine never begins" in text for text in one.said) for one in (heard, again)] == [False, True]


def test_what_says_how_many_steps_is_said_once(ended, tmp_path):
    with pytest.raises(UsageError, match="--extend sets the number"):
        build(ended, overrides=["train.steps=9"], extend=2, device="cpu")
    with pytest.raises(RecipeError, match=r"(?s)train\.steps: out of range.*less than"):
        build(ended, extend=10**18, device="cpu")  # no file of a run could say that
    with pytest.raises(UsageError, match="not a number of steps"):
        build(ended, extend=0, device="cpu")
    with pytest.raises(RunError, match="no run to resume"):
        build(load_recipe("digits-pixelcnn"), tmp_path / "nothing", extend=2, device="cpu")


def test_a_run_that_lost_patience_and_was_extended_has_to_make_the_steps_before_it_is_again(recipe, ended, tmp_path):
    run, recipe = Run(shutil.copytree(ended, tmp_path / "run")), replace(recipe, overrides=())
    folder, plain = run.checkpoint("last"), run.settings()
    state = {**read_manifest(folder).state, "stale": 1}
    checkpoint.amend(folder, state=state, metrics={})
    plain["train"] |= {"steps": 40, "patience": 1}
    run.write_settings(plain)
    assert extension_of(run, folder, 5, recipe) == Segment(4, 5)
    plain["train"]["steps"] = 9
    plain["lock"]["segments"] = Segments.of(plain).followed_by(Segment(4, 5)).dump()
    run.write_settings(plain)  # extended, and killed before the first step
    with pytest.raises(RunError, match="only a run that has ended") as caught:
        extension_of(run, folder, 5, recipe)
    assert caught.value.found == "4 of 9 steps"
    with pytest.raises(RunError, match="only a run that has ended"):
        extension_of(run, None, 5, recipe)


def test_runs_are_alike_if_their_steps_were_asked_for_alike_where_that_counts():
    def steps(schedule, *segments):
        rows = [{"step": step, "steps": count} for step, count in segments]
        settings = {"train": {"steps": 9, "schedule": {"type": schedule}}, "lock": {"segments": rows}}
        return recipe_as_trained(settings)["train"]["steps"]

    assert steps("cosine", (0, 4), (4, 5)) == "4 + 5" and steps("cosine") == 9
    assert steps("cosine", (0, 40), (4, 3), (7, 2)) == "4 of 40 + 3 + 2"
    assert steps("constant", (0, 4), (4, 5)) == steps("exponential", (0, 4), (4, 5)) == 9


def test_a_step_goes_by_its_own_segment_from_wherever_the_run_is_resumed():
    parts, cosine = Segments([Segment(0, 10), Segment(6, 4)]), schedule(**COSINE)  # given up at 6, then extended
    for step in range(1, 7):
        assert parts.factor(cosine, step) == cosine.factor(step, 10)
    assert [parts.factor(cosine, step) for step in (7, 10)] == [cosine.factor(step, 4) for step in (1, 4)]
    assert [step for step in range(12) if parts.begins(step)] == [6]
    constant = schedule(warmup=3)
    assert not parts.remarks(named("schedule", COSINE["type"], **{key: COSINE[key] for key in COSINE if key != "type"}))
    assert not parts.remarks(named("schedule", "constant", warmup=9))
    (said,) = parts.remarks(named("schedule", "cosine", warmup=4))
    assert "4 steps, of 4 added" in said and said.endswith("the cosine never begins")
    foreign = SimpleNamespace(cls=SimpleNamespace(ends=True), config=object(), name="foreign")
    assert not Segments([Segment(0, 4), Segment(4, 1)]).remarks(foreign)  # without a warm-up
    assert all(parts.factor(constant, step) == constant.factor(step, 99) for step in range(1, 11))
    assert Segments.of({"train": {"steps": 7}, "lock": {}}).dump() == []


def test_whoever_extends_a_run_that_lost_patience_gets_the_steps(tmp_path):
    recipe = toy_recipe(steps=40, patience=1, eval_every=2, optimizer={"type": "sgd", "lr": 1e-9}, ema=0.0)
    first = trained(tmp_path, recipe)
    stopped = first.state.step
    assert stopped < 40 and first.state.stale == 1
    again = toy_trainer(tmp_path, recipe)
    again.stepper.segments = Segments([Segment(0, 40), Segment(stopped, 4)])
    again.restore()
    assert again.state.stale == 0
    again.train()
    assert again.state.step > stopped
