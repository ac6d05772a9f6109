"""Optimisers, learning rates and clipping."""

import math

import pytest
import torch
from torch import nn
from toys import Toy, TwoPhases, toy_model, toy_recipe

from pixkit.errors import CheckpointError, RecipeError
from pixkit.models.base import Phase
from pixkit.optimisers import SCHEDULES, SGD, Adam, AdamW, RMSprop
from pixkit.recipe.schema import TrainConfig
from pixkit.training.optim import (
    TrainedPhase,
    clip,
    clip_unread,
    gradient_norm,
    load_optimizer_tensors,
    made,
    optimizer_tensors,
    trained_phases,
)


def schedule(name="constant", **config):
    cls = SCHEDULES[name]
    return cls(cls.Config(**config))


def optimiser(cls, **config):
    return cls(cls.Config(**config))


def test_constant():
    assert [schedule().factor(step, 10) for step in (1, 5, 10)] == [1, 1, 1]


@pytest.mark.parametrize("kind", ["constant", "cosine", "exponential"])
def test_the_warm_up_rises_linearly_to_one(kind):
    shape = schedule(kind, warmup=4)
    assert [shape.factor(step, 20) for step in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1.0]


def test_cosine_ends_at_its_floor():
    shape = schedule("cosine", warmup=10, floor=0.1)
    assert shape.factor(110, 110) == pytest.approx(0.1)
    assert shape.factor(60, 110) == pytest.approx(0.55)
    factors = [shape.factor(step, 110) for step in range(10, 111)]
    assert factors == sorted(factors, reverse=True)


def test_cosine_of_a_single_step_is_defined():
    assert schedule("cosine").factor(1, 1) == 1
    assert schedule("cosine", warmup=50).factor(10, 10) == 0.2
    assert schedule("cosine", floor=0.25).factor(2, 2) == 0.25


def test_cosine_stays_at_its_floor_after_its_last_step():
    shape = schedule("cosine", floor=0.1)
    assert [shape.factor(step, 50) for step in (50, 51, 75, 99)] == pytest.approx([0.1] * 4)


def test_exponential_multiplies_at_each_step():
    shape = schedule("exponential", decay=0.9, warmup=3)
    assert shape.factor(7, 100) == pytest.approx(0.9**4)
    assert schedule("exponential", decay=0.9).factor(3, 100) == pytest.approx(0.81)


@pytest.mark.parametrize(
    ("config", "cls", "keys"),
    [
        (
            optimiser(Adam, lr=0.1, betas=(0.5, 0.6), eps=1e-3),
            torch.optim.Adam,
            {"lr": 0.1, "betas": (0.5, 0.6), "eps": 1e-3},
        ),
        (optimiser(AdamW, weight_decay=0.2), torch.optim.AdamW, {"weight_decay": 0.2}),
        (optimiser(SGD, momentum=0.9, nesterov=True), torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        (optimiser(RMSprop, alpha=0.7, momentum=0.1), torch.optim.RMSprop, {"alpha": 0.7, "momentum": 0.1}),
    ],
)
def test_optimisers_get_their_keys(config, cls, keys):
    optimizer = made(config, [nn.Parameter(torch.zeros(2))])
    assert type(optimizer) is cls
    for key, value in keys.items():
        assert optimizer.defaults[key] == value


def test_adam_steps_as_the_paper_says():
    parameter = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = made(optimiser(Adam, lr=0.1, betas=(0.8, 0.9), eps=1e-8), [parameter])
    m = v = 0.0
    x = 1.0
    for t in range(1, 6):
        gradient = 2 * x
        m, v = 0.8 * m + 0.2 * gradient, 0.9 * v + 0.1 * gradient**2
        x -= 0.1 * (m / (1 - 0.8**t)) / (math.sqrt(v / (1 - 0.9**t)) + 1e-8)
        parameter.grad = 2 * parameter.detach()
        optimizer.step()
    assert float(parameter.detach()) == pytest.approx(x, rel=1e-12)


def test_a_phase_gets_its_own_optimiser():
    recipe = toy_recipe(
        TwoPhases, optimizer={"type": "adam", "lr": 0.1}, optimizers={"second": {"type": "sgd", "lr": 0.5}}
    )
    model, _ = toy_model(recipe)
    first, second = trained_phases(model, recipe.train)
    assert (type(first.optimizer), first.rate) == (torch.optim.Adam, 0.1)
    assert (type(second.optimizer), second.rate) == (torch.optim.SGD, 0.5)
    assert list(first.parameters) == ["logits"]
    assert list(second.parameters) == ["scale"]
    assert second.set_rate(0.5) == 0.25
    assert second.optimizer.param_groups[0]["lr"] == 0.25


def test_an_unknown_phase_is_refused():
    recipe = toy_recipe(optimizers={"discriminator": {"type": "sgd"}})
    model, _ = toy_model(recipe)
    with pytest.raises(RecipeError, match="no such phase") as caught:
        trained_phases(model, recipe.train)
    assert caught.value.expected == "likelihood"
    assert caught.value.where == "train.optimizers.discriminator"


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        (lambda model: [], "different names"),
        (
            lambda model: [Phase("a", [model.logits], model.loss), Phase("a", [model.scale], model.loss)],
            "different names",
        ),
        (lambda model: [Phase("a", [], model.loss)], "no parameters"),
        (lambda model: [Phase("a", [nn.Parameter(torch.zeros(3))], model.loss)], "not the model's"),
    ],
)
def test_phases_that_break_the_contract_are_refused(phases, message):
    model, _ = toy_model(toy_recipe())
    model.phases = lambda: phases(model)
    with pytest.raises(ValueError, match=message):
        trained_phases(model, TrainConfig())


def test_frozen_parameters_stay_out():
    model, _ = toy_model(toy_recipe())
    model.scale.requires_grad_(False)
    assert list(trained_phases(model, TrainConfig())[0].parameters) == ["logits"]


@pytest.mark.parametrize("way", [clip, clip_unread])
def test_clipping_scales_all_gradients_by_one_factor(way):
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    unused = nn.Parameter(torch.zeros(1))
    a.grad, b.grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])
    parameters = [a, b, unused]
    norm = gradient_norm(parameters)
    assert float(norm) == pytest.approx(5)
    way(parameters, norm, 10.0)
    assert a.grad.tolist() == [3, 0]
    way(parameters, norm, 1.0)
    assert float(gradient_norm(parameters)) == pytest.approx(1)
    assert a.grad.tolist() == pytest.approx([0.6, 0])


def test_without_gradients_their_norm_is_0():
    assert gradient_norm([nn.Parameter(torch.ones(2))]) == 0 == gradient_norm([])


@pytest.mark.parametrize(("cls", "expected"), [
    (Adam, {"fused": (True, True), "capturable": (False, True)}), (SGD, {"fused": (True, True)}),
    (RMSprop, {"foreach": (False, True), "capturable": (False, True)}),
])  # fmt: skip
def test_guarded_steps_are_those_that_a_graph_can_record_where_there_is_one(monkeypatch, cls, expected):
    made, there = [], [torch.device(name) for name in ("cpu", "cuda")]
    monkeypatch.setattr(cls, "make", lambda self, parameters, **options: made.append(options))
    monkeypatch.setattr(cls, "_on_device", lambda self, optimizer, device: device)
    assert [optimiser(cls).make_guarded([], device) for device in there] == there
    assert made == [{key: value[number] for key, value in expected.items()} for number in range(2)]


@pytest.mark.parametrize("config", [
    optimiser(Adam, lr=0.1), optimiser(AdamW, lr=0.1, weight_decay=0.5), optimiser(SGD, lr=0.1, momentum=0.9),
    optimiser(SGD, lr=0.1), optimiser(RMSprop, lr=0.1, momentum=0.5),
])  # fmt: skip
def test_a_guarded_step_with_the_flag_is_none_and_without_it_is_a_step(config):
    first, second, idle = (nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(3))
    plain, held = made(config, [first]), config.make_guarded([second, idle], torch.device("cpu"))
    assert held.param_groups[0]["lr"] == torch.tensor(0.1) and held._warned_capturable_if_run_uncaptured
    for gradient, flag in ((3.0, 1.0), (0.5, 0.0), (7.0, 1.0), (-2.0, 0.0)):
        second.grad = torch.full((2,), gradient)
        before = second.detach().clone()
        config.guarded_step(held, torch.tensor(flag))
        assert torch.equal(second, before) == bool(flag)
        if not flag:
            first.grad = torch.full((2,), gradient)
            config.step(plain, fused=False)
    torch.testing.assert_close(second, first)
    for key, value in plain.state[first].items():
        torch.testing.assert_close(held.state[second][key], value)
    assert idle.tolist() == [1.0, -2.0] and not held.state[idle]


def stepped(recipe, *, fused=False):
    model, _ = toy_model(recipe)
    phases = trained_phases(model, recipe.train)
    for trained in phases:
        for number, parameter in enumerate(trained.parameters.values()):
            parameter.grad = torch.full_like(parameter, 0.1 + number)
        trained.update(fused=fused)
    return model, phases


@pytest.mark.parametrize("lies", ["alike", "gradient", "state", "weight"])
@pytest.mark.parametrize("config", [optimiser(Adam, lr=0.1), optimiser(AdamW, lr=0.1)])
def test_a_fused_step_is_the_other_one_however_tensors_lie(config, lies):
    """torch's own would pair a weight with the gradient of another, where one of them lies otherwise."""
    random, found, asked = torch.Generator().manual_seed(0), [], []
    gradients = torch.randn(3, 4, 5, generator=random, dtype=torch.float64)
    for fused in (False, True):
        weight = torch.linspace(-1, 1, 20, dtype=torch.float64).view(4, 5)
        parameter = nn.Parameter(weight.t().contiguous().t() if lies == "weight" else weight.clone())
        optimizer = made(config, [parameter])
        trained = TrainedPhase(Phase("a", [parameter], len), {"a": parameter}, optimizer, config)
        for gradient in gradients:
            parameter.grad = gradient.t().contiguous().t() if lies == "gradient" else gradient.clone()
            for key, value in optimizer.state.get(parameter, {}).items():
                if lies == "state" and key.startswith("exp"):
                    optimizer.state[parameter][key] = value.t().contiguous().t()
            trained.update(fused=fused)
            asked.append(optimizer.param_groups[0]["fused"])
        found.append(parameter.detach())
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-14)
    assert asked[:3] == [None] * 3 and (asked[-1] is True) == (lies == "alike")


def test_complex_numbers_are_updated_though_torch_fuses_no_step_of_theirs():
    parameter = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    parameter.grad = torch.ones_like(parameter)
    adam = optimiser(Adam, lr=0.5)
    TrainedPhase(Phase("a", [parameter], len), {}, made(adam, [parameter]), adam).update(fused=True)
    torch.testing.assert_close(parameter.detach().real, torch.full((2,), 0.5))


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    "optimizer",
    [
        {"type": "adam"},
        {"type": "adamw"},
        {"type": "sgd"},
        {"type": "sgd", "momentum": 0.9},
        {"type": "rmsprop", "momentum": 0.5},
    ],
)
def test_an_optimiser_goes_on_as_if_it_had_never_stopped(optimizer, fused):
    recipe = toy_recipe(TwoPhases, optimizer=optimizer)
    model, phases = stepped(recipe, fused=fused)
    other, fresh = toy_model(recipe)[0], None
    other.load_state_dict(model.state_dict())
    fresh = trained_phases(other, recipe.train)
    load_optimizer_tensors(fresh, optimizer_tensors(phases), "here")
    for both in (phases, fresh):
        for trained in both:
            for parameter in trained.parameters.values():
                parameter.grad = torch.full_like(parameter, -0.3)
            trained.update(fused=fused)
    for left, right in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right)


def drop_one(tensors):
    tensors.pop(next(name for name in tensors if "exp_avg/" in name))


def misshape(tensors):
    name = next(name for name in tensors if "exp_avg/" in name)
    tensors[name] = torch.zeros(7)


def add_one(tensors):
    tensors["likelihood/exp_avg/other"] = torch.zeros(3)


@pytest.mark.parametrize(("harm", "message"), [(drop_one, "gaps"), (misshape, "fit"), (add_one, "another model")])
def test_state_that_does_not_fit_is_refused(harm, message):
    recipe = toy_recipe(Toy)
    _, phases = stepped(recipe)
    tensors = optimizer_tensors(phases)
    harm(tensors)
    fresh = trained_phases(toy_model(recipe)[0], recipe.train)
    with pytest.raises(CheckpointError, match=message):
        load_optimizer_tensors(fresh, tensors, "here")


def test_of_state_of_another_model_five_tensors_are_named():
    recipe = toy_recipe(Toy)
    tensors = optimizer_tensors(stepped(recipe)[1]) | {f"other/exp_avg/{n}": torch.zeros(3) for n in range(6)}
    with pytest.raises(CheckpointError) as caught:
        load_optimizer_tensors(trained_phases(toy_model(recipe)[0], recipe.train), tensors, "here")
    assert caught.value.where == "here" and caught.value.found == ", ".join(f"other/{n}" for n in range(5))
