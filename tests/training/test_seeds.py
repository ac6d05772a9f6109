"""Which seed each random number of a run has: another one would be another run."""

from dataclasses import replace

import pytest
import torch
from toys import CPU, Toy, TwoPhases, toy_model, toy_recipe

from pixkit.data.dataset import BatchSequence
from pixkit.randomness import derive
from pixkit.runs import load
from pixkit.tasks import score as scoring
from pixkit.training import step as stepping
from pixkit.training.step import Stepper


@pytest.fixture
def seeded(monkeypatch):
    """seeded(module): the seeds that it gives to torch from now on."""

    def noting(module):
        noted = []
        monkeypatch.setattr(module, "seed_torch", lambda seed, device: noted.append((seed, device)))
        return noted

    return noting


def test_those_of_steps_and_of_what_goes_before_them(seeded):
    recipe = toy_recipe()
    model, dataset = toy_model(recipe)
    stepper = Stepper(model, BatchSequence(dataset, 8, 5), recipe.train, 5, CPU)
    noted = seeded(stepping)
    stepper.initialise()
    next(stepper.calibration())
    stepper.seed(3, 1, 2)
    assert noted == [(derive(5, *words), CPU) for words in (("initialise",), ("calibration",), ("loss", 3, 1, 2))]


def test_those_of_the_batches_of_a_phase_that_chooses_its_images():
    recipe = toy_recipe(TwoPhases, batch_size=4, accumulate=3)
    model, dataset = toy_model(recipe)
    first, second = model.phases()
    chosen = torch.tensor([3, 14, 15, 9, 26, 5, 30])
    model.phases = lambda: [first, replace(second, choose=lambda labels: chosen)]
    stepper = Stepper(model, BatchSequence(dataset, 4, 5), recipe.train, 5, CPU)
    expected = BatchSequence(dataset, 4, derive(5, "phase", "second"), chosen)
    found = [batch.indices.tolist() for step in (1, 2) for batch in stepper.batches(step, "second")]
    assert found == [expected.batch(number).indices.tolist() for number in range(6)]


def test_those_of_a_models_first_weights(seeded):
    noted = seeded(load)
    recipe = toy_recipe().model_copy(update={"seed": 5})
    load.construct(recipe, toy_model(recipe)[1].spec, None, CPU)
    assert noted == [(derive(5, "construct"), CPU)]


class Indexed(Toy):
    """Scores each image with its own number."""

    def score(self, batch):
        return batch.indices.float()


def test_those_of_scores_and_of_the_images_that_are_scored(seeded):
    noted = seeded(scoring)
    model, dataset = toy_model(toy_recipe(Indexed))
    scoring.score(model, dataset, "test", 4, seed=7)
    scored = [(derive(7, "score", "test", number), CPU) for number in range(3)]
    assert noted == [*scored, (derive(7, "measure", "test"), CPU)]
    generator = torch.Generator().manual_seed(derive(7, "subset", "train"))
    chosen = torch.randperm(dataset.size("train"), generator=generator)[:9]
    found = scoring.score(model, dataset, "train", 4, limit=9, seed=7)
    assert found.nats == pytest.approx(float(chosen.double().mean()))
