"""Memory, found out before it is taken."""

import pytest
import torch
from torch import nn
from toys import CPU, NormedToy, Toy, TwoPhases, toy_model, toy_recipe

from pixkit.data.dataset import BatchSequence
from pixkit.errors import UsageError
from pixkit.recipe.schema import SGD, Adam, AdamW, RMSprop
from pixkit.training import memory
from pixkit.training.memory import MemoryGuard, estimate, in_words, machine_memory, memory_errors, state_copies
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


def test_weights_gradients_states_and_average_are_counted():
    found = estimate(stepper_of(toy_recipe(optimizer={"type": "adam"})), CPU)
    parameters = 6 * 4 + 4
    assert found.parameters == parameters
    assert found.weights == 4 * parameters + 8
    assert found.training == 4 * parameters * (1 + 2 + 1)
    plain = estimate(stepper_of(toy_recipe(optimizer={"type": "sgd"}, ema=0.0)), CPU)
    assert plain.training == 4 * parameters


def test_each_phase_counts_its_own_optimiser():
    found = estimate(stepper_of(toy_recipe(TwoPhases, optimizers={"second": {"type": "sgd"}}, ema=0.0)), CPU)
    assert found.training == 4 * 24 * 3 + 4 * 4


@pytest.mark.parametrize("size", [8, 64])
def test_activations_grow_with_the_batch(size):
    found = estimate(stepper_of(toy_recipe(Layered, batch_size=size)), CPU)
    assert found.activations == size * 4 * (6 + 100)


def test_the_model_and_the_generator_are_left_alone():
    stepper = stepper_of(toy_recipe(NormedToy))
    before = {name: value.clone() for name, value in stepper.model.state_dict().items()}
    state = torch.random.get_rng_state()
    estimate(stepper, CPU)
    for name, value in stepper.model.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in stepper.model.parameters())


def test_what_does_not_fit_is_refused():
    found = estimate(stepper_of(toy_recipe()), CPU)
    found.check()
    tight = memory.MemoryEstimate(1, 1 << 30, 3 << 30, 1 << 30, machine=4 << 30)
    with pytest.raises(UsageError, match="would not fit") as caught:
        tight.check()
    assert "5 GiB at least" in caught.value.found
    assert "train.accumulate" in caught.value.hint


@pytest.mark.parametrize(
    ("config", "copies"),
    [(Adam(), 2), (AdamW(), 2), (SGD(), 0), (SGD(momentum=0.9), 1), (RMSprop(), 1), (RMSprop(momentum=0.9), 2)],
)
def test_states_are_as_many_as_the_optimiser_makes(config, copies):
    from pixkit.training.optim import build_optimizer

    parameter = nn.Parameter(torch.zeros(3))
    optimizer = build_optimizer(config, [parameter])
    parameter.grad = torch.ones(3)
    optimizer.step()
    made = [value for value in optimizer.state[parameter].values() if value is not None and value.shape == (3,)]
    assert state_copies(config) == len(made) == copies


def test_the_guard_refuses_before_the_memory_is_taken():
    with pytest.raises(UsageError, match="would not fit") as caught, MemoryGuard(1 << 20):
        torch.zeros(10)
        nn.Linear(100_000, 100_000)
    assert "37.3 GiB" in caught.value.found


def test_the_guard_counts_what_is_alive():
    with MemoryGuard(1 << 20):
        for _ in range(50):
            torch.zeros(1 << 16)
        kept = [torch.zeros(1 << 16) for _ in range(3)]
        with pytest.raises(UsageError, match="768 KiB so far"):
            torch.zeros(1 << 17)
        views = [tensor.view(-1) for tensor in kept for _ in range(10)]
        torch.ones(1000)
    assert len(views) == 30


@pytest.mark.parametrize(
    "make",
    [
        lambda n: torch.empty(n, n),
        lambda n: torch.randn((n, n)),
        lambda n: torch.full((n, n), 1.0),
        lambda n: torch.zeros(n, n, dtype=torch.int64),
        lambda n: torch.arange(n * n),
        lambda n: torch.zeros(1).expand(n, n).clone(),
        lambda n: torch.zeros(1).new_zeros(n, n),
    ],
)
def test_the_guard_knows_every_way_to_ask(make):
    with MemoryGuard(1 << 20):
        make(30)
        with pytest.raises(UsageError, match="would not fit"):
            make(2000)
        make(30)


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


def test_the_machine_has_memory():
    assert 1 << 28 < machine_memory(CPU) < 1 << 50


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (1, "1 bytes"), (2048, "2 KiB"), (5 << 40, "5 TiB"), (5 << 53, "4.1e+04 TiB")]
)
def test_bytes_in_words(size, text):
    assert in_words(size) == text


def test_exhausted_memory_is_a_usage_error():
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")):
        with pytest.raises(UsageError, match="exhausted"), memory_errors():
            raise error
    with pytest.raises(RuntimeError, match="something else"), memory_errors():
        raise RuntimeError("something else")
