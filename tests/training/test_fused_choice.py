"""Which builds fuse: where a GPU's operations were measured to be faster, and a resumed run as it was begun."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_autotune import LONG, Clock
from test_precision import Heard, stepper_of
from toys import CPU

from pixkit.data.dataset import BatchSequence
from pixkit.errors import RunError
from pixkit.execution.cuda.nvrtc import NoKernel
from pixkit.execution.native.fusing import LEANEST
from pixkit.recipe import load_recipe
from pixkit.training import autotune, precision
from pixkit.training.autotune import choose
from pixkit.training.build import build
from pixkit.training.precision import Arithmetic, Choice, locked_choice, obstacle
from pixkit.training.prepare import construct_to_train, prepare_training
from pixkit.training.step import Stepper

sys.path.append(str(Path(__file__).resolve().parents[1] / "execution"))

from fused import Launched, fused

FUSED = Arithmetic(fused=True)
FUSED_LAST = Arithmetic("fp32", "channels_last", fused=True)
SMALL = (
    *("data={source: digits, limit_train: 40, limit_test: 8}", "train.batch_size=4", "train.steps=1"),
    *("model.backbone.filters=4", "model.backbone.resnets=1", "model.backbone.hierarchies=1", "sample.count=1"),
)


def small(*overrides):
    return load_recipe("cifar10-pixelcnnpp", [*SMALL, *overrides])


@pytest.mark.parametrize(("seconds", "expected"), [(0.5, FUSED), (0.95, Arithmetic())])
def test_what_is_clearly_faster_fused_is_fused(monkeypatch, seconds, expected):
    clock = Clock(monkeypatch)
    clock.seconds |= {FUSED: seconds, FUSED_LAST: seconds}
    clock.real = lambda stepper, arithmetic: None
    monkeypatch.setattr(autotune, "obstacle", lambda model, device: None)
    found = choose(stepper_of(**LONG, precision="fp32"))
    assert found.arithmetic == expected
    assert {"fp32, contiguous", "fp32, contiguous, fused"} <= set(found.seconds)
    assert set(_asked(monkeypatch, fuse="on")) == {FUSED, FUSED_LAST}
    off = {replace(one, fused=False, lean=0) for one in (FUSED, FUSED_LAST)}
    assert set(_asked(monkeypatch, off, fuse="off")) == off


def test_what_the_gpu_refuses_to_launch_is_not_fused(monkeypatch):
    clock = Clock(monkeypatch)
    clock.seconds |= {FUSED: 0.1, FUSED_LAST: 0.1}

    def refused(stepper, arithmetic):
        if arithmetic.fused:
            raise NoKernel("CUDA refuses cuLaunchKernel", found="invalid argument")

    clock.real = refused
    monkeypatch.setattr(autotune, "obstacle", lambda model, device: None)
    found = choose(stepper_of(**LONG, precision="fp32"))
    assert found.arithmetic == Arithmetic() and "not fp32, contiguous, fused: NoKernel: CUDA refuses" in found.reason


def test_of_a_training_that_is_too_short_to_measure_nothing_is_compiled(monkeypatch):
    asked = []
    monkeypatch.setattr(autotune, "obstacle", lambda model, device: asked.append(model))
    monkeypatch.setattr(autotune, "seconds_of", lambda stepper, arithmetic: 0.01)
    for steps, fuse, times in ((100, "auto", 0), (900, "auto", 0), (1000, "auto", 1), (100, "on", 2), (1000, "off", 2)):
        found = choose(stepper_of(steps=steps, fuse=fuse))
        assert found.reason == "too short a training to measure" and len(asked) == times
        assert found.arithmetic.fused == (fuse == "on")


def _asked(monkeypatch, ways=(FUSED, FUSED_LAST), **train):
    clock = Clock(monkeypatch)
    clock.seconds |= dict.fromkeys(ways, 1.0)
    clock.real = lambda stepper, arithmetic: None
    choose(stepper_of(**LONG, precision="fp32", **train))
    return clock.asked


def test_the_lock_says_so_and_a_cpu_without_a_compiler_goes_on_plainly(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    begun = Choice(FUSED, "measured", {"fp32, contiguous, fused": 0.5})
    locked = locked_choice({"arithmetic": begun.dump()}, "run")
    assert locked == begun and "fused" not in Choice(Arithmetic(), "").dump()
    model = construct_to_train(small().recipe, prepare_training(small(), CPU).dataset, CPU)
    there = locked.on(CPU, model)
    assert there.arithmetic == Arithmetic() and "no-such-compiler" in there.reason
    (change,) = locked.changes(there)
    assert (change.path, change.old, change.new) == ("arithmetic.fused", True, False)
    for name, value in (("fused", "yes"), ("fused", 1), ("lean", "yes"), ("lean", -1), ("lean", LEANEST + 1)):
        with pytest.raises(RunError, match="not an arithmetic"):
            locked_choice({"arithmetic": {**begun.dump(), name: value}}, "run")


def test_a_run_from_before_lean_steps_goes_on_with_its_digits():
    lock = Choice(FUSED, "measured").dump()
    assert lock["lean"] == LEANEST and locked_choice({"arithmetic": lock}, "run").arithmetic == FUSED
    assert locked_choice({"arithmetic": {**lock, "lean": True}}, "run").dump()["lean"] == 1
    del lock["lean"]
    assert locked_choice({"arithmetic": lock}, "run").arithmetic == replace(FUSED, lean=0)
    off = stepper_of(fuse="off", precision="fp32", memory_format="contiguous").config
    assert not Choice.stated(off).arithmetic.lean and "lean" not in Choice.stated(off).dump()


def test_without_a_compiler_nothing_is_fused_and_that_is_said_where_the_recipe_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    told = Heard()
    monkeypatch.setattr("pixkit.training.build.final_results", lambda run, *rest, **options: ([], None))
    result = build(small("train.fuse=on"), tmp_path / "run", device="cpu", reporter=told)
    assert any("train.fuse: on has no effect: " in text and "no-such-compiler" in text for text in told.texts)
    assert "fused" not in result.run.settings()["lock"]["arithmetic"]


def test_a_model_without_such_layers_or_with_hooks_is_not_fused(monkeypatch):
    monkeypatch.setattr(precision, "fused_operations", lambda device, **lean: fused())
    model = construct_to_train(small().recipe, prepare_training(small(), CPU).dataset, CPU)
    assert obstacle(model, CPU) is None
    assert "no layer" in obstacle(torch.nn.Linear(1, 1), CPU)
    model.network.backbone.left_stream.falling[0][0].first.register_forward_hook(lambda *given: None)
    assert "a hook of" in obstacle(model, CPU)


@pytest.mark.needs_compiler
def test_a_fused_step_is_the_plain_one_but_for_rounding(monkeypatch):
    launched = Launched()
    monkeypatch.setattr(precision, "fused_operations", lambda device, **lean: precision_operations(launched))
    recipe = small("model.backbone.dropout=0").recipe
    rows = []
    for arithmetic in (Arithmetic(), FUSED):
        torch.manual_seed(0)
        dataset = prepare_training(small(), CPU).dataset
        model = construct_to_train(recipe, dataset, CPU)
        torch.manual_seed(0)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        stepper = Stepper(model, BatchSequence(dataset, 4, 0), recipe.train, 0, CPU)
        stepper.arithmetic = arithmetic
        rows.append(stepper.make(1))
        assert bool(launched.names) is arithmetic.fused
    for name, value in rows[0].items():
        assert rows[1][name] == pytest.approx(value, rel=1e-4)


def precision_operations(launched):
    from pixkit.execution.cuda.fusing import FusedOperations

    return FusedOperations(launched)
