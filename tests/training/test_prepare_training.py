"""What comes before the first step: one function, whether the build is new, resumed or dry."""

import shutil
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch

from pixkit.errors import CausalityError, DataError, RunError
from pixkit.ranks import Ranks
from pixkit.recipe import load_recipe
from pixkit.runs.run import Run
from pixkit.training import prepare as preparing
from pixkit.training.build import build, dry_run
from pixkit.training.prepare import prepare_training
from pixkit.training.watch import Reporter, Terminated
from pixkit.training.way import Way

CPU = torch.device("cpu")
SMALL = """
pixkit: 1
name: small
data: {source: digits, validation: 0.02, limit_train: 64, limit_test: 20}
model: {type: autoregressive, backbone: {type: pixelcnn, width: 4, layers: 1, dropout: 0.5}}
train: {steps: 4, batch_size: 8, eval_every: 4, checkpoint_every: 1, ema: 0.9}
sample: {count: 1}
"""


class Stop(Terminated):
    """Raised to end a build at once: other errors have it saved first."""


class Rows(Reporter):
    """Keeps the rows of steps; ends the build after one of them, if asked to."""

    def __init__(self, last=None):
        self.rows, self.last = {}, last

    def step(self, step, metrics):
        self.rows[step] = {key: metrics[key] for key in ("loss", "nats", "grad_norm") if key in metrics}
        if step == self.last:
            raise Stop


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def first_losses(recipe, folder, *overrides, resume=False):
    rows = Rows()
    build(recipe, folder, overrides=overrides, device="cpu", resume=resume, reporter=rows)
    return rows.rows[1]


@pytest.fixture
def unsaved(recipe, tmp_path):
    """A run that was killed before it had a checkpoint."""
    with pytest.raises(Stop):
        build(recipe, tmp_path / "unsaved", device="cpu", reporter=Rows(last=1))
    assert not (tmp_path / "unsaved" / "last").exists()
    return tmp_path / "unsaved"


def test_new_resumed_and_dry_runs_make_the_same_first_step(recipe, unsaved, tmp_path):
    new = first_losses(recipe, tmp_path / "new")
    dry = dry_run(recipe, "cpu").losses
    assert {key: dry[key] for key in new} == new
    assert first_losses(recipe, unsaved, resume=True) == new


def test_given_weights_are_what_all_of_them_start_from(recipe, tmp_path):
    source = build(recipe, tmp_path / "source", device="cpu").run.path
    start = f"train.init_from={source}"
    new = first_losses(recipe, tmp_path / "new", start)
    assert new != first_losses(recipe, tmp_path / "plain")
    dry = dry_run(recipe, "cpu", overrides=[start]).losses
    assert {key: dry[key] for key in new} == new
    with pytest.raises(Stop):
        build(recipe, tmp_path / "cut", overrides=[start], device="cpu", reporter=Rows(last=1))
    assert first_losses(recipe, tmp_path / "cut", start, resume=True) == new
    for way in (build, dry_run):
        with pytest.raises(RunError, match="neither a run nor a checkpoint"):
            way(recipe, overrides=[f"train.init_from={tmp_path / 'nothing'}"], device="cpu")


@pytest.mark.parametrize("missing", ["", "last"])
def test_what_a_run_started_from_may_be_gone_once_it_has_a_checkpoint(recipe, tmp_path, missing):
    source = build(recipe, tmp_path / "source", device="cpu").run.path
    start = [f"train.init_from={source}"]
    run = build(recipe, tmp_path / "run", overrides=start, device="cpu").run
    shutil.rmtree(source)
    (run.path / missing).unlink() if missing else None
    assert build(recipe, run.path, overrides=start, device="cpu", resume=True).scores


def test_what_is_prepared(recipe):
    loaded = load_recipe(recipe)
    prepared = prepare_training(loaded, CPU)
    assert prepared.dataset.size("train") == 64
    assert prepared.model is prepared.stepper.model
    assert str(prepared.choice.arithmetic) == str(prepared.stepper.arithmetic)
    assert prepared.memory.parameters == sum(parameter.numel() for parameter in prepared.model.parameters())
    assert prepared.changes == []


class Noting(Ranks):
    """Notes in `done` what ranks do together."""

    def __init__(self, done):
        super().__init__()
        self.done = done

    def gather(self, plain):
        self.done.append(plain)
        return [plain]

    def spread(self, tensors):
        self.done.append(("spread", len(tensors)))

    def telling(self, call):
        return ("telling", call)

    @contextmanager
    def first_before_others(self):
        self.done.append("rank 0 first")
        yield
        self.done.append("then all")


@pytest.fixture
def done(monkeypatch):
    """What is done in turn, each with what tells apart the calls that a new, a resumed, and a continued run make."""
    told = {
        "prepare": lambda data, base, progress, *, given, numbering="own", palette="own": (
            progress, numbering == "own", palette
        ),
        "keep_loops": lambda model: (),
        "construct_to_train": lambda recipe, dataset, device: (device,),
        "_check_trains": lambda model: (),
        "_fitted": lambda stepper, way, before, *, resumed, say: (way.kind, before, resumed, say),
        "check_recomputed": lambda stepper: (str(stepper.arithmetic),),
        "begin": lambda stepper, start, recipe, say: (start, say),
    }  # fmt: skip
    done = []
    for name, about in told.items():
        real = getattr(preparing, name)

        def noted(*given, name=name, about=about, real=real, **options):
            done.append((name, *about(*given, **options)))
            if name == "prepare":  # which would tell what is not called here
                given = (*given[:2], None)
            return real(*given, **options)

        monkeypatch.setattr(preparing, name, noted)
    monkeypatch.setattr(preparing, "resident", lambda: len(done))
    return done


@pytest.mark.parametrize("kind", ["new", "resumed", "continued"])
def test_what_is_done_in_turn_and_what_ranks_do_together(recipe, tmp_path, done, kind):
    """A resumed run is of the classes and colours that it has; a continued one has its weights already."""
    run = None
    if kind != "new":
        reporter = Rows(last=1 if kind == "resumed" else None)
        with pytest.raises(Stop) if kind == "resumed" else nullcontext():
            build(recipe, tmp_path / "run", device="cpu", reporter=reporter)
        run = Run.open(tmp_path / "run")
        done.clear()
    reporter = Reporter()
    prepared = prepare_training(
        load_recipe(recipe), CPU, run=run, reporter=reporter, check=lambda: done.append("check"), ranks=Noting(done)
    )
    hashes = {part: digest[:12] for part, digest in prepared.dataset.hashes().items()}
    arithmetic, fresh = str(prepared.choice.arithmetic), kind != "continued"
    measured = done.index(hashes) + 1
    assert done == [
        "rank 0 first",
        ("prepare", ("telling", reporter.loading), run is None, "own" if run is None else None),
        "then all",
        "check",
        hashes,
        ("construct_to_train", CPU),
        *([("_check_trains",)] if fresh else []),
        ("keep_loops",),
        ("_fitted", "plain", measured, run is not None, reporter.message),
        *[None] * 2,  # they look at the free memory together
        [],  # the parts
        "check",
        "rank 0 first",
        "then all",
        [arithmetic, "plain"],
        ("check_recomputed", arithmetic),
        *([("begin", None, reporter.message), ("spread", len(prepared.model.state_dict()))] if fresh else []),
    ]


def test_a_run_with_a_checkpoint_is_not_initialised_again(recipe, tmp_path, monkeypatch):
    run = build(recipe, tmp_path / "run", device="cpu").run
    monkeypatch.setattr(preparing.Stepper, "initialise", None)
    longer = load_recipe(recipe, ["train.steps=5"])
    prepared = prepare_training(longer, CPU, run=Run.open(run.path))
    assert [str(change) for change in prepared.changes] == ["train.steps: 4 -> 5"]


@pytest.mark.parametrize(
    ("capture", "kind", "fuse", "fused", "obstacle", "said"),
    [
        ("auto", "plain", "auto", False, "why", []),
        ("off", "ahead", "off", False, "why", []),
        ("on", "replayed", "on", True, None, []),
        ("on", "ahead", "auto", False, "why", ["train.capture: on has no effect: because"]),
        ("off", "ahead", "on", False, "why", ["train.fuse: on has no effect: why"]),
        ("auto", "replayed", "on", False, None, ["train.fuse: on has no effect: the run was begun without it"]),
    ],
)
def test_what_is_asked_for_and_not_got_is_said(monkeypatch, capture, kind, fuse, fused, obstacle, said):
    monkeypatch.setattr(preparing, "obstacle", lambda model, device: obstacle)
    config = SimpleNamespace(capture=capture, fuse=fuse, recompute=False)
    arithmetic = SimpleNamespace(fused=fused)
    stepper = SimpleNamespace(config=config, arithmetic=arithmetic, model="model", device=CPU)
    assert list(preparing._without_effect(stepper, Way(kind, "because"))) == said


def test_a_run_that_was_begun_in_another_way_keeps_that_in_mind(recipe, unsaved):
    run = Run.open(unsaved)
    begun = {"way": "ahead", "reason": "on a GPU"}
    run.note(steps=begun)
    prepared = prepare_training(load_recipe(recipe), CPU, run=run)
    assert (prepared.way.kind, prepared.way.begun, prepared.ahead) == ("plain", begun, None)
    run.note(steps={"way": "sideways", "reason": ""})
    with pytest.raises(RunError, match="not a way to make steps") as caught:
        prepare_training(load_recipe(recipe), CPU, run=run)
    assert caught.value.where == f"{run.path}, lock.steps"
    run.note(steps=None, arithmetic={"precision": "fp16", "memory_format": "contiguous", "reason": "", "seconds": {}})
    with pytest.raises(RunError, match="not an arithmetic") as caught:
        prepare_training(load_recipe(recipe), CPU, run=run)
    assert caught.value.where == f"{run.path}, lock.arithmetic"


def parts(monkeypatch):
    """The names of the parts in the order in which they are called."""
    called = []
    for name in ("prepare", "construct_to_train", "estimate"):
        real = getattr(preparing, name)

        def noted(*given, name=name, real=real, **options):
            called.append(name)
            return real(*given, **options)

        monkeypatch.setattr(preparing, name, noted)
    return called


@pytest.mark.parametrize(
    ("overrides", "error", "reached"),
    [
        (["train.init_from=nothing"], RunError, []),
        (["data={source: arrays, path: nothing.npz}", "train.init_from=null"], DataError, ["prepare"]),
    ],
    ids=["weights", "images"],
)
def test_what_fails_first(recipe, monkeypatch, overrides, error, reached):
    called = parts(monkeypatch)
    with pytest.raises(error):
        prepare_training(load_recipe(recipe, overrides), CPU)
    assert called == reached


def test_a_leak_is_found_before_memory_is_asked_for(recipe, monkeypatch):
    called = parts(monkeypatch)
    loaded = load_recipe(recipe)

    def leak(self):
        raise CausalityError("leaks")

    monkeypatch.setattr(loaded.recipe.model.cls, "verify", leak)
    with pytest.raises(CausalityError):
        prepare_training(loaded, CPU)
    assert called == ["prepare", "construct_to_train"]


def test_a_resumed_run_compares_recipe_and_images_before_the_model_is_made(recipe, unsaved, monkeypatch):
    called = parts(monkeypatch)
    run = Run.open(unsaved)
    with pytest.raises(RunError, match="not the one that this run was started with"):
        prepare_training(load_recipe(recipe, ["model.backbone.width=5"]), CPU, run=run)
    assert called == []
    settings = run.settings()
    settings["lock"]["data"]["hashes"]["train"] = "0"
    run.write_settings(settings)
    with pytest.raises(RunError, match="images are not those"):
        prepare_training(load_recipe(recipe), CPU, run=run)
    assert called == ["prepare"]
