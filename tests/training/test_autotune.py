"""Choosing the arithmetic of training."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from test_precision import Heard, Spy, small, stepper_of
from toys import CPU, NormedToy, Toy, TwoPhases

from pixkit.errors import RunError
from pixkit.execution.native.fusing import LEANEST
from pixkit.runs.run import Run
from pixkit.training import autotune as choice
from pixkit.training.autotune import choose, pick
from pixkit.training.build import build, dry_run
from pixkit.training.precision import Arithmetic, Choice, locked_choice
from pixkit.training.prepare import prepare_training
from pixkit.training.watch import Interrupt, Interrupted

PLAIN, PLAIN_LAST = Arithmetic("fp32", "contiguous"), Arithmetic("fp32", "channels_last")
TF32, TF32_LAST = Arithmetic("tf32", "contiguous"), Arithmetic("tf32", "channels_last")
HALF, HALF_LAST = Arithmetic("bf16", "contiguous"), Arithmetic("bf16", "channels_last")
LONG = {"steps": 1_000_000}


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((1.0, 1.0, 1.0, 1.0), PLAIN),
        ((1.0, 0.95, 0.9, 0.85), PLAIN),
        ((1.0, 0.9, 2.0, 2.0), PLAIN_LAST),
        ((1.0, 1.0, 0.5, 0.5), HALF),
        ((1.0, 1.0, 0.5, 0.4), HALF_LAST),
        ((1.0, 0.6, 0.5, 0.5), PLAIN_LAST),
        ((1.0, 1.2, 0.85, 0.79), PLAIN),
        ((1.0, 1.2, 0.85, 0.7), HALF_LAST),
        ((1.0, 1.0, 0.8, 0.8), HALF),
        ((1.0, 1.0, 0.8125, 0.8125), PLAIN),
        ((1.1, 1.0, 9.0, 9.0), PLAIN_LAST),
        ((1.0625, 1.0, 9.0, 9.0), PLAIN),
    ],
)
def test_only_what_is_clearly_faster_is_taken(times, expected):
    assert pick(dict(zip((PLAIN, PLAIN_LAST, HALF, HALF_LAST), times, strict=True)), PLAIN) == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((347, 340, 167, 165, 168, 181), TF32),
        ((347, 340, 167, 150, 168, 181), TF32_LAST),
        ((347, 340, 167, 165, 130, 140), HALF),
        ((100, 100, 95, 95, 90, 90), PLAIN),
        ((100, 100, 90, 95, 80, 90), TF32),
        ((100, 80, 79, 95, 63, 90), HALF),
    ],
)
def test_coarser_products_are_taken_only_where_they_are_clearly_faster_than_all_finer_ones(times, expected):
    order = (PLAIN, PLAIN_LAST, TF32, TF32_LAST, HALF, HALF_LAST)
    assert pick(dict(zip(order, times, strict=True)), PLAIN) == expected


def test_tf32_is_measured_where_the_device_has_it(monkeypatch):
    clock = Clock(monkeypatch)
    clock.seconds |= {TF32: 0.35, TF32_LAST: 0.35}
    assert not {TF32, TF32_LAST} & set(choose(stepper_of(**LONG)).seconds)
    monkeypatch.setattr(choice, "has_tf32", lambda device: True)
    found = choose(stepper_of(**LONG))
    assert found.arithmetic == TF32 and set(found.seconds) == set(map(str, clock.seconds))


def test_what_could_not_be_measured_is_not_taken():
    assert pick({PLAIN: 1.0, HALF_LAST: 0.5}, PLAIN) == HALF_LAST
    assert pick({PLAIN: 1.0}, PLAIN) == PLAIN
    assert pick({HALF: 1.0, HALF_LAST: 0.5}, HALF) == HALF_LAST


class Clock:
    """Seconds that stand in for the measured ones; keeps what was asked for."""

    def __init__(self, monkeypatch, **seconds):
        self.seconds = {PLAIN: 1.0, PLAIN_LAST: 1.0, HALF: 0.4, HALF_LAST: 0.3} | {
            arithmetic: seconds.get(name, 1.0)
            for name, arithmetic in {"plain": PLAIN, "half": HALF}.items()
            if name in seconds
        }
        self.asked = []
        self.real = choice.seconds_of
        monkeypatch.setattr(choice, "seconds_of", self)

    def __call__(self, stepper, arithmetic):
        self.asked.append(arithmetic)
        self.real(stepper, arithmetic)
        return self.seconds[arithmetic]


def test_the_fastest_is_taken_and_the_figures_are_kept(monkeypatch):
    clock = Clock(monkeypatch)
    found = choose(stepper_of(**LONG))
    assert found.arithmetic == HALF_LAST
    assert found.seconds == {str(key): value for key, value in clock.seconds.items()}
    assert str(found).startswith("bf16, channels_last: measured (seconds a batch: fp32, contiguous 1; ")
    # Two before it is known to be worth it, a first time of the three others; then turns, the hopeless left out.
    assert len(clock.asked) == 2 + 3 + 4 + 2 * (choice.MOST_TURNS - 1)


@pytest.mark.parametrize(
    ("plain", "steps", "asked"), [(1e-6, 1_000_000, 2), (10.0, 400, 0), (10.0, 479, 0), (29.0 / 512, 512, 2)]
)
def test_a_training_that_is_too_short_is_not_measured(monkeypatch, plain, steps, asked):
    clock = Clock(monkeypatch, plain=plain)
    found = choose(stepper_of(steps=steps))
    assert (found.arithmetic, found.seconds) == (PLAIN, {})
    assert "too short" in str(found)
    assert len(clock.asked) == asked


@pytest.mark.parametrize(("plain", "train"), [
    (30.0 / 512, {"steps": 512}), (10.0, {"steps": 480}), (10.0, {"steps": 160, "accumulate": 3}),
])  # fmt: skip
def test_one_that_is_just_long_enough_is(monkeypatch, plain, train):
    """Of half a minute, and of twenty times the batches that measuring takes: six turns of four ways."""
    Clock(monkeypatch, plain=plain)
    assert choose(stepper_of(**train)).reason == "measured"


@pytest.mark.parametrize(("each", "turns"), [(0.25, 5), (0.5, 4), (0.75, 3), (9.0, 3)])
def test_there_are_three_turns_at_least_and_five_at_most_and_more_than_three_only_within_three_seconds(
    monkeypatch, each, turns
):
    clock = Clock(monkeypatch)
    clock.seconds = {PLAIN: each, PLAIN_LAST: each}
    monkeypatch.setattr(choice, "time", SimpleNamespace(perf_counter=lambda: len(clock.asked) * each))
    choose(stepper_of(precision="fp32", **LONG))
    assert len(clock.asked) == 2 + 1 + 2 * turns


def test_what_takes_twice_the_fastest_time_has_one_turn(monkeypatch):
    clock = Clock(monkeypatch)
    clock.seconds = {PLAIN: 0.4, PLAIN_LAST: 0.2}
    found = choose(stepper_of(precision="fp32", **LONG))
    assert found.arithmetic == PLAIN_LAST
    assert clock.asked[3:] == [PLAIN, *[PLAIN_LAST] * 5]


def test_what_the_recipe_says_is_not_measured(monkeypatch):
    clock = Clock(monkeypatch)
    stated = small("train.steps=1000000", "train.precision=bf16", "train.memory_format=channels_last")
    assert prepare_training(stated, CPU).choice == Choice(HALF_LAST, "as the recipe says")
    assert clock.asked == []
    single = "model.backbone.layers=0", "model.backbone.output_layers=0"  # without blocks, which may be fused or not
    half_open = small(*single, "train.steps=1000000", "train.precision=fp32", "train.memory_format=auto")
    assert prepare_training(half_open, CPU).choice.arithmetic == PLAIN
    assert set(clock.asked) == {PLAIN, PLAIN_LAST}


class SingleOnly(Spy):
    """Code that half precision breaks."""

    def score(self, batch):
        nats = super().score(batch)
        if self.seen[-1].dtype != torch.float32:
            raise RuntimeError("expected Float but found BFloat16\nand a trace")
        return nats


def test_what_the_model_cannot_do_is_said_and_not_taken(monkeypatch):
    Clock(monkeypatch)
    found = choose(stepper_of(SingleOnly, **LONG))
    assert found.arithmetic == PLAIN
    assert set(found.seconds) == {str(PLAIN), str(PLAIN_LAST)}
    assert "not bf16, contiguous: RuntimeError: expected Float but found BFloat16;" in found.reason


@pytest.mark.parametrize("model", [NormedToy, TwoPhases, Spy])
def test_measuring_leaves_no_trace(monkeypatch, model):
    clock = Clock(monkeypatch)
    stepper = stepper_of(model, **LONG)
    stepper.model.eval()
    before = {name: value.clone() for name, value in stepper.model.state_dict().items()}
    state = torch.random.get_rng_state()
    choose(stepper)
    assert clock.asked
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, value in stepper.model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in stepper.model.parameters())
    assert not any(module.training for module in stepper.model.modules())
    row = stepper.make(1)
    monkeypatch.undo()
    assert row == stepper_of(model, **LONG).make(1)


def test_a_signal_ends_it(monkeypatch):
    clock, interrupt = Clock(monkeypatch), Interrupt()
    interrupt.signal = 2
    with pytest.raises(Interrupted):
        choose(stepper_of(**LONG), interrupt.check)
    assert len(clock.asked) == 1


def test_seconds_are_those_of_every_phase():
    stepper = stepper_of(TwoPhases)
    seen = []
    for trained in stepper.phases:

        def spied(batch, step, original=trained.phase.loss, name=trained.name):
            seen.append(name)
            return original(batch, step)

        object.__setattr__(trained.phase, "loss", spied)
    assert choice.seconds_of(stepper, PLAIN) > 0
    assert seen == ["first", "second"]


def test_the_device_is_waited_for_whenever_the_clock_is_read(monkeypatch):
    events = []
    wait = choice.wait
    monkeypatch.setattr(choice, "wait", events.append)
    monkeypatch.setattr(choice, "time", SimpleNamespace(perf_counter=lambda: events.append("clock") or len(events)))
    assert choice.seconds_of(stepper_of(Toy), PLAIN) == 2
    assert events == [CPU, "clock", CPU, "clock"]
    monkeypatch.setattr(torch.cuda, "synchronize", events.append)
    wait(CPU)
    wait(torch.device("cuda", 1))
    assert events[4:] == [torch.device("cuda", 1)]


def test_a_run_keeps_to_what_was_measured_at_its_start(tmp_path, monkeypatch):
    given, kept = Choice(HALF_LAST, "measured", {str(PLAIN): 0.51234, str(HALF_LAST): 0.2}), []
    monkeypatch.setattr("pixkit.training.build.keeping", lambda: kept.append("memory") or nullcontext())
    monkeypatch.setattr("pixkit.training.prepare.choose", lambda stepper, watch: given)
    open_recipe = ("train.precision=auto", "train.memory_format=auto", "train.schedule.type=constant")
    heard = Heard()
    whole = build(small(*open_recipe), tmp_path / "whole", device="cpu", reporter=heard).run
    assert [text for text in heard.texts if text.startswith("training in bf16, channels_last: measured")]
    assert kept == ["memory"]
    lock = whole.settings()["lock"]["arithmetic"]
    assert lock == {
        "precision": "bf16",
        "memory_format": "channels_last",
        "products": "ieee",
        "lean": LEANEST,
        "reason": "measured",
        "seconds": {"fp32, contiguous": 0.512, "bf16, channels_last": 0.2},
    }
    build(small(*open_recipe, "train.steps=5"), tmp_path / "cut", device="cpu")
    monkeypatch.setattr("pixkit.training.prepare.choose", None)
    cut = build(small(*open_recipe), tmp_path / "cut", device="cpu", resume=True).run
    assert cut.settings()["lock"]["arithmetic"] == lock
    for name in ("model", "ema", "optimizer"):
        files = [run.checkpoint("last") / f"{name}.safetensors" for run in (whole, cut)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_run_that_is_older_than_the_choice_goes_on_plainly():
    found = locked_choice({}, "here")
    assert (found.arithmetic, found.seconds) == (Arithmetic(unstated=True, lean=0), {})


def test_a_run_from_before_float32_meant_all_its_bits_goes_on_as_torch_does_by_itself():
    said = {"precision": "fp32", "memory_format": "contiguous", "reason": "measured", "seconds": {}}
    found = locked_choice({"arithmetic": said}, "here")
    assert found.arithmetic.products == "mixed"
    assert found.dump() == said | {"products": "mixed"}
    assert locked_choice({"arithmetic": found.dump()}, "here") == found
    for arithmetic in (PLAIN, TF32, HALF):
        dumped = Choice(arithmetic, "").dump()
        assert dumped["products"] == ("tf32" if arithmetic == TF32 else "ieee")
        assert locked_choice({"arithmetic": dumped}, "here").arithmetic == arithmetic


SAID = {"precision": "fp32", "memory_format": "contiguous", "products": "ieee", "reason": "why", "seconds": {}}


@pytest.mark.parametrize(("said", "fused", "lean"), [
    ({}, False, 0), ({"fused": True, "lean": LEANEST}, True, LEANEST), ({"lean": True}, False, 1),
    ({"lean": False}, False, 0),
])  # fmt: skip
def test_a_lock_says_whether_it_is_fused_and_which_shortcuts_are_taken(said, fused, lean):
    found = locked_choice({"arithmetic": SAID | {"seconds": {"fp32": 2}} | said}, "here")
    assert found == Choice(Arithmetic(fused=fused, lean=lean), "why", {"fp32": 2.0})


@pytest.mark.parametrize(
    "text",
    [
        "bf16",
        {"precision": "fp16", "memory_format": "contiguous", "reason": "", "seconds": {}},
        {"precision": "tf32", "memory_format": "contiguous", "products": "ieee", "reason": "", "seconds": {}},
        {"reason": ""},
        SAID | {"memory_format": "sideways"},
        SAID | {"fused": "yes"},
        SAID | {"lean": 1.5},
        SAID | {"lean": -1},
        SAID | {"lean": LEANEST + 1},
        SAID | {"seconds": {"fp32": "long"}},
    ],
)
def test_a_lock_that_says_no_arithmetic_is_refused(text):
    with pytest.raises(RunError, match="not an arithmetic"):
        locked_choice({"arithmetic": text}, "here")


def test_a_short_build_and_its_dry_run_say_so(tmp_path):
    heard = Heard()
    loaded = small("train.precision=auto")
    run = build(loaded, tmp_path / "run", device="cpu", reporter=heard).run
    assert "training in fp32, contiguous: too short a training to measure" in heard.texts
    assert Run.open(run.path).settings()["lock"]["arithmetic"]["seconds"] == {}
    assert dry_run(loaded, "cpu").arithmetic == "fp32, contiguous: too short a training to measure"
    assert dry_run(small("train.precision=bf16", "train.memory_format=contiguous"), "cpu").arithmetic == (
        "bf16, contiguous: as the recipe says"
    )


def test_the_end_of_a_build_tells_how_far_it_is(tmp_path):
    heard = Heard()
    build(small("train.steps=1"), tmp_path / "run", device="cpu", reporter=heard)
    whats = list(dict.fromkeys(what for what, _, _ in heard.work))
    scored = [f"scoring {split} ({kind})" for kind in ("raw", "ema") for split in ("train", "validation", "test")]
    assert whats == [*scored, "sampling"]
    last = {what: (done, total) for what, done, total in heard.work}
    assert all(done == total for done, total in last.values())
    assert last["scoring test (ema)"] == (20, 20)
