"""Building on the digits, from the recipe to the table; killed, interrupted, resumed."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from untimed import untimed

from pixkit import locks
from pixkit.data import prepare
from pixkit.errors import CausalityError, CheckpointError, DataError, RunError, UsageError
from pixkit.models import AutoregressiveModel
from pixkit.recipe import load_recipe
from pixkit.runs import checkpoint
from pixkit.runs.holder import this_process
from pixkit.runs.load import load
from pixkit.runs.manifest import encode_manifest
from pixkit.runs.run import Run
from pixkit.tasks.evaluate import evaluate
from pixkit.training.build import build, dry_run
from pixkit.training.prepare import prepare_training
from pixkit.training.watch import Quit, Reporter, Terminated

TINY = """
pixkit: 1
name: tiny
data: {source: digits, validation: 0.02, limit_train: 96, limit_test: 24}
model:
  type: autoregressive
  backbone: {type: pixelcnn, width: 8, layers: 1, norm: batch, dropout: 0.1}
train:
  steps: 30
  batch_size: 16
  optimizer: {type: adam, lr: 2e-2}
  schedule: {type: exponential, warmup: 5}
  clip: 1.0
  ema: 0.9
  eval_every: 10
  checkpoint_every: 7
sample: {count: 2}
"""


IMAGES, SCORING = "images: 1x8x8, K = 17; digits, 17 levels; values 0..16", "scoring and sampling the best checkpoint"
"""What every build of it says."""


class Heard(Reporter):
    """Keeps messages and results."""

    def __init__(self):
        self.texts = []
        self.steps = []
        self.pictures = []
        self.result = None

    def message(self, text):
        self.texts.append(text)

    def step(self, step, metrics):
        self.steps.append(step)

    def sampled(self, path):
        self.pictures.append(path)

    def finish(self, result):
        self.result = result


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipes") / "tiny.yaml"
    path.write_text(TINY)
    return path


def tiny(recipe, *overrides):
    return load_recipe(recipe, overrides)


class At(Reporter):
    """At the end of a step, each of the signals to this process, one after the other, or an error."""

    def __init__(self, step, *, signals=(), error=None):
        self.at, self.signals, self.error = step, signals, error

    def step(self, step, metrics):
        if step == self.at:
            for number in self.signals:
                os.kill(os.getpid(), number)
            if self.error:
                raise self.error


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """A build of 30 steps that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    heard = Heard()
    assert (result := build(tiny(recipe), folder, device="cpu", reporter=heard)).interrupted is None
    assert heard.texts == [IMAGES, "training in fp32, contiguous: too short a training to measure", SCORING]
    assert heard.steps == [*range(1, 31)] and heard.result is result and heard.pictures[-1] == result.grid_path
    return Run.open(folder)


def same(left, right):
    """Whether two runs came to the same bytes."""
    assert untimed(left.rows()) == untimed(right.rows())
    assert left.steps() == right.steps()
    for step in left.steps():
        for name in ("model", "ema", "optimizer"):
            files = [run.checkpoint_folder(step) / f"{name}.safetensors" for run in (left, right)]
            assert files[0].read_bytes() == files[1].read_bytes(), (step, name)
    for name in ("best", "last", "scores.json", "recipe.yaml", "samples/best.png", "samples/step-20.npz"):
        assert (left.path / name).read_bytes() == (right.path / name).read_bytes(), name


def test_what_a_run_holds(whole):
    names = sorted(entry.name for entry in whole.path.iterdir())
    folders = ["best", "checkpoints", "env.json", "last", "metrics.jsonl", "recipe.lock.yaml", "recipe.yaml", "samples"]
    assert names == sorted([*folders, "scores.json"])
    assert (whole.path / "recipe.yaml").read_text() == TINY
    assert whole.checkpoint("last").name == "step-30"
    lock = whole.settings()["lock"]
    assert lock["image"] == {"channels": 1, "height": 8, "width": 8, "levels": 17}
    assert set(lock["data"]["hashes"]) == {"train", "test", "split"}
    assert lock["parameters"] == sum(parameter.numel() for parameter in load(whole).parameters())
    assert whole.environment()["threads"] == 1
    samples = np.load(whole.samples / "step-30.npz", allow_pickle=False)["samples"]
    assert samples.shape == (2, 1, 8, 8)
    for step in whole.steps():
        checkpoint.verify(whole.checkpoint_folder(step))


def test_the_table_is_that_of_the_best_checkpoint(whole):
    table = whole.final_scores()
    rows = {(row["split"], row["weights"]): row for row in table["scores"]}
    assert set(rows) == {(split, kind) for split in ("train", "validation", "test") for kind in ("raw", "ema")}
    assert table["checkpoint"] == whole.checkpoint("best").name
    assert rows["train", "ema"]["images"] == rows["test", "ema"]["images"] == 24
    assert "24 of 96 images" in table["notes"][0]
    dataset = prepare(whole.recipe().data, whole.path)
    for kind in ("raw", "ema"):
        again = evaluate(load(whole, weights=kind), dataset, "test", 7, weights=kind)
        assert again.nats == pytest.approx(rows["test", kind]["nats"], rel=1e-6)
    best = min(row["nats_ema"] for row in whole.rows() if row["event"] == "eval")
    assert rows["validation", "ema"]["nats"] == pytest.approx(best, rel=1e-6)


def test_training_helped(whole):
    rows = [row for row in whole.rows() if row["event"] == "train"]
    assert rows[0]["nats"] > 170
    assert rows[-1]["nats"] < rows[0]["nats"] - 20


@pytest.mark.parametrize("step", [3, 17])
def test_stopped_at_once_and_resumed_equals_uninterrupted(recipe, whole, tmp_path, step):
    """As if it had been killed: nothing is saved. tests/faults kills processes."""
    with pytest.raises(Quit):
        build(tiny(recipe), tmp_path / "run", device="cpu", reporter=At(step, error=Quit()))
    assert bool(Run.open(tmp_path / "run").steps()) == (step > 7)
    assert build(tiny(recipe), tmp_path / "run", device="cpu", resume=True).interrupted is None
    same(Run.open(tmp_path / "run"), whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_so(recipe, whole, tmp_path, number):
    result = build(tiny(recipe), tmp_path / "run", device="cpu", reporter=At(12, signals=[number]))
    assert result.interrupted == number
    run = Run.open(tmp_path / "run")
    assert run.checkpoint("last").name == "step-12"
    assert not run.scores.exists()
    assert not (run.path / "build.lock").exists()
    if number == signal.SIGINT:
        heard = Heard()
        build(tiny(recipe), tmp_path / "run", device="cpu", resume=True, reporter=heard)
        assert heard.steps == [*range(13, 31)] and heard.texts == [IMAGES, SCORING]
        same(run, whole)


def test_a_second_signal_stops_now(recipe, tmp_path):
    with pytest.raises(Terminated) as stopped:
        build(tiny(recipe), tmp_path / "run", device="cpu", reporter=At(1, signals=[signal.SIGTERM] * 2))
    assert stopped.value.code == 143
    assert Run.open(tmp_path / "run").steps() == []


def test_a_signal_while_a_build_waits_for_a_lease_ends_it(recipe, tmp_path, monkeypatch):
    """Of a host that may be gone: only time can tell."""
    run = build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu").run
    holder = this_process(leased=True).model_copy(update={"host": "elsewhere"})
    (run.path / "build.lock").write_bytes(holder.encode())
    (run.path / "build.lease").write_text("filelock/2\npid=7\nhost=elsewhere\nmode=lease\ntoken=0\nduration=120\n")
    monkeypatch.setattr(locks, "fcntl", None)

    class Stopping(Heard):
        def message(self, text):
            super().message(text)
            os.kill(os.getpid(), signal.SIGINT)

    heard = Stopping()
    result = build(tiny(recipe, "train.steps=3"), run.path, device="cpu", resume=True, reporter=heard)
    assert "waiting up to 120 s" in heard.texts[0]
    assert result.interrupted == signal.SIGINT and result.run.path == run.path
    assert run.steps() == [2]
    assert (run.path / "build.lock").read_bytes() == holder.encode()


def test_an_existing_run_is_refused_and_overwritten_only_when_asked(recipe, tmp_path):
    short = tiny(recipe, "train.steps=2")
    build(short, tmp_path / "run", device="cpu")
    with pytest.raises(RunError, match="a run already"):
        build(short, tmp_path / "run", device="cpu")
    other = tiny(recipe, "train.steps=3")
    result = build(other, tmp_path / "run", device="cpu", overwrite=True)
    assert result.run.steps() == [3]
    assert result.run.settings()["lock"]["overrides"] == ["train.steps=3"]


def test_a_build_that_fails_before_training_leaves_the_old_run(recipe, tmp_path):
    build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu")
    with pytest.raises(RunError, match="neither a run nor a checkpoint"):
        build(tiny(recipe, f"train.init_from={tmp_path / 'nowhere'}"), tmp_path / "run", device="cpu", overwrite=True)
    assert Run.open(tmp_path / "run").steps() == [2]
    checkpoint.verify(Run.open(tmp_path / "run").checkpoint("best"))


def test_the_default_folder_is_named_after_the_recipe(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heard = Heard()
    result = build(tiny(recipe, "train.steps=1"), device="cpu", reporter=heard)
    assert result.run.path == tmp_path / "runs" / "tiny"
    assert result.grid_path == tmp_path / "runs" / "tiny" / "samples" / "best.png"
    assert result.interrupted is None
    assert heard.result is result
    assert heard.pictures == [result.run.samples / "step-1.png", result.grid_path]
    assert "scoring and sampling the best checkpoint" in heard.texts
    assert [score.split for score in result.scores] == ["train", "validation", "test"] * 2


def test_resuming_with_more_steps_goes_on(recipe, tmp_path):
    build(tiny(recipe, "train.steps=3"), tmp_path / "run", device="cpu")
    heard = Heard()
    build(tiny(recipe, "train.steps=6"), tmp_path / "run", device="cpu", resume=True, reporter=heard)
    assert heard.steps == list(range(4, 7))
    run = Run.open(tmp_path / "run")
    assert run.settings()["lock"]["changes"] == ["step 3, train.steps: 3 -> 6"]
    assert run.recipe().train.steps == 6
    longer = build(tiny(recipe, "train.steps=6"), tmp_path / "other", device="cpu").run
    names = [run.checkpoint("last") / "model.safetensors" for run in (run, longer)]
    assert names[0].read_bytes() == names[1].read_bytes()


def test_resuming_with_another_recipe_is_refused(recipe, tmp_path):
    build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu")
    with pytest.raises(RunError, match="not the one") as caught:
        build(tiny(recipe, "model.backbone.width=16"), tmp_path / "run", device="cpu", resume=True)
    assert caught.value.found == "model.backbone.width: 8 -> 16"


def test_a_key_that_is_newer_than_the_run_is_no_change(recipe, tmp_path):
    run = build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu").run
    settings = run.settings()
    del settings["model"]["backbone"]["output_layers"]
    run.write_settings(settings)
    resumed = build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu", resume=True).run
    assert not resumed.settings()["lock"]["changes"]


@pytest.mark.parametrize("older", [-7.0, -6.0])
def test_a_run_keeps_the_default_that_it_was_begun_with(recipe, tmp_path, older):
    """0.1 wrote `min_log_scale: -7.0`; what was never the default is a change as ever."""
    mixture = ["model.head={type: logistic_mixture, components: 2}", "train.steps=2", "train.ema=0"]
    run = build(tiny(recipe, *mixture), tmp_path / "run", device="cpu").run
    settings = run.settings()
    assert settings["model"]["head"]["min_log_scale"] is None
    settings["model"]["head"]["min_log_scale"] = older
    run.write_settings(settings)
    if older != -7.0:
        with pytest.raises(RunError, match=r"not the one that(.|\n)*min_log_scale: -6\.0 -> null"):
            build(tiny(recipe, *mixture, "train.steps=3"), tmp_path / "run", device="cpu", resume=True)
        return
    build(tiny(recipe, *mixture, "train.steps=3"), tmp_path / "run", device="cpu", resume=True)
    assert run.settings()["lock"]["changes"] == ["step 2, train.steps: 2 -> 3"]
    assert run.settings()["model"]["head"]["min_log_scale"] == -7.0
    assert load(run, device="cpu").network.head.min_log_scale == -7.0


def test_resuming_with_other_images_is_refused(recipe, tmp_path):
    run = build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu").run
    settings = run.settings()
    settings["lock"]["data"]["hashes"]["test"] = "0" * 64
    run.write_settings(settings)
    with pytest.raises(RunError, match=r"(?s)images are not those.*test"):
        build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu", resume=True)


def test_resuming_elsewhere_is_said_and_kept(recipe, tmp_path):
    run = build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu").run
    before = run.environment()
    run.write_json(run.path / "env.json", {**before, "torch": "1.0"})
    heard = Heard()
    build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu", resume=True, reporter=heard)
    assert any("torch 1.0 -> " in text for text in heard.texts)
    assert run.environment()["torch"] == before["torch"]
    assert [kept["torch"] for kept in run.environment()["previous"]] == ["1.0"]


def test_a_damaged_checkpoint_is_not_resumed(recipe, tmp_path):
    run = build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu").run
    path = run.checkpoint("last") / "optimizer.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged: its bytes are not") as caught:
        build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu", resume=True)
    assert "--overwrite" in caught.value.hint


def test_without_last_a_build_goes_on_from_the_newest_sound_checkpoint(recipe, whole, tmp_path):
    run = Run(shutil.copytree(whole.path, tmp_path / "run"))
    run.point("last", None)
    newest, before = run.steps()[-1], run.steps()[-2]
    (run.checkpoint_folder(newest) / "model.safetensors").write_bytes(b"")
    heard = Heard()
    with pytest.warns(RuntimeWarning, match=f"continuing from step-{before}") as warned:
        build(tiny(recipe), run.path, device="cpu", resume=True, reporter=heard)
    [said] = [warning for warning in warned if "continuing" in str(warning.message)]
    assert f"step-{newest} (model.safetensors: cut short" in str(said.message)
    assert said.filename == __file__
    assert heard.steps == list(range(before + 1, newest + 1))
    same(run, whole)


def test_a_run_that_was_killed_before_its_first_checkpoint_says_that_it_starts_again(recipe, tmp_path):
    run = build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu").run
    run.point("last", None)
    run.forget(run.steps())
    heard = Heard()
    build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu", resume=True, reporter=heard)
    assert any("starts from step 0" in text for text in heard.texts)
    assert heard.steps == [1, 2]


def test_what_a_user_put_into_a_run_stays_and_is_named(recipe, tmp_path):
    run = build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu").run
    for path in (run.samples / "cat.png", run.checkpoint_folder(2) / "notes.txt"):
        path.write_text("mine")
    for options, steps, named in (({"overwrite": True}, 2, "cat.png"), ({"resume": True}, 3, "notes.txt")):
        heard = Heard()
        build(
            tiny(recipe, f"train.steps={steps}", "train.keep=1"),
            run.path,
            device="cpu",
            reporter=heard,
            **options,
        )
        assert any(text.startswith("kept") and named in text for text in heard.texts), heard.texts
        assert (run.samples / "cat.png").read_text() == (run.checkpoint_folder(2) / "notes.txt").read_text() == "mine"
    assert run.steps() == [3]


def test_starting_from_another_run(recipe, whole, tmp_path):
    start_from = f"train.init_from={whole.path}"
    result = build(tiny(recipe, start_from, "train.steps=1"), tmp_path / "run", device="cpu")
    first = next(result.run.rows())
    fresh = next(whole.rows())
    assert first["nats"] < fresh["nats"] - 20
    folder = f"train.init_from={whole.checkpoint('best')}"
    other = build(tiny(recipe, folder, "train.steps=1"), tmp_path / "other", device="cpu")
    assert next(other.run.rows())["nats"] == first["nats"]
    with pytest.raises(CheckpointError, match="another model's weights") as caught:
        build(tiny(recipe, start_from, "model.backbone.width=12"), tmp_path / "wide", device="cpu")
    assert "the model has float32[12" in caught.value.found and "..." not in caught.value.found
    assert caught.value.lines == ("  from its recipe to this one:", "    model.backbone.width: 8 -> 12")
    assert "strict: false" in caught.value.hint
    assert caught.value.where == f"train.init_from, {whole.checkpoint('best')}"
    assert not (tmp_path / "wide").exists()


def test_of_another_model_what_fits_is_taken_if_that_is_asked_for_and_what_is_left_is_said(recipe, whole, tmp_path):
    """Here from a checkpoint's folder, whose run is known."""
    loose = f"train.init_from={{run: {whole.checkpoint('best')}, strict: false}}"
    heard = Heard()
    deeper = tiny(recipe, loose, "model.backbone.layers=2", "model.backbone.dropout=0")
    model = prepare_training(deeper, torch.device("cpu"), reporter=heard).model
    start = load(whole).state_dict()
    shared = [name for name, value in model.state_dict().items() if torch.equal(value, start.get(name, value - 1))]
    assert len(shared) == len(start) < len(model.state_dict())
    said = next(text for text in heard.texts if text.startswith("train.init_from"))
    assert f"{len(shared)} of the model's {len(model.state_dict())} tensors are taken" in said
    assert "not taken: network.backbone.body.2." in said and "is missing" in said
    gated, head = "model.backbone={type: gated_pixelcnn, width: 6, layers: 1}", "model.head={type: logistic_mixture}"
    with pytest.raises(CheckpointError, match="another model's weights") as caught:
        prepare_training(tiny(recipe, loose, gated, head), torch.device("cpu"))
    assert "    model.backbone.type: pixelcnn -> gated_pixelcnn" in caught.value.lines
    assert "no tensor fits" in caught.value.hint


def test_loading(whole, tmp_path):
    state = torch.random.get_rng_state()
    model = load(whole.path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not model.training
    folder = whole.checkpoint("best")
    manifest = checkpoint.verify(folder)
    for kind, name in (("ema", "ema"), ("raw", "model")):
        tensors = checkpoint.read_tensors(folder, manifest, name)
        for key, value in load(str(whole.path), weights=kind).state_dict().items():
            assert torch.equal(value, tensors[key])
    assert next(load(whole, dtype=torch.float64).parameters()).dtype == torch.float64
    first = whole.steps()[0]
    load(whole, checkpoint=f"step-{first}")
    with pytest.raises(UsageError, match="no such weights"):
        load(whole, weights="best")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load(whole, checkpoint="step-1")
    with pytest.raises(RunError, match="not a pixkit run"):
        load(tmp_path)


def test_a_checkpoint_that_lost_its_average_is_not_taken_for_one_without(recipe, whole, tmp_path):
    """Signed anew without it, by a script that makes checkpoints smaller, say."""
    run = Run(tmp_path / "run")
    shutil.copytree(whole.path, run.path)
    path = run.checkpoint("best") / "manifest.json"
    body = json.loads(path.read_text())
    del body["files"]["ema"]
    path.write_bytes(encode_manifest(body))
    for use in (lambda: load(run), lambda: build(recipe, tmp_path / "new", overrides=[f"train.init_from={run.path}"])):
        with pytest.raises(CheckpointError, match="averaged weights, and there are none") as caught:
            use()
        assert "raw" in caught.value.hint
    load(run, weights="raw")
    assert load(whole.path, weights="raw").state_dict().keys() == load(run, weights="raw").state_dict().keys()


@pytest.mark.parametrize(
    ("version", "message", "hint"),
    [
        ("99.1.dev0", "written by a newer pixkit", "use a newer pixkit"),
        ("0.0.9", "Extra inputs", "the run was built with pixkit-models "),
    ],
)
def test_a_recipe_with_keys_that_only_a_newer_pixkit_knows(whole, tmp_path, version, message, hint):
    run = Run(tmp_path / "run")
    shutil.copytree(whole.path, run.path)
    lock, environment = run.path / "recipe.lock.yaml", run.path / "env.json"
    lock.write_text(lock.read_text().replace("\n  batch_size:", "\n  warp: 9\n  batch_size:", 1))
    environment.write_text(json.dumps({**json.loads(environment.read_text()), "pixkit": version}))
    with pytest.raises(RunError, match=message) as caught:
        load(run)
    assert caught.value.where.endswith("train.warp")
    assert caught.value.hint.startswith(hint)


def test_a_run_that_was_moved_loads(whole, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(whole.path, moved)
    x = load(moved).sample(2, seed=1)
    assert torch.equal(x, load(whole).sample(2, seed=1))


def test_without_an_average_the_raw_weights_are_loaded(recipe, tmp_path):
    result = build(tiny(recipe, "train.steps=2", "train.ema=0"), tmp_path / "run", device="cpu")
    assert {score.weights for score in result.scores} == {"raw"}
    raw = load(result.run, weights="raw").state_dict()
    for name, value in load(result.run).state_dict().items():
        assert torch.equal(value, raw[name])


def test_evaluating(whole):
    dataset = prepare(whole.recipe().data, whole.path)
    assert evaluate(whole.path, dataset, "test", 13).images == 24
    assert evaluate(whole, dataset, "validation", limit=5).images == 5
    other = prepare(load_recipe("digits-pixelcnn", ["data.levels=5"]).recipe.data, whole.path)
    with pytest.raises(DataError, match="do not fit the model"):
        evaluate(whole, other)


def test_a_dry_run_writes_nothing(recipe, whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = dry_run(tiny(recipe), "cpu")
    assert os.listdir(tmp_path) == []
    assert found.sizes == {"train": 96, "validation": 30, "test": 24}
    assert found.memory.parameters == whole.settings()["lock"]["parameters"]
    assert found.losses["nats"] > 170
    assert found.seconds == pytest.approx(30 * found.seconds_per_step)
    assert (found.name, found.model, found.device) == ("tiny", "autoregressive", "cpu")
    dataset = prepare(whole.recipe().data, whole.path)
    assert (found.spec, found.classes) == (dataset.spec, dataset.classes)
    assert (found.data, found.values) == (dataset.description, dataset.values)
    assert found.arithmetic.startswith("fp32, contiguous: ")


@pytest.mark.parametrize("command", [build, dry_run])
@pytest.mark.parametrize("asked", ["train.batch_size=100000000", "sample.count=1000000000"])
def test_what_does_not_fit_is_refused_before_anything_is_written(recipe, tmp_path, monkeypatch, command, asked):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="would not fit"):
        command(tiny(recipe, asked), device="cpu")
    assert not (tmp_path / "runs" / "tiny").exists()


def test_a_missing_gpu_is_refused(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match="there is none"):
        build(tiny(recipe), tmp_path / "run", device="cuda")
    assert not (tmp_path / "run").exists()


def test_the_callers_generator_is_left_alone(recipe, tmp_path):
    state = torch.random.get_rng_state()
    build(tiny(recipe, "train.steps=2"), tmp_path / "run", device="cpu")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_notes_of_the_data_and_json_are_plain(whole):
    for name in ("env.json", "scores.json"):
        json.loads((whole.path / name).read_text(), parse_constant=pytest.fail)
    assert [json.loads(line, parse_constant=pytest.fail) for line in whole.metrics.read_text().splitlines()]


def test_a_leaky_model_is_refused(recipe, tmp_path, monkeypatch):
    original = AutoregressiveModel.__init__

    def leaky(self, *arguments):
        original(self, *arguments)
        for module in self.modules():
            for name, buffer in module.named_buffers(recurse=False):
                if "mask" in name:
                    buffer.fill_(1)

    monkeypatch.setattr(AutoregressiveModel, "__init__", leaky)
    with pytest.raises(CausalityError):
        build(tiny(recipe), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
