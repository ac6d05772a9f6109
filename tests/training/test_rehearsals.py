"""What is measured and checked before training asks for the losses of its first step, in training mode."""

import pytest
import torch
from torch import nn
from toys import CPU, Toy, toy_model, toy_recipe

from pixkit.backbones import Backbone
from pixkit.data.dataset import BatchSequence
from pixkit.training.autotune import seconds_of
from pixkit.training.ema import recalibrate
from pixkit.training.memory import estimate
from pixkit.training.precision import Arithmetic
from pixkit.training.rate import operations
from pixkit.training.recompute_check import check_recomputed
from pixkit.training.step import Stepper


class Blocks(Backbone):
    def __init__(self):
        super().__init__(None, None)
        self.blocks = nn.Sequential(nn.Linear(6, 4), nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()))

    def forward(self, x):
        return self.blocks(x)


class Asked(Toy):
    """Keeps the steps, modes and numbers of images that its loss is asked for."""

    score_kind = "none"

    def __init__(self, *given):
        super().__init__(*given)
        self.body, self.asked = Blocks(), []

    def loss(self, batch, step):
        self.asked.append((step, self.training, len(batch.x)))
        return {"loss": self.body(batch.x.flatten(1).float()).square().mean()}


def divided(stepper, step):
    """With batches in four parts from a step on."""
    stepper.parts.load([{"step": step, "phase": "likelihood", "parts": 4}])
    return stepper


@pytest.mark.parametrize(("measure", "training", "images"), [
    (lambda stepper: estimate(stepper, CPU), True, {2, 4}),
    (lambda stepper: seconds_of(stepper, Arithmetic()), True, {8}),
    (lambda stepper: seconds_of(divided(stepper, 1), Arithmetic()), True, {2}),
    (lambda stepper: seconds_of(divided(stepper, 2), Arithmetic()), True, {8}),
    (operations, True, {2}),
    (check_recomputed, True, {2}),
    (lambda stepper: recalibrate(stepper.model, stepper.batches(1)), False, {8}),
], ids=["memory", "time", "parts", "before parts", "arithmetic", "recomputation", "statistics"])  # fmt: skip
def test_rehearsals_are_of_step_1(measure, training, images):
    recipe = toy_recipe(Asked, recompute=True)
    model, dataset = toy_model(recipe)
    stepper = Stepper(model, BatchSequence(dataset, 8, 0), recipe.train, 0, CPU)
    before = {
        name: value.clone()
        for name, value in model.state_dict().items()
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }
    measure(stepper)
    assert {asked[:2] for asked in model.asked} == {(1, training)}
    assert {asked[2] for asked in model.asked} == images
    for name, value in before.items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
