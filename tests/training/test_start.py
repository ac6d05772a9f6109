"""Initial weights of another run or checkpoint: what of them is taken, in which order, and what is said of the rest."""

import pytest
import torch
from toys import CPU, Toy, toy_model, toy_recipe

from pixkit.data.dataset import BatchSequence
from pixkit.errors import CheckpointError
from pixkit.training.start import Start, begin
from pixkit.training.step import Stepper


class FromBatch(Toy):
    """Sets all its weights from a batch, by the logits that it has."""

    @torch.no_grad()
    def initialise(self, batch):
        super().initialise(batch)
        self.scale.fill_(float(self.logits.sum()))
        self.logits.fill_(7)


@pytest.fixture
def stepper():
    model, dataset = toy_model(recipe := toy_recipe(FromBatch))
    return Stepper(model, BatchSequence(dataset, 8, 0), recipe.train, 0, CPU)


def start(strict=False, **tensors):
    return Start(tensors, "there", strict, None)


def test_weights_that_fit_are_there_before_others_are_initialised_and_after(stepper):
    said, logits = [], torch.full((1, 2, 3, 4), 0.5)
    start(logits=logits, other=torch.zeros(2), initialised=torch.zeros(3)).give(stepper, {}, said.append)
    assert torch.equal(stepper.model.logits, logits) and stepper.model.scale.tolist() == [12.0] * 4
    assert int(stepper.model.initialised) == 1
    assert said == [
        "train.init_from: 1 of the model's 3 tensors are taken from there; not taken: scale is missing; "
        "other is not in the model; initialised is float32[3], the model has int64[]"
    ]


@pytest.mark.parametrize("strict", [True, False])
def test_weights_that_all_fit_take_the_place_of_initialisation(stepper, strict):
    given = {"logits": torch.ones(1, 2, 3, 4), "scale": torch.zeros(4), "initialised": torch.tensor(5)}
    begin(stepper, start(strict, **given), {}, pytest.fail)
    assert all(torch.equal(value, given[name]) for name, value in stepper.model.state_dict().items())


def test_without_any_the_model_initialises_itself(stepper):
    begin(stepper, None, {}, pytest.fail)
    assert int(stepper.model.initialised) == 1 and (stepper.model.logits == 7).all()


@pytest.mark.parametrize(("strict", "fits", "hint"), [
    (True, True, "train.init_from={run: ..., strict: false} takes what fits"),
    (True, False, "another run: no tensor fits"), (False, False, "another run: no tensor fits"),
])  # fmt: skip
def test_weights_of_which_none_fits_or_some_may_not_are_refused(stepper, strict, fits, hint):
    before = stepper.model.logits.detach().clone()
    given = {"scale": torch.zeros(4 if fits else 3), "logits": torch.zeros(2)}
    with pytest.raises(CheckpointError, match="another model's weights") as caught:
        start(strict, **given).give(stepper, {}, pytest.fail)
    error = caught.value
    assert (error.where, error.hint, error.lines) == ("train.init_from, there", hint, ())
    assert error.found.startswith("initialised is missing; ") and "logits is float32[2]" in error.found
    assert torch.equal(stepper.model.logits, before) and int(stepper.model.initialised) == 0
