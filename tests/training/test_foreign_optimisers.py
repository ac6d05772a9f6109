"""Optimisers and schedules that a plugin brings: trained, resumed, launched ahead, measured, and not recorded."""

import pytest
import torch
from toy_runs import interrupted, resumed, same, trained
from toys import CPU, TwoPhases, spec_of, toy_model, toy_recipe

from pixkit.data.dataset import BatchSequence
from pixkit.errors import PluginError
from pixkit.optimisers import Optimiser, Schedule
from pixkit.starter import Names
from pixkit.starter.distribution import plugin_files
from pixkit.training.ahead import Ahead
from pixkit.training.memory import _update, estimate
from pixkit.training.optim import optimizer_tensors, trained_phases
from pixkit.training.segments import Segment, Segments
from pixkit.training.step import Stepper
from pixkit.training.way import Way


def brought(kind, name):
    """The class that `pixkit new-plugin` writes."""
    names, found = Names.of(f"pixkit-{name}"), {}
    exec(compile(plugin_files(kind, names)[f"{names.module}.py"], names.module, "exec"), found)
    return found[names.cls]


Lion, Cycle = brought("optimiser", "lion"), brought("schedule", "cycle")


def recipe_of(**train):
    lion = spec_of("optimiser", Lion, lr=0.01, weight_decay=0.1)
    return toy_recipe(TwoPhases, optimizer=lion, schedule=spec_of("schedule", Cycle), **{"steps": 8, **train})


def stepper_of(recipe):
    model, dataset = toy_model(recipe)
    return Stepper(model, BatchSequence(dataset, recipe.train.batch_size, 0), recipe.train, 0, CPU)


def test_a_run_is_resumed_with_the_same_bits(tmp_path):
    whole = trained(tmp_path / "whole", recipe_of())
    interrupted(tmp_path / "cut", recipe_of(), 3)
    same(resumed(tmp_path / "cut", recipe_of()), whole)
    assert whole.stepper.phases[0].component.rate == 0.01
    rates = [row["first/lr"] for row in whole.run.rows() if "first/lr" in row]
    assert rates == pytest.approx([0.01 * Cycle(Cycle.Config()).factor(step, 8) for step in range(1, 9)])
    assert len(set(rates)) == 8


def test_what_a_checkpoint_cannot_hold_is_refused():
    """A count that is a Python number would begin anew after a resumption."""
    stepper = stepper_of(recipe_of())
    stepper.make(1)
    (first, *_), parameter = stepper.phases, next(iter(stepper.phases[0].parameters.values()))
    first.optimizer.state[parameter].update(count=3, absent=None)
    with pytest.raises(PluginError, match="keeps what no checkpoint can hold") as caught:
        optimizer_tensors(stepper.phases)
    assert caught.value.found == "its state 'count' is of type int"
    first.optimizer.state[parameter]["count"] = torch.tensor(3.0)
    assert optimizer_tensors(stepper.phases)[f"{first.name}/count/{next(iter(first.parameters))}"] == 3


def test_steps_that_are_launched_ahead_are_those_of_the_plain_way():
    one, other = stepper_of(recipe_of()), stepper_of(recipe_of())
    ahead = Ahead(other, 2)
    for step in range(1, 5):
        one.make(step)
        ahead.launch(step)
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(other.model.state_dict()[name], value, rtol=1e-5, atol=1e-6)


def test_no_step_of_it_is_recorded_on_a_gpu():
    cuda, config = torch.device("cuda"), recipe_of().train
    assert Way.on(cuda, config).kind == "ahead" and "optimiser lion are not recorded" in Way.on(cuda, config).reason
    mixed = toy_recipe(TwoPhases, optimizers={"second": spec_of("optimiser", Lion)}).train
    assert Way.on(cuda, mixed).kind == "ahead"
    assert Way.on(cuda, toy_recipe().train).kind == "replayed"


class Asking(torch.optim.Optimizer):
    """It waits for values, which tensors without memory do not have."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for one in group["params"]:
                if float(one.abs().max()) > 0:
                    one.sub_(one.grad * group["lr"])


class Asked(Optimiser):
    """A test's."""

    def make(self, parameters):
        return Asking(parameters, {"lr": self.config.lr})


def test_its_state_is_measured_by_a_step_or_taken_for_adams():
    stepper = stepper_of(recipe_of(ema=0.0))
    weights = 4 * sum(one.numel() for one in stepper.model.parameters())
    assert estimate(stepper, CPU).training == 2 * weights  # gradients, and an average of each
    stepper = stepper_of(toy_recipe(optimizer=spec_of("optimiser", Asked), ema=0.0))
    assert estimate(stepper, CPU).training == 3 * weights
    assert _update(stepper.phases[0]) == (2 * weights, weights)
    stepper.make(1)


def test_what_it_makes_of_its_groups_is_restored_by_parameter(tmp_path):
    """Matrices in a group of their own come first there, though not in the model."""

    class Sorted(Asked):
        def make(self, parameters):
            given = sorted(parameters, key=lambda one: one.ndim)
            return torch.optim.Adam([{"params": [one]} for one in given], lr=self.config.lr)

    recipe = toy_recipe(optimizer=spec_of("optimiser", Sorted), steps=4)
    whole = trained(tmp_path / "whole", recipe)
    interrupted(tmp_path / "cut", recipe, 2)
    same(resumed(tmp_path / "cut", recipe), whole)


class Nothing(Asked):
    def make(self, parameters):
        return len(parameters)


class Failing(Asked):
    def make(self, parameters):
        raise KeyError("betas")


@pytest.mark.parametrize(
    ("cls", "said"), [(Nothing, "the optimiser makes something else"), (Failing, "the optimiser fails to be made")]
)
def test_one_that_makes_no_optimiser_is_named(cls, said):
    recipe = toy_recipe(optimizer=spec_of("optimiser", cls))
    with pytest.raises(PluginError, match=said):
        trained_phases(toy_model(recipe)[0], recipe.train)


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        (lambda self, step, steps: float("nan"), "the schedule gives no learning rate"),
        (lambda self, step, steps: -1, "gives no learning rate"),
        (lambda self, step, steps: {}[step], "the schedule fails at step 3"),
    ],
)
def test_a_schedule_without_a_rate_is_named(fraction, said):
    shaped = type("Shaped", (Schedule,), {"factor": fraction})
    with pytest.raises(PluginError, match=said):
        Segments([Segment(0, 4)]).factor(shaped(None), 3)
