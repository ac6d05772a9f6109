"""Every verb refuses what would not fit the memory before it begins, and says what that would take."""

from pathlib import Path

import pytest
import torch

from pixkit.data import prepare
from pixkit.errors import DataError, UsageError
from pixkit.execution import choose as executors
from pixkit.image import ImageSpec
from pixkit.memory import Room, guard
from pixkit.memory.forecast import MORE
from pixkit.models import AutoregressiveModel
from pixkit.noise import Noise
from pixkit.runs import load
from pixkit.samplers import sampler_for
from pixkit.tasks.bench import bench
from pixkit.tasks.complete import complete
from pixkit.tasks.evaluate import evaluate
from pixkit.tasks.sample import sample
from pixkit.tasks.verify import verify
from pixkit.testing import component, named

SPEC = ImageSpec(1, 4, 4, 3)
ABSURD = 10**12


@pytest.fixture(scope="module")
def model():
    backbone = {"type": "pixelcnn", "width": 8, "layers": 1, "first_kernel": 3, "output_layers": 1}
    return named("model", "autoregressive", backbone=backbone).build(SPEC, None).eval()


@pytest.fixture
def little(monkeypatch):
    """A machine with hardly anything free, where everything is asked about."""
    room = Room("the machine", 1 << 12, 1 << 30)
    monkeypatch.setattr(guard, "LITTLE", 0)
    monkeypatch.setattr(guard, "available", lambda device: room)
    monkeypatch.setattr(executors, "available", lambda device: room)


def refused(call):
    with pytest.raises(UsageError, match="would not fit into the free memory") as caught:
        call()
    error = caught.value
    assert error.found
    assert error.expected.startswith("at most")
    assert error.hint
    return error


def test_absurdly_many_images_are_refused_before_any_is_drawn(model):
    error = refused(lambda: sample(model, ABSURD, progress=lambda *_: pytest.fail("drew")))
    assert error.where == "n"
    assert "TiB" in error.found
    refused(lambda: model.sample(ABSURD))
    refused(lambda: model.sample(ABSURD, batch_size=ABSURD))


def test_absurdly_many_completions_are_refused(model):
    known = torch.zeros(SPEC.shape, dtype=torch.bool)
    image = torch.zeros(1, *SPEC.shape, dtype=torch.int64)
    assert refused(lambda: complete(model, image, known, ABSURD)).where == "n"


def test_absurd_batches_are_not_timed(model):
    assert refused(lambda: bench(model, [ABSURD])).where == "batch_size"


@pytest.mark.parametrize("sampler", ["ancestral", "fixed_point"])
def test_a_batch_whose_forward_pass_does_not_fit_is_refused(model, little, sampler):
    error = refused(lambda: sampler_for(sampler).draw(model.network, Noise(0, range(200))))
    assert (error.where, "200 images" in error.found) == ("batch_size", True)


@pytest.mark.parametrize("executor", ["reference", "eager", pytest.param("native", marks=pytest.mark.needs_compiler)])
def test_a_batch_that_an_executor_has_no_room_for_is_refused(model, little, executor):
    sampler = named("sampler", "cached", executor=executor).build()
    assert "drawing 200 images" in str(refused(lambda: sampler.draw(model.network, Noise(0, range(200)))))


def test_a_batch_that_cannot_be_scored_is_refused(little):
    dataset = prepare(named("data", "digits", limit_train=100, limit_test=50), Path())
    backbone = {"type": "pixelcnn", "width": 8, "layers": 1}
    digits = named("model", "autoregressive", backbone=backbone).build(dataset.spec, None)
    for size, images in ((50, 50), (5, 5), (500, 50)):
        error = refused(lambda size=size: evaluate(digits, dataset, batch_size=size))
        assert (error.where, f"scoring {images} images" in error.found) == ("batch_size", True)
    assert evaluate(digits, dataset, batch_size=MORE).images == 50, "so few are not asked about"


class Unscored(AutoregressiveModel):
    """Has no likelihood."""

    score_kind = "none"


def test_what_cannot_be_scored_at_all_is_said_before_what_it_would_take(model, little):
    dataset = prepare(named("data", "digits", limit_train=100, limit_test=50), Path())
    with pytest.raises(DataError, match="do not fit the model"):
        evaluate(model, dataset, batch_size=50)
    backbone = {"type": "pixelcnn", "width": 8, "layers": 1}
    with pytest.raises(UsageError, match="the model gives no likelihood"):
        evaluate(component("model", Unscored, backbone=backbone).build(dataset.spec, None), dataset, batch_size=50)


def test_a_network_that_does_not_fit_is_refused_by_every_verb_that_makes_one(monkeypatch):
    monkeypatch.setattr(load, "available", lambda device: Room("the machine", 1 << 16, 1 << 30))
    for verb in (verify, bench):
        assert "so far" in refused(lambda verb=verb: verb("digits-pixelcnn")).found


def test_exhausted_memory_is_said_in_words(model, monkeypatch):
    def exhausted(*_):
        raise MemoryError("no more")

    monkeypatch.setattr(type(model), "draw", exhausted)
    with pytest.raises(UsageError, match="memory is exhausted") as caught:
        sample(model, 2)
    assert "batch_size" in caught.value.hint
