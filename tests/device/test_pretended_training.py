"""Training steps on a pretended device: the host waits for none of them, and they are the CPU's."""

import copy
import itertools
import re
import threading

import pytest
import torch
from families import model_of
from pretend import DEVICE, Pretending
from toys import Told, contents
from untimed import untimed

from pixkit.components.plugins import plugins
from pixkit.data.dataset import BatchSequence, Dataset, Part
from pixkit.data.feed import Feed
from pixkit.data.levels import Binariser
from pixkit.layers.scan import Scan
from pixkit.models.autoregressive import AutoregressiveModel
from pixkit.randomness import Stream
from pixkit.recipe import load_recipe, packaged_recipes
from pixkit.recipe.schema import TrainConfig
from pixkit.runs.run import Run
from pixkit.training.ahead import Ahead
from pixkit.training.batches import Batches
from pixkit.training.build import build, dry_run
from pixkit.training.ema import Ema
from pixkit.training.step import NonFiniteStep, Stepper

CPU = torch.device("cpu")
NAMES = ["digits-pixelcnn", "digits-gated", "digits-pixelvae", "digits-pixelgan"]
OPTIMIZERS = [{"type": "adamw"}, {"type": "sgd", "momentum": 0.9}, {"type": "rmsprop", "momentum": 0.9}]


def dataset_of(model):
    """Some images for it."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(model.spec.levels, (12, *model.spec.shape), generator=generator).to(torch.uint8)
    part = Part(pixels, torch.arange(12) % (model.classes or 3), torch.arange(12))
    source = plugins().registry.get("data", "digits")
    return Dataset(
        "some", model.spec, model.classes, {"train": part}, description="", notes=(), hashes={}, source=source
    )


def stepper_of(model, device=CPU, **train):
    config = TrainConfig.model_validate({"steps": 10, "batch_size": 4, "precision": "fp32", **train})
    return Stepper(model, BatchSequence(dataset_of(model), config.batch_size, 0), config, 0, device)


@pytest.mark.parametrize(
    ("name", "optimizer"), [*((name, OPTIMIZERS[0]) for name in NAMES), *itertools.product(NAMES[:1], OPTIMIZERS[1:])]
)
def test_no_step_waits_and_all_are_those_of_the_cpu(name, optimizer):
    model = model_of(name, side=4)
    train = {"optimizer": optimizer, "clip": 1.0, "accumulate": 2, "memory_format": "contiguous"}
    expected = Ahead(stepper_of(copy.deepcopy(model), **train), 0)
    average = Ema(expected.stepper.model, 0.9)
    rows = []
    for step in (1, 2):
        rows.append(expected.make(step))
        average.update(expected.stepper.model, step, expected.flag)
    with Pretending() as seen:
        model.to(DEVICE)
        ahead, ema = Ahead(stepper_of(model, DEVICE, **train), 2), Ema(model, 0.9)
        seen.clear()
        for step in (1, 2):
            ahead.launch(step)
            ema.update(model, step, ahead.flag)
        assert (seen.reads, seen.copies.get("from"), seen.waits) == ({}, None, 0)
        assert [ahead.read() for _ in rows] == [pytest.approx(row, rel=1e-5) for row in rows]
        assert seen.copies["from"] == len(rows)
        for one, other in zip(model.parameters(), expected.stepper.model.parameters(), strict=True):
            torch.testing.assert_close(one.cpu(), other, rtol=1e-5, atol=1e-6)
        for name, value in average.average.items():
            torch.testing.assert_close(ema.average[name].cpu(), value, rtol=1e-5, atol=1e-6)


def test_a_step_that_is_not_finite_is_found_without_a_wait_and_updates_nothing():
    model = model_of("digits-pixelcnn", side=4)
    with Pretending() as seen:
        ahead = Ahead(stepper_of(model.to(DEVICE), DEVICE), 2)
        ahead.make(1)
        weight = next(iter(model.parameters()))
        before = weight.detach().cpu()
        loss, numbers = ahead.stepper.phases[0].phase.loss, []

        def breaking(batch, step):
            numbers.append(step)
            losses = loss(batch, step)
            return {**losses, "loss": losses["loss"] * torch.nan} if step == 2 else losses

        object.__setattr__(ahead.stepper.phases[0].phase, "loss", breaking)
        seen.clear()
        ahead.launch(2)
        ahead.launch(3)
        assert seen.reads == {}
        with pytest.raises(NonFiniteStep, match="step 2"):
            ahead.read()
        assert torch.equal(weight.detach().cpu(), before) and numbers == [2, 3, 2]


SMALL = [
    *("model.backbone.layers=1", "model.backbone.width=12", "train.precision=fp32", "train.memory_format=contiguous"),
    *("train.batch_size=8", "train.eval_images=8", "sample.count=1", "train.eval_every=4", "train.checkpoint_every=4"),
]


@pytest.fixture
def built(monkeypatch, tmp_path):
    """Builds on the device; training alone."""
    monkeypatch.setattr("pixkit.training.build.pick_device", lambda name, ranks=None: DEVICE)
    monkeypatch.setattr("pixkit.training.build.final_results", lambda run, *rest, **options: ([], None))
    monkeypatch.setattr("pixkit.training.observer.draw_samples", lambda model, recipe, run, *rest, watch: run.path)

    def make(name, *overrides, recipe="digits-pixelcnn", **options):
        small = SMALL if recipe == "digits-pixelcnn" else SMALL[2:]
        recipe = load_recipe(packaged_recipes()[recipe], [*small, *overrides])
        with Pretending():
            return build(recipe, tmp_path / name, **options).run

    make.folder = tmp_path
    return make


def test_a_build_launches_ahead_says_so_and_goes_on_as_if_it_had_not_been_stopped(built):
    whole = built("whole", "train.steps=6", "train.schedule.type=constant")
    assert whole.settings()["lock"]["steps"]["way"] == "ahead"
    assert kernels(whole) == {"deterministic": True, "without": []}
    built("cut", "train.steps=4", "train.schedule.type=constant")
    cut = built("cut", "train.steps=6", "train.lag=0", "train.schedule.type=constant", resume=True)
    assert cut.settings()["lock"]["steps"] == whole.settings()["lock"]["steps"]
    assert contents(cut) == contents(whole)
    assert untimed(cut.rows()) == untimed(whole.rows())


DYNAMIC = ["data.levels=null", "data.binarise=dynamic", "train.schedule.type=constant", "train.batch_size=500"]
DYNAMIC += ["train.eval_every=100", "model.backbone.width=4"]


def test_images_stay_on_the_device_and_a_run_that_is_cut_within_an_epoch_sees_the_same_bits(built, monkeypatch):
    fed, batch = [], Feed.batch
    monkeypatch.setattr(Feed, "batch", lambda self, number: fed.append(number) or batch(self, number))
    whole = built("whole", *DYNAMIC, "train.steps=5")
    assert sorted(fed) == list(range(5)) and not visitors()
    built("cut", *DYNAMIC, "train.steps=4")
    cut = built("cut", *DYNAMIC, "train.steps=5", resume=True)
    monkeypatch.setattr(Batches, "keep", lambda self, free: False)
    told = Told()
    sent = built("sent", *DYNAMIC, "train.steps=1", reporter=told)
    assert fed[5:] == [0, 1, 2, 3, 4] and any("each batch is copied there" in text for text in told.texts)
    assert contents(whole) == contents(cut)
    rows = [[row for row in untimed(run.rows()) if row["event"] == "train"] for run in (whole, cut, sent)]
    assert rows[0] == rows[1] and rows[0][:1] == rows[2]


def visitors():
    return [thread for thread in threading.enumerate() if thread.name.startswith("pixkit-visits")]


@pytest.mark.parametrize("what", [ValueError("no noise today"), KeyboardInterrupt()])
def test_what_stops_the_drawing_of_an_epoch_leaves_the_steps_before_it_saved(built, monkeypatch, what):
    draw = Binariser.draw

    def broken(self, pixels, numbers, stream, epoch=0):
        if stream is Stream.VISIT and epoch == 1:
            raise what
        return draw(self, pixels, numbers, stream, epoch)

    monkeypatch.setattr(Binariser, "draw", broken)
    options = [*DYNAMIC, "train.steps=10", "train.checkpoint_every=100"]
    if isinstance(what, ValueError):
        with pytest.raises(ValueError, match="no noise today"):
            built("run", *options)
    else:
        built("run", *options)
    assert not visitors()
    monkeypatch.undo()
    assert Run(built.folder / "run").steps() == [2]


def kernels(run):
    return run.settings()["lock"].get("kernels")


PUT = "torch has no deterministic kernel for put_: a resumed run may differ in its last bits"


@pytest.mark.parametrize("late", [False, True])
def test_an_operation_without_a_deterministic_kernel_is_named_once_and_in_the_lock(built, monkeypatch, late):
    """Found while memory is foreseen, or at a step."""
    loss, modes = AutoregressiveModel._loss, []

    def putting(model, batch, step):
        modes.append(torch.get_deterministic_debug_mode())
        losses = loss(model, batch, step)
        table = torch.zeros(2, device=batch.x.device)
        if not late or step == 2:
            table.put_(torch.ones(1, dtype=torch.int64, device=batch.x.device), losses["loss"].reshape(1))
        return {**losses, "loss": losses["loss"] + 0 * table.sum()}

    monkeypatch.setattr(AutoregressiveModel, "_loss", putting)
    told = Told()
    options = ["train.schedule.type=constant", "train.eval_every=100"]
    run = built("run", *options, "train.steps=3", reporter=told)
    assert kernels(run) == {"deterministic": True, "without": ["put_"]}
    assert told.texts.count(PUT) == 1 and modes[0] == 2 and modes[-1] == 1 and torch.get_deterministic_debug_mode() == 0
    begun_plainly(run)
    modes.clear()
    again = built("run", *options, "train.steps=4", resume=True, reporter=told)
    assert kernels(again) is None and set(modes) == {0} and told.texts.count(PUT) == 1


def begun_plainly(run):
    """Make a run's lock that of one whose steps were made plainly, as 0.1's are."""
    settings = run.path / "recipe.lock.yaml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(re.sub(r"  steps:\n(    .*\n)+", "", text), encoding="utf-8")
    assert "steps" not in run.settings()["lock"]


def test_a_run_that_was_begun_plainly_goes_on_plainly(built, monkeypatch):
    run = built("run", "train.steps=4", "train.schedule.type=constant")
    begun_plainly(run)
    monkeypatch.setattr("pixkit.training.way.Ahead", None)
    resumed = built("run", "train.steps=5", "train.schedule.type=constant", resume=True)
    assert "steps" not in resumed.settings()["lock"]
    assert [row["step"] for row in resumed.rows()][-1] == 5


def test_a_run_of_before_there_was_a_scan_goes_on_with_the_loop(built, monkeypatch):
    small = ["train.schedule.type=constant", "model.backbone.units=3", "model.backbone.layers=1"]
    scans, apply = [], Scan.apply
    monkeypatch.setattr(Scan, "apply", lambda *given: scans.append(torch.is_grad_enabled()) or apply(*given))
    run = built("run", "train.steps=1", *small, recipe="digits-row_lstm")
    assert any(scans)
    begun_plainly(run)
    scans.clear()
    resumed = built("run", "train.steps=2", *small, recipe="digits-row_lstm", resume=True)
    assert not any(scans) and [row["step"] for row in resumed.rows()][-1] == 2


def test_a_run_that_was_begun_on_a_gpu_goes_on_on_a_cpu_and_back_as_it_was_begun(built, monkeypatch):
    run = built("run", "train.steps=4", "train.schedule.type=constant")
    steps = run.settings()["lock"]["steps"]
    with monkeypatch.context() as patch:
        patch.setattr("pixkit.training.build.pick_device", lambda name, ranks: CPU)
        patch.setattr("pixkit.training.way.Ahead", None)
        elsewhere = built("run", "train.steps=5", "train.schedule.type=constant", resume=True)
    assert elsewhere.settings()["lock"]["steps"] == steps
    made = []
    monkeypatch.setattr("pixkit.training.way.Ahead", lambda *given: made.append(Ahead(*given)) or made[-1])
    back = built("run", "train.steps=6", "train.schedule.type=constant", resume=True)
    assert made and [row["step"] for row in back.rows() if row["event"] == "train"] == [1, 2, 3, 4, 5, 6]
    kept = {
        str(value.device) for state in made[0].stepper.phases[0].optimizer.state.values() for value in state.values()
    }
    assert kept == {str(DEVICE)}


def test_a_dry_run_times_the_steps_that_a_build_makes(monkeypatch):
    monkeypatch.setattr("pixkit.training.dryrun.pick_device", lambda name, ranks=None: DEVICE)
    made = []
    launch = Ahead.launch
    monkeypatch.setattr(Ahead, "launch", lambda self, step: made.append(step) or launch(self, step))
    recipe = load_recipe(packaged_recipes()["digits-pixelcnn"], SMALL)
    with Pretending():
        dry_run(recipe)
    assert made == [1, 2, 3, 4]


def test_a_dry_run_says_that_batches_are_taken_in_parts(monkeypatch):
    monkeypatch.setattr("pixkit.training.dryrun.pick_device", lambda name, ranks=None: DEVICE)
    loss, told = AutoregressiveModel._loss, Told()

    def crowded(model, batch, step):
        if len(batch.x) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return loss(model, batch, step)

    monkeypatch.setattr(AutoregressiveModel, "_loss", crowded)
    with Pretending():
        dry_run(load_recipe(packaged_recipes()["digits-pixelcnn"], SMALL), reporter=told)
    assert [text for text in told.texts if "2 parts" in text] == [
        "from step 1 on a batch of phase 'likelihood', 8 images, is taken in 2 parts, for lack of memory; "
        "a step sees the same images"
    ]


@pytest.mark.parametrize("capture", ["on", "auto"])
def test_that_nothing_is_recorded_is_said_where_the_recipe_asks_for_it(monkeypatch, tmp_path, capture):
    told = Told()
    monkeypatch.setattr("pixkit.training.build.final_results", lambda run, *rest, **options: ([], None))
    recipe = load_recipe(packaged_recipes()["digits-pixelcnn"], [*SMALL, "train.steps=1", f"train.capture={capture}"])
    build(recipe, tmp_path / "run", device="cpu", reporter=told)
    assert ("train.capture: on has no effect: on a CPU steps run at once" in told.texts) is (capture == "on")
