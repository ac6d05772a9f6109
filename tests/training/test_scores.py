"""Scores of images."""

import math
from types import SimpleNamespace

import pytest
import torch
from toys import Measured, NormedToy, Toy, Unscored, toy_dataset, toy_model, toy_recipe

from pixkit.errors import UsageError
from pixkit.tasks.score import active_units, score
from pixkit.tasks.scores import Scores


class Indexed(Toy):
    """Scores each image with its own number; and remembers."""

    def score(self, batch):
        self.seen = [*getattr(self, "seen", []), *batch.indices.tolist()]
        assert not self.training
        assert not torch.is_grad_enabled()
        return batch.indices.float()


class Drawing(Toy):
    """A bound, drawn anew at each call."""

    score_kind = "bound"

    def score(self, batch):
        return torch.rand(len(batch.x))


class Split(Toy):
    """A bound with two parts, one of them drawn, and an estimate that is told its count."""

    score_kind = "bound"

    def assess(self, batch):
        first, second = batch.indices.float(), torch.rand(len(batch.x))
        return {"nats": first + second, "first": first, "second": second}

    def importance(self, batch, count, progress=None):
        for done in range(count):
            progress(done + 1, count)
        return torch.full((len(batch.x),), float(count))


def made(cls):
    return toy_model(toy_recipe(cls))


@pytest.mark.parametrize("batch_size", [1, 2, 4, 7, 10, 11, 100])
def test_images_count_alike_whatever_the_batches(batch_size):
    model, dataset = made(Indexed)
    scores = score(model, dataset, "test", batch_size)
    assert scores.images == 11
    assert scores.nats == pytest.approx(5.0)
    assert scores.stderr == pytest.approx(math.sqrt(11.0) / math.sqrt(11))  # the variance of 0..10 is 11
    assert scores.bits_per_dim == pytest.approx(5 / (6 * math.log(2)))
    assert (scores.split, scores.weights, scores.kind) == ("test", "raw", "exact")
    assert model.training


def test_real_scores_equal_the_mean_of_single_images():
    model, dataset = made(NormedToy)
    model.eval()
    batch = next(dataset.batches("test", 11))
    with torch.no_grad():
        singly = torch.cat([model.score(dataset.batch("test", index.view(1))) for index in batch.indices])
    model.train()
    assert score(model, dataset, "test", 4).nats == pytest.approx(float(singly.double().mean()), rel=1e-6)


def test_a_limit_takes_a_seeded_choice_spread_over_the_split():
    model, dataset = made(Indexed)
    assert score(model, dataset, "train", 4, limit=9).images == 9
    first = model.seen
    model.seen = []
    score(model, dataset, "train", 2, limit=9)
    assert model.seen == first
    assert len(set(first)) == 9
    assert first != list(range(9))
    model.seen = []
    score(model, dataset, "train", 4, limit=9, seed=1)
    assert model.seen != first
    model.seen = []
    assert score(model, dataset, "train", 4, limit=999).images == 33
    assert model.seen == list(range(33))


def test_a_bound_draws_the_same_each_time_and_leaves_the_generator_alone():
    model, dataset = made(Drawing)
    state = torch.random.get_rng_state()
    first = score(model, dataset, "test", 4)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first == score(model, dataset, "test", 4)
    assert first.kind == "bound"
    assert first != score(model, dataset, "test", 4, seed=1)
    assert first.nats != score(model, dataset, "validation", 4).nats


def test_progress_is_told_and_may_stop_it():
    model, dataset = made(Toy)
    told = []
    score(model, dataset, "test", 4, watch=lambda done, total: told.append((done, total)))
    assert told == [(4, 11), (8, 11), (11, 11)]
    with pytest.raises(KeyError):
        score(model, dataset, "test", 4, watch=lambda done, total: {}[done])
    assert model.training


def test_a_single_image_has_no_standard_error():
    model, dataset = made(Toy)
    scores = score(model, dataset, "test", 4, limit=1)
    assert math.isnan(scores.stderr)
    assert scores.dump()["stderr"] is None


def test_no_images_or_no_likelihood_is_an_error():
    model, dataset = made(Toy)
    with pytest.raises(UsageError, match="no such images"):
        score(model, toy_dataset(validation=0.0), "validation", 4)
    with pytest.raises(UsageError, match="no likelihood"):
        score(made(Unscored)[0], dataset, "test", 4)


def test_without_a_likelihood_there_are_other_figures():
    model, dataset = made(Measured)
    scores = score(model, dataset, "test", 4)
    validation = dataset.size("validation")
    assert scores.kind == "none" and math.isnan(scores.nats) and math.isnan(scores.bits_per_dim)
    assert scores.parts["number"] == 5 and scores.parts["scored"] == 11 and scores.parts["known"] == validation
    assert scores.figures == {}
    assert scores.decisive("far") == scores.parts["far"]
    assert scores.dump()["nats"] is None
    limited = score(model, dataset, "test", 4, limit=3)
    assert (limited.parts["scored"], limited.parts["known"]) == (3, min(3, validation))
    untold = score(model, toy_dataset(validation=0.0), "test", 4)
    assert untold.parts["known"] == 37
    with pytest.raises(UsageError, match="gives no likelihood"):
        score(model, dataset, "test", 4, importance=2)


@pytest.mark.parametrize(("images", "step"), [(999, 1), (1000, 1), (1001, 2), (2500, 3)])
def test_active_units_are_counted_on_a_thousand_images_from_all_over_the_split(images, step):
    asked = []
    dataset = SimpleNamespace(
        size=lambda split: images, batch=lambda split, some: SimpleNamespace(x=asked.append((split, some.tolist())))
    )
    assert active_units(SimpleNamespace(has_latent=True, active_units=lambda x: [(1, 2)]), dataset, "test") == [(1, 2)]
    assert asked == [("test", list(range(0, images, step)))]
    assert active_units(SimpleNamespace(has_latent=False), dataset, "test") == []


def test_dump_is_plain():
    scores = Scores("test", "ema", "exact", 3, math.inf, 0.5, math.inf)
    assert scores.dump() == {
        "split": "test",
        "weights": "ema",
        "kind": "exact",
        "images": 3,
        "nats": None,
        "stderr": 0.5,
        "bits_per_dim": None,
        "parts": {},
        "samples": None,
    }


def test_parts_are_averaged_over_images_and_add_up():
    model, dataset = made(Split)
    scores = [score(model, dataset, "test", size) for size in (4, 4, 11)]
    assert scores[0] == scores[1]
    for row in scores:
        assert row.parts["first"] == pytest.approx(5.0)
        assert sum(row.parts.values()) == pytest.approx(row.nats)
        assert row.dump()["parts"] == row.parts


def test_an_estimate_says_so_with_its_count():
    model, dataset = made(Split)
    calls = []
    scores = score(model, dataset, "test", 4, importance=3, watch=lambda *call: calls.append(call))
    assert (scores.kind, scores.samples, scores.nats) == ("estimate", 3, 3.0)
    assert calls == sorted(calls) and calls[-1] == (11, 11) and (1, 11) in calls
    with pytest.raises(UsageError, match="bound") as caught:
        score(*made(NormedToy), "test", 4, importance=3)
    assert "exact already" in str(caught.value)
