"""Memory, found out before it is taken."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from toys import CPU, NormedToy, Toy, TwoPhases, toy_model, toy_recipe

from pixkit.components.config import ComponentConfig
from pixkit.data.dataset import BatchSequence
from pixkit.errors import UsageError
from pixkit.memory import Room, resident
from pixkit.ranks import ALONE, Ranks
from pixkit.testing import named
from pixkit.training import memory
from pixkit.training.exchange import ROOM, at_once, exchanged, kept
from pixkit.training.memory import MemoryEstimate, estimate, model_bytes
from pixkit.training.prepare import construct_to_train
from pixkit.training.step import Stepper


class Layered(Toy):
    """Keeps known activations: the input of each product, and the relu's output."""

    def __init__(self, config, spec, classes=None):
        super().__init__(config, spec, classes)
        self.first = nn.Linear(spec.dims, 100)
        self.second = nn.Linear(100, 1)

    def loss(self, batch, step):
        return {"loss": self.second(torch.relu(self.first(batch.x.flatten(1).float()))).mean()}


def stepper_of(recipe):
    model, dataset = toy_model(recipe)
    return Stepper(model, BatchSequence(dataset, recipe.train.batch_size, 0), recipe.train, 0, CPU)


PARAMETERS = 6 * 4 + 4


def test_what_to_do_depends_on_whether_the_batch_size_may_change():
    found = replace(estimate(stepper_of(toy_recipe()), CPU), room=Room("the machine", 0, 0))
    less = "free some memory, or use less (train.recompute=true), then continue with --resume"
    for kind, hint in (
        ({}, "train.recompute=true; a smaller train.batch_size"),
        ({"recompute": True}, "a smaller train.batch_size"),
        ({"resumed": True}, less),
    ):
        with pytest.raises(UsageError, match="would not fit") as caught:
            found.check(**kind)
        assert caught.value.hint.startswith(hint)


def test_weights_gradients_states_and_average_are_counted():
    found = estimate(stepper_of(toy_recipe(optimizer={"type": "adam"})), CPU)
    assert found.parameters == PARAMETERS
    assert found.weights == 4 * PARAMETERS + 8
    steps = 4 * 2  # Adam counts the steps of each of the two parameters
    assert found.training == 4 * PARAMETERS * (1 + 2 + 1) + steps
    plain = estimate(stepper_of(toy_recipe(optimizer={"type": "sgd"}, ema=0.0)), CPU)
    assert plain.training == 4 * PARAMETERS


def test_recorded_steps_keep_as_much_as_a_batch_takes_and_the_images_that_they_read():
    recipe = toy_recipe(Layered, batch_size=64, optimizer={"type": "sgd"}, ema=0.0)
    plain, recorded = (estimate(stepper_of(recipe), CPU, recorded=recorded) for recorded in (False, True))
    gradients = 4 * plain.parameters
    assert plain.graphs == 0 and recorded.activations == pytest.approx(plain.activations + gradients, rel=0.01)
    assert recorded.graphs == recorded.activations + 64 * 8 * (6 + 2)
    assert recorded.total == plain.total + recorded.activations - plain.activations + recorded.graphs


def test_each_phase_counts_its_own_optimiser():
    found = estimate(stepper_of(toy_recipe(TwoPhases, optimizers={"second": {"type": "sgd"}}, ema=0.0)), CPU)
    assert found.training == 4 * 24 * 3 + 4 * 4 + 4


def test_what_a_batch_takes_grows_with_it():
    sizes = [estimate(stepper_of(toy_recipe(Layered, batch_size=size)), CPU).activations for size in (1000, 2000)]
    activations = 1000 * 4 * (6 + 100)
    assert activations <= sizes[1] - sizes[0] <= 5 * activations


def test_gradients_that_wait_for_more_batches_are_counted():
    """They are there while the second batch's activations are, and no longer than the first's otherwise."""
    once, twice = (
        estimate(stepper_of(toy_recipe(Layered, batch_size=2, accumulate=parts)), CPU).activations for parts in (1, 2)
    )
    assert once < twice


class Hungry(Toy):
    """Scoring it takes more than training it."""

    def assess(self, batch):
        torch.zeros(len(batch.x), 10_000)
        return super().assess(batch)


def test_scoring_that_takes_more_than_a_step_counts():
    found = estimate(stepper_of(toy_recipe(Hungry, batch_size=100)), CPU)
    assert found.activations >= 100 * 10_000 * 4


class Heavy(Hungry):
    """Has weights that nothing is computed from."""

    def __init__(self, config, spec, classes=None):
        super().__init__(config, spec, classes)
        self.register_buffer("much", torch.zeros(config.much))

    class Config(ComponentConfig):
        much: int = 1_000_000


def test_averaged_weights_take_their_size_while_they_are_scored_and_twice_that_to_be_saved():
    def taken(ema, batch, much=1_000_000):
        recipe = toy_recipe(Heavy, batch_size=batch, ema=ema, model_config={"much": much}, optimizer={"type": "sgd"})
        return estimate(stepper_of(recipe), CPU)

    scored, plain = taken(0.9, 200), taken(0.0, 200)
    assert plain.activations > 200 * 40_000 > scored.weights > 4_000_000
    assert scored.activations == plain.activations + scored.weights
    saved = taken(0.9, 10)
    assert saved.activations == 2 * saved.weights
    assert taken(0.0, 10).activations < saved.weights


def test_what_the_process_gave_back_since_is_not_counted_as_less_than_nothing():
    stepper = stepper_of(toy_recipe())
    now = resident()
    if now is None:
        pytest.skip("the system does not tell")
    assert estimate(stepper, CPU, now + (1 << 30)).code == estimate(stepper, CPU).code == 0


class Broken(Toy):
    """Cannot be scored."""

    def assess(self, batch):
        raise SystemExit(0)


def test_a_model_that_fails_when_it_is_scored_fails_then():
    assert estimate(stepper_of(toy_recipe(Broken)), CPU).total > 0


def test_what_the_process_took_since_is_counted():
    stepper = stepper_of(toy_recipe())
    now = resident()
    if now is None:
        pytest.skip("the system does not tell")
    found = estimate(stepper, CPU, now - (100 << 20))
    assert 90 << 20 <= found.code + found.weights <= 164 << 20
    assert found.total == found.code + found.weights + found.training + found.activations


def test_the_model_and_the_generator_are_left_alone():
    stepper = stepper_of(toy_recipe(NormedToy))
    before = {name: value.clone() for name, value in stepper.model.state_dict().items()}
    state = torch.random.get_rng_state()
    estimate(stepper, CPU)
    for name, value in stepper.model.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in stepper.model.parameters())


def test_gradients_and_states_are_left_alone():
    stepper = stepper_of(toy_recipe(TwoPhases))
    stepper.make(1)
    gradients = [parameter.grad for parameter in stepper.model.parameters()]
    states = [len(trained.optimizer.state) for trained in stepper.phases]
    estimate(stepper, CPU)
    assert all(now is then for now, then in zip((p.grad for p in stepper.model.parameters()), gradients, strict=True))
    assert [len(trained.optimizer.state) for trained in stepper.phases] == states


def test_what_does_not_fit_is_refused():
    found = estimate(stepper_of(toy_recipe()), CPU)
    found.check()
    room = Room("the machine", 4 << 30, 16 << 30)
    MemoryEstimate(1, 9 << 30, 9 << 30, 3 << 30, 1 << 30, room).check()  # what is there already fits
    with pytest.raises(UsageError, match="would not fit") as caught:
        MemoryEstimate(1, 0, 1 << 30, 3 << 30, 2 << 30, room).check()
    assert "5 GiB" in caught.value.found
    assert caught.value.expected == "at most 4 GiB, free of the 16 GiB of the machine"
    assert "train.accumulate" in caught.value.hint


@pytest.mark.parametrize("momentum", [{}, {"momentum": 0.9}], ids=str)
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_states_are_as_many_as_the_optimiser_makes(name, momentum):
    keys = momentum if name in ("sgd", "rmsprop") else {}
    stepper = stepper_of(toy_recipe(optimizer={"type": name, **keys}, ema=0.0))
    foreseen = estimate(stepper, CPU).training - 4 * PARAMETERS
    stepper.make(1)
    (trained,) = stepper.phases
    states = [value for state in trained.optimizer.state.values() for value in state.values()]
    assert foreseen == model_bytes(value for value in states if isinstance(value, torch.Tensor))


@pytest.mark.parametrize(("name", "keys", "each", "most"), [
    ("adam", {}, 2, (8000, 12_000)), ("sgd", {}, 0, (0, 0)), ("sgd", {"momentum": 0.9}, 1, (0, 0)),
    ("rmsprop", {}, 1, (8000, 8000)),
])  # fmt: skip
def test_an_update_takes_what_two_of_its_largest_parameters_do_beside_the_states_of_all(name, keys, each, most):
    sizes, component = [500, 1000, 1000, 500, 500], named("optimiser", name, **keys).build()
    own = {str(number): nn.Parameter(torch.empty(size)) for number, size in enumerate(sizes)}
    state, taken = memory._update(SimpleNamespace(own=own, component=component))
    assert state == 4 * each * sum(sizes) + (0 if name == "sgd" else 4 * len(sizes))  # the others count their steps
    assert most[0] <= taken <= most[1]
    assert memory._update(SimpleNamespace(own={}, component=component)) == (0, 0)


@pytest.mark.parametrize("recorded", [False, True])
def test_an_update_that_takes_more_than_a_step_counts(monkeypatch, recorded):
    monkeypatch.setattr(memory, "_update", lambda trained: (70, 2**33))
    found = estimate(stepper_of(toy_recipe(ema=0.0)), CPU, recorded=recorded)
    assert (found.training, found.activations) == (4 * PARAMETERS + 70, 2**33)
    assert found.graphs == (2**33 + 8 * 8 * (6 + 2) if recorded else 0)


class Wide(Toy):
    """As wide as a slip of the keyboard may make it."""

    def __init__(self, config, spec, classes=None):
        super().__init__(config, spec, classes)
        self.wide = nn.Linear(10_000_000, 10_000_000)


def test_an_absurd_model_is_refused_before_it_is_built():
    recipe = toy_recipe()
    _, dataset = toy_model(recipe)
    with pytest.raises(UsageError, match="364 TiB"):
        construct_to_train(toy_recipe(Wide), dataset, CPU)


def test_ranks_look_at_what_is_free_when_none_takes_more_and_count_what_they_exchange(monkeypatch):
    seen, stepper = [], stepper_of(toy_recipe())
    monkeypatch.setattr(Ranks, "wait", lambda self: seen.append("wait"))
    monkeypatch.setattr(memory, "available", lambda device: (seen.append("look"), Room("the machine", 1, 1))[1])
    stepper.ranks = Ranks(1, 4)
    monkeypatch.setattr(memory, "kept", lambda ranks, parts, size: 2**30 * ranks.size * parts + size)
    assert 2**32 + 4 * PARAMETERS < estimate(stepper, CPU).activations < 2**33
    monkeypatch.setattr(memory, "exchanged", lambda ranks, parts, size: 2**33 * ranks.size * parts + size)
    assert estimate(stepper, CPU).activations == 2**35 + 4 * PARAMETERS
    assert seen == ["wait", "look", "wait"] * 2


def test_ranks_compute_more_than_one_part_each_before_they_exchange_them_where_these_are_small():
    ranks = Ranks(1, 4)
    taken = [(1, 10), (4, 10), (6, 10), (6, ROOM // 10), (9, ROOM // 8), (6, ROOM // 2)]
    assert [at_once(ranks, *each) for each in taken] == [1, 4, 6, 5, 4, 4] and at_once(ALONE, 6, 10) == 1
    assert [kept(ranks, *each) for each in taken] == [0, 0, 60, 5 * (ROOM // 10), 0, 0] and kept(ALONE, 6, 10) == 0
    assert [exchanged(ranks, *each) for each in taken[1:3]] == [23, 123] and exchanged(ALONE, 6, 10) == 0
