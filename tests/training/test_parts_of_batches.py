"""In how many parts batches are taken, from which step on, and what is said of it."""

from types import SimpleNamespace

import pytest
from torch import nn

from pixkit.training.parts import Parts


def phase(name="loss", mean=True):
    return SimpleNamespace(name=name, phase=SimpleNamespace(mean=mean))


def test_parts_are_twice_as_many_each_time_until_they_are_single_images():
    parts = Parts(nn.Linear(1, 1), 7)
    assert (parts.of(9, "loss"), parts.last("loss"), parts.images("loss"), parts.news()) == (1, 1, 7, [])
    found = []
    for step in (3, 5, 5):
        assert parts.halve(step, phase()) is None
        found.append((parts.of(step, "loss"), parts.last("loss"), parts.images("loss")))
    assert found == [(2, 2, 4), (4, 4, 2), (7, 7, 1)]
    assert [parts.of(step, "loss") for step in range(1, 7)] == [1, 1, 2, 2, 7, 7]
    assert (parts.of(9, "other"), parts.last("other"), parts.images("other")) == (1, 1, 7)
    assert parts.halve(6, phase()) == "a part is one image already"
    first, *more = parts.news()
    assert first == (
        "from step 3 on a batch of phase 'loss', 7 images, is taken in 2 parts, for lack of memory; "
        "a step sees the same images"
    )
    assert len(more) == 2 and "in 7 parts" in more[1] and parts.news() == []
    assert parts.halve(6, phase("other")) is None
    assert [text.split(",")[0] for text in parts.news()] == ["from step 6 on a batch of phase 'other'"]


def test_a_lock_says_them_and_they_are_no_news_then():
    parts, again = Parts(nn.Linear(1, 1), 8), Parts(nn.Linear(1, 1), 8)
    parts.halve(2, phase())
    parts.halve(4, phase("other"))
    assert parts.dump() == [
        {"step": 2, "phase": "loss", "parts": 2},
        {"step": 4, "phase": "other", "parts": 2},
    ]
    again.load(parts.dump())
    assert again.dump() == parts.dump() and again.news() == []
    again.halve(5, phase())
    assert again.of(5, "loss") == 4 and len(again.news()) == 1


def test_ranks_take_the_parts_that_any_of_them_needs_and_say_those_that_are_new():
    parts = Parts(nn.Linear(1, 1), 8)
    parts.halve(2, phase())
    parts.news()
    others = [{"step": 1, "phase": "other", "parts": 2}, {"step": 2, "phase": "loss", "parts": 4}]
    parts.share(SimpleNamespace(gather=lambda own: [own, [], own + others]))
    assert parts.dump() == [{"step": 2, "phase": "loss", "parts": 2}, *others]
    assert (parts.of(2, "loss"), parts.of(1, "other"), len(parts.news())) == (4, 2, 2)


@pytest.mark.parametrize(("model", "mean", "why"), [
    (nn.Linear(1, 1), False, "Phase.mean"), (nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)), True, "BatchNorm"),
])  # fmt: skip
def test_what_cannot_be_taken_in_parts_is_left_whole(model, mean, why):
    parts = Parts(model, 8)
    assert why in parts.halve(1, phase(mean=mean))
    assert (parts.of(1, "loss"), parts.dump()) == (1, [])
    assert not parts.halve_any(1, [phase(mean=mean)])


def test_of_several_phases_those_that_can_are_halved():
    parts = Parts(nn.Linear(1, 1), 8)
    assert parts.halve_any(1, [phase("one", mean=False), phase("two")])
    assert (parts.of(1, "one"), parts.of(1, "two")) == (1, 2)


@pytest.mark.parametrize(("size", "halved", "where", "smaller"), [
    (7, 1, "step 4, phase 'loss', 4 images at once", "train.batch_size=2, with train.accumulate for"),
    (7, 3, "step 4, phase 'loss', 1 images at once", "a smaller model"),
    (2, 0, "step 4, phase 'loss', 2 images at once", "train.batch_size=1, with"),
])  # fmt: skip
def test_memory_that_does_for_no_part_is_said_with_what_to_try(size, halved, where, smaller):
    parts = Parts(nn.Linear(1, 1), size)
    for _ in range(halved):
        parts.halve(4, phase())
    error = parts.exhausted(4, phase(), "so it is", RuntimeError("CUDA out of memory. Tried to allocate 2 GiB."))
    assert (error.where, error.found) == (where, "CUDA out of memory")
    assert error.expected.endswith("because so it is") and f"make a new run with {smaller}" in error.hint
