"""Runs that are tracked by TensorBoard, read back as TensorBoard reads them."""

import importlib
import io

import numpy as np
import pytest
from PIL import Image

from pixkit.recipe import load_recipe
from pixkit.runs.run import Run
from pixkit.testing import check_tracker, named
from pixkit.training.build import build
from pixkit.training.watch import Reporter, Terminated

pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")

SMALL = [
    "data={source: digits, limit_train: 32, limit_test: 8, validation: 0.01}", "sample.count=2",
    "model.backbone={type: pixelcnn, width: 4, layers: 1}",
    "train={steps: 8, batch_size: 8, eval_every: 4, checkpoint_every: 4, ema: 0.9}",
]  # fmt: skip


class Killed(Reporter):
    """Ends the build at once after a step."""

    def __init__(self, last):
        self.last = last

    def step(self, step, metrics):
        if step == self.last:
            raise Terminated


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Killed at step 6, two steps after its checkpoint, and gone on with."""
    path = tmp_path_factory.mktemp("tracked") / "run"
    recipe = load_recipe("digits-pixelcnn", [*SMALL, "train.log=[tensorboard]"])
    with pytest.raises(Terminated):
        build(recipe, path, device="cpu", reporter=Killed(6))
    build(path, resume=True, device="cpu")
    return Run(path)


def accumulated(run, module):
    """What one of TensorBoard's two readers in Python makes of a run."""
    reader = importlib.import_module(f"tensorboard.backend.event_processing.{module}")
    events = reader.EventAccumulator(
        str(run.path / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "tensors": 0}
    )
    events.Reload()
    return events


def test_a_run_that_was_killed_and_gone_on_with_has_each_step_once_as_the_log_has_it(run):
    events = accumulated(run, "event_accumulator")
    rows = list(run.rows())
    for event, prefix in (("train", "train"), ("eval", "validation")):
        own = [row for row in rows if row["event"] == event]
        for name in ("nats", "bits_per_dim"):
            read = [(one.step, one.value) for one in events.Scalars(f"{prefix}/{name}")]
            assert read == [(row["step"], float(np.float32(row[name]))) for row in own]
    assert {"train/lr", "train/loss", "train/grad_norm", "validation/nats_ema"} < set(events.Tags()["scalars"])


def test_the_loader_of_its_server_shows_no_step_twice_either(run):
    """`plugin_event_accumulator`, with --load_fast=false, goes by marks of beginnings alone."""
    events = accumulated(run, "plugin_event_accumulator")
    assert [one.step for one in events.Tensors("train/loss")] == list(range(1, 9))
    assert [one.step for one in events.Tensors("samples")] == [4, 8]


def test_samples_are_the_pictures_of_the_run(run):
    shown = accumulated(run, "event_accumulator").Images("samples")
    assert [one.step for one in shown] == [4, 8]
    for one in shown:
        with (
            Image.open(io.BytesIO(one.encoded_image_string)) as found,
            Image.open(run.samples / f"step-{one.step}.png") as given,
        ):
            assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(given.convert("RGB")))


def test_hyperparameters_are_there_with_the_scores_that_runs_are_compared_by(run):
    from tensorboard.plugins.hparams import plugin_data_pb2

    content = accumulated(run, "event_accumulator").SummaryMetadata
    start, experiment = (
        plugin_data_pb2.HParamsPluginData.FromString(content(f"_hparams_/{tag}").plugin_data.content)
        for tag in ("session_start_info", "experiment")
    )
    found = start.session_start_info.hparams
    assert found["train.optimizer.lr"].number_value == 1e-3 and found["data.source"].string_value == "digits"
    names = {info.name.tag for info in experiment.experiment.metric_infos}
    assert {"validation/nats_ema", "validation/bits_per_dim"} <= names


def test_a_run_that_is_replaced_loses_its_event_files_and_no_others(run):
    folder = run.path / "tensorboard"
    before = set(folder.iterdir())
    (folder / "notes.txt").write_text("mine")
    build(load_recipe("digits-pixelcnn", [*SMALL, "train.steps=1"]), run.path, device="cpu", overwrite=True)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"] and len(before) == 2


def test_its_contract():
    check_tracker(named("tracker", "tensorboard"))


def test_what_is_saved_is_in_the_file_whatever_is_still_to_come(tmp_path):
    tracker = named("tracker", "tensorboard", flush_secs=9999).build()
    tracker.start(tmp_path, {}, 0)
    for step in range(1, 6):
        tracker.log(step, {"train/loss": 1.0})
    tracker.save()
    (path,) = (tmp_path / "tensorboard").iterdir()
    assert path.read_bytes().count(b"train/loss") == 5
    tracker.finish()
