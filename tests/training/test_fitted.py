"""Training that does not fit: parts, launched steps, images on the CPU, or a refusal; on a GPU and on a CPU."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from toys import CPU

from pixkit.errors import UsageError
from pixkit.memory import Room
from pixkit.recipe import load_recipe
from pixkit.training import prepare as preparing
from pixkit.training.memory import MemoryEstimate
from pixkit.training.precision import Arithmetic, Choice
from pixkit.training.prepare import prepare_training
from pixkit.training.way import Way

GPU = torch.device("cuda")
REPLAYED = Way("replayed", "why")


class Stepper(SimpleNamespace):
    """A stepper that takes so much memory, and less in parts; `asked` is what it is asked for."""

    def __init__(self, device, *left, graphs=0, halves=(), keeps=True):
        self.asked, found = [], iter(left)
        halving = iter(halves)
        super().__init__(
            device=device, phases="phases", config=SimpleNamespace(recompute=False),
            kernels=SimpleNamespace(heard=nullcontext),
            parts=SimpleNamespace(halve_any=lambda *given: (self.asked.append(("halve", *given)), next(halving))[1]),
            source=SimpleNamespace(keep=lambda free: (self.asked.append(("keep", free)), keeps)[1]),
            estimate=lambda: MemoryEstimate(1, 0, 0, 30, 70, Room("it", 100 + next(found), 999), graphs),
        )  # fmt: skip


@pytest.fixture
def fitted(monkeypatch):
    def estimate(stepper, device, before, *, recorded):
        stepper.asked.append(("estimate", before, recorded))
        assert device is stepper.device
        return stepper.estimate()

    monkeypatch.setattr(preparing, "estimate", estimate)
    said = []

    def fit(stepper, way=REPLAYED, *, resumed=False):
        said.clear()
        memory, found = preparing._fitted(stepper, way, 7, resumed=resumed, say=said.append)
        return memory.left, memory.graphs, found, said

    return fit


ONCE = ("estimate", 7, True)
HALVED = ("halve", 1, "phases")


def test_on_a_cpu_what_fits_is_taken_and_nothing_is_kept_elsewhere(fitted):
    stepper, plain = Stepper(CPU, 0), Way("plain", "")
    assert fitted(stepper, plain) == (0, 0, plain, []) and stepper.asked == [("estimate", 7, False)]


@pytest.mark.parametrize(("device", "resumed", "halves", "asked"), [
    (CPU, False, [], [ONCE]), (GPU, True, [], [ONCE]), (GPU, False, [False], [ONCE, HALVED]),
    (GPU, False, [True, False], [ONCE, HALVED, ONCE, HALVED]),
])  # fmt: skip
@pytest.mark.parametrize("recompute", [False, True])
def test_what_does_not_fit_in_parts_either_is_refused(fitted, device, resumed, halves, asked, recompute):
    stepper = Stepper(device, -2, -1, halves=halves)
    stepper.config.recompute = recompute
    with pytest.raises(UsageError, match="would not fit") as caught:
        fitted(stepper, resumed=resumed)
    assert stepper.asked == asked
    assert caught.value.hint.startswith("free some memory") is resumed
    assert caught.value.hint.startswith("train.recompute=true") is (not resumed and not recompute)


def test_a_new_run_on_a_gpu_takes_as_many_parts_as_it_needs(fitted):
    stepper = Stepper(GPU, -9, -1, 4, graphs=3, halves=[True, True])
    assert fitted(stepper) == (4, 3, REPLAYED, [])
    assert stepper.asked == [ONCE, HALVED, ONCE, HALVED, ONCE, ("keep", 1)]


@pytest.mark.parametrize(("graphs", "kind", "free"), [(5, "replayed", 0), (6, "ahead", 5)])
def test_recorded_steps_have_to_fit_beside_training(fitted, graphs, kind, free):
    stepper = Stepper(GPU, 5, graphs=graphs)
    left, kept, way, said = fitted(stepper)
    assert (left, kept, way.kind) == (5, graphs if kind == "replayed" else 0, kind)
    assert stepper.asked == [ONCE, ("keep", free)]
    reason = "recorded steps take 6 bytes, which would not fit beside training"
    assert said == ([] if kind == "replayed" else [f"no step is recorded: {reason}"])
    assert way == (REPLAYED if kind == "replayed" else Way("ahead", reason))


def test_images_that_there_is_no_room_for_are_copied_there(fitted):
    *_, said = fitted(Stepper(GPU, 5, keeps=False), Way("ahead", ""))
    assert said == ["there is too little memory to keep the images on the device: each batch is copied there"]


def test_the_arithmetic_is_the_recipes_or_measured_once_for_all_ranks(monkeypatch):
    chosen, asked = Choice(Arithmetic("bf16", fused=True), "measured", {"fp32": 0.5}), []
    monkeypatch.setattr(preparing, "choose", lambda *given: (asked.append(given), chosen)[1])
    ranks = SimpleNamespace(alone=True, decided=lambda decide: (asked.append("decided"), decide())[1])
    config = SimpleNamespace(precision="auto", memory_format="contiguous", fuse="on")
    stepper = SimpleNamespace(config=config, ranks=ranks)
    assert preparing._chosen(stepper, print) is chosen and asked == [(stepper, print)]
    ranks.alone = False
    assert preparing._chosen(stepper, print) == chosen and asked[1:] == ["decided", (stepper, print)]
    config.precision = "tf32"
    stated = Choice(Arithmetic("tf32", fused=True), "as the recipe says")
    assert preparing._chosen(stepper, print) == stated and len(asked) == 3


def test_samples_that_would_not_fit_are_refused_before_the_model_is_made(monkeypatch):
    monkeypatch.setattr(preparing, "construct_to_train", lambda *given: pytest.fail("it was made"))
    keys = ["data={source: digits, limit_train: 16, limit_test: 4}", f"sample.count={10**12}"]
    with pytest.raises(UsageError, match="would not fit") as caught:
        prepare_training(load_recipe("digits-pixelcnn", keys), CPU)
    assert caught.value.where == "sample.count" and "pixkit sample" in caught.value.hint
