"""Steps that are timed: on which images, how many in a turn, and as a build makes them."""

from types import SimpleNamespace

import pytest
import torch
from toys import CPU, Toy, toy_model, toy_recipe

from pixkit.context import ContextSpec
from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.memory import Room
from pixkit.training import timed
from pixkit.training.memory import MemoryEstimate
from pixkit.training.throughput import plain
from pixkit.training.timed import Timed, made_up

GIB = 1 << 30


def test_images_of_every_level_are_made_up_with_labels_and_arrays():
    arrays = ContextSpec("codes", (2, 3), 5), ContextSpec("small", (1, 2, 1), 300, shrink=2), ContextSpec("v", (1,))
    data = made_up(ImageSpec(1, 4, 2, 300, context=arrays), 7, 50)
    assert [data.size(split) for split in data.SPLITS] == [50] * 3 and (data.classes, data.notes) == (7, ())
    batch = data.batch("train", torch.arange(50))
    assert batch.x.shape == (50, 1, 4, 2) and batch.x.min() == 0 and 255 < batch.x.max() < 300
    assert sorted(set(batch.labels.tolist())) == list(range(7))
    codes, number = batch.context[:, :6], batch.context[:, -1]
    assert batch.context.shape == (50, 6 + 2 + 1) and (codes.max(), number.max()) == (4, 1)
    for split in ("validation", "test"):
        assert torch.equal(data.batch(split, torch.arange(50)).x, batch.x)
    again = made_up(ImageSpec(1, 4, 2, 300), None, 50).batch("train", torch.arange(50))
    assert torch.equal(again.x, batch.x) and again.labels is None and again.context is None


class Clocked(Toy):
    """A step of it takes 0.15 seconds of a clock that nothing else moves."""

    def loss(self, batch, step):
        self.made.append(step)
        return super().loss(batch, step)


class Averages(list):
    def __call__(self, model, decay):
        self.append(decay)
        return SimpleNamespace(update=lambda model, step: self.append(step))


@pytest.fixture
def begun(monkeypatch):
    """Steps of a toy, the step numbers of its losses, and what its average was told."""

    def foreseen(stepper, device, *, recorded):
        assert (device, recorded) == (CPU, False)
        return found[0]

    found = []
    monkeypatch.setattr(timed, "estimate", foreseen)

    def begin(room=4 * GIB, **train):
        recipe = toy_recipe(Clocked, **train)
        (model, _), averages = toy_model(recipe), Averages()
        model.made = []
        monkeypatch.setattr(timed.time, "perf_counter", lambda: 0.15 * len(model.made))
        monkeypatch.setattr(timed, "Ema", averages)
        found[:] = [MemoryEstimate(1, 10 * GIB, 3, 50, 700, Room("the machine", room, GIB), 9000)]
        return Timed(model, 3, plain(recipe.train), CPU), model.made, averages

    return begin


def test_a_turn_takes_half_a_second_and_the_same_number_of_steps_each_time(begun):
    steps, made, averages = begun(steps=1, batch_size=3, accumulate=2)
    assert (steps.images, steps.memory, made) == (6, 3 + 50 + 700 + 9000, [])
    assert steps.stepper.sequence.dataset.size("train") == timed.BATCHES * 3
    assert steps.stepper.config.steps == 10**9  # they never end
    assert steps.turn() == pytest.approx(0.3)
    numbers = [*range(1, 3), 3, *range(4, 6)]  # to warm up, to see how long one takes, and the turn
    assert made == [step for step in numbers for _ in range(2)] and averages == [0.9, *numbers]
    assert steps.turn() == pytest.approx(0.3) and made[-1] == 7 and len(made) == 14 and averages[-1] == 7


def test_a_gpu_warms_up_for_longer_and_tells_its_peak(begun, monkeypatch):
    steps, made, averages = begun(ema=0.0)
    told = []
    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda device, name=name: told.append((name, len(made))))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 123)
    steps._device = torch.device("cuda")
    assert steps.turn() == pytest.approx(0.15)
    assert averages == [] and made == list(range(1, 8 + 1 + 4 + 1)) and steps.memory == 123
    waits = [("synchronize", count) for count in (0, 8, 8, 9, 9, 13)]
    assert told == [*waits[:4], ("reset_peak_memory_stats", 9), *waits[4:]]


@pytest.mark.parametrize("recompute", [False, True])
def test_what_would_not_fit_is_refused_before_a_step(begun, recompute):
    begun(room=750)
    with pytest.raises(UsageError, match="would not fit") as caught:
        begun(room=749, recompute=recompute)
    assert caught.value.hint.startswith("train.recompute=true") is not recompute
