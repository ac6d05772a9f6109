"""The average of the weights."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toys import NormedToy, Toy, toy_model, toy_recipe

from pixkit.layers.modes import evaluating
from pixkit.training.ema import Ema, batch_norms, recalibrate


@pytest.mark.parametrize("flag", [None, torch.zeros((), dtype=torch.float64)], ids=["always", "unless flagged"])
def test_closed_form(flag):
    model, _ = toy_model(toy_recipe())
    model.double()
    ema = Ema(model, 0.7)
    values = [model.logits.detach().clone()]
    for step in range(1, 40):
        with torch.no_grad():
            model.logits.add_(torch.randn_like(model.logits))
        values.append(model.logits.detach().clone())
        ema.update(model, step, flag)
    decays = [min(0.7, (1 + step) / (10 + step)) for step in range(1, 40)]
    assert decays[0] == 2 / 11
    assert decays[-1] == 0.7
    weight, expected = 1.0, torch.zeros_like(values[0])
    for value, decay in zip(reversed(values), [*reversed(decays), 0.0], strict=True):
        expected += weight * (1 - decay) * value
        weight *= decay
    torch.testing.assert_close(ema.average["logits"], expected, rtol=1e-12, atol=1e-12)


def test_a_step_that_is_flagged_is_not_taken_in():
    model, _ = toy_model(toy_recipe())
    ema = Ema(model, 0.7)
    before = model.logits.detach().clone()
    with torch.no_grad():
        model.logits.add_(1)
    ema.update(model, 1, torch.ones(()))
    assert torch.equal(ema.average["logits"], before)


def test_it_starts_at_the_weights_it_is_given():
    model, _ = toy_model(toy_recipe())
    assert torch.equal(Ema(model, 0.9).average["logits"], model.logits)


def test_the_model_is_left_as_it_was_bit_for_bit():
    model, dataset = toy_model(toy_recipe(NormedToy))
    ema = Ema(model, 0.5)
    with torch.no_grad():
        model.logits.add_(1)
        model.norm.running_mean.add_(0.3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    average = {name: value.clone() for name, value in ema.average.items()}
    with pytest.raises(KeyError), ema.in_place(model, lambda: dataset.batches("train", 11)):
        assert torch.equal(model.logits, average["logits"])
        assert not torch.equal(model.norm.running_mean, before["norm.running_mean"])
        raise KeyError
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    for name, value in ema.average.items():
        assert torch.equal(value, average[name]), name


def test_averaged_weights_are_in_place_without_a_copy_of_the_model():
    """The most that is allocated at a time is the largest of them."""
    model = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(20)))
    ema = Ema(model, 0.5)
    taken = []

    class Allocations(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and "copy_" not in func.name() and not func.is_view:
                taken.append(result.untyped_storage().nbytes())
            return result

    with Allocations(), ema.in_place(model, list):
        pass
    assert sum(taken) == 64 * 64 * 4


def test_statistics_that_cannot_be_taken_leave_everything_as_it_was():
    model, dataset = toy_model(toy_recipe(NormedToy))
    ema = Ema(model, 0.5)
    with torch.no_grad():
        model.logits.add_(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def calibration():
        yield next(dataset.batches("train", 11))
        raise MemoryError

    with pytest.raises(MemoryError), ema.in_place(model, calibration):
        pytest.fail("there are no statistics to go in with")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.norm.momentum == 0.1
    assert model.training and model.norm.training


def test_statistics_are_taken_once_after_each_update():
    model, dataset = toy_model(toy_recipe(NormedToy))
    ema = Ema(model, 0.5)
    taken = []

    def calibration():
        taken.append(1)
        return dataset.batches("train", 11)

    seen = []
    for _ in range(2):
        for _ in range(2):
            with ema.in_place(model, calibration):
                seen.append(model.norm.running_mean.clone())
        ema.update(model, 1)
    assert len(taken) == 2
    ema.load(model.state_dict())
    with ema.in_place(model, calibration):
        assert len(taken) == 3
    assert all(torch.equal(value, seen[0]) for value in seen)
    assert not torch.equal(seen[0], model.norm.running_mean)


def test_buffers_are_those_of_the_model():
    model, _ = toy_model(toy_recipe())
    ema = Ema(model, 0.5)
    model.initialised.fill_(3)
    with ema.in_place(model, lambda: pytest.fail("there is nothing to calibrate")):
        assert int(model.initialised) == 3


def test_tied_weights_are_averaged_once():
    model, _ = toy_model(toy_recipe())
    model.twin = model.logits
    ema = Ema(model, 0.5)
    assert "twin" not in ema.average
    average = ema.average["logits"].clone()
    with torch.no_grad():
        model.logits.add_(1)
    with ema.in_place(model, list):
        assert torch.equal(model.twin, average)
    assert torch.equal(ema.average["logits"], average)


def test_recalibration_takes_plain_averages_over_the_batches():
    model, dataset = toy_model(toy_recipe(NormedToy))
    model.norm.running_mean.fill_(9)
    batches = list(dataset.batches("train", 11))
    recalibrate(model, batches)
    each = [batch.x.flatten(1).float() for batch in batches]
    torch.testing.assert_close(model.norm.running_mean, torch.stack([x.mean(0) for x in each]).mean(0))
    torch.testing.assert_close(model.norm.running_var, torch.stack([x.var(0) for x in each]).mean(0))
    assert model.norm.momentum == 0.1
    assert model.training
    assert model.norm.training


def test_recalibration_leaves_a_layer_alone_that_scoring_does_not_use():
    model, dataset = toy_model(toy_recipe(NormedToy))
    model.spare.running_mean.fill_(2)
    model.spare.num_batches_tracked.fill_(5)
    recalibrate(model, dataset.batches("train", 11))
    assert model.spare.running_mean.tolist() == [2, 2, 2]
    assert int(model.spare.num_batches_tracked) == 5


def test_a_model_that_scores_nothing_is_recalibrated_by_its_losses():
    class Silent(NormedToy):
        score_kind = "none"

        def score(self, batch):
            raise NotImplementedError

        def loss(self, batch, step):
            return {"loss": self.norm(batch.x.flatten(1).float()).mean()}

    model, dataset = toy_model(toy_recipe(Silent))
    batch = next(dataset.batches("train", 11))
    recalibrate(model, [batch])
    torch.testing.assert_close(model.norm.running_mean, batch.x.flatten(1).float().mean(0))


def test_layers_without_running_statistics_do_not_count():
    model, _ = toy_model(toy_recipe(NormedToy))
    model.spare = torch.nn.BatchNorm1d(3, track_running_stats=False)
    assert batch_norms(model) == [model.norm]
    assert batch_norms(toy_model(toy_recipe(Toy))[0]) == []


def test_evaluating_gives_every_module_its_mode_back():
    model, _ = toy_model(toy_recipe(NormedToy))
    model.spare.eval()
    with evaluating(model):
        assert not model.norm.training
    assert model.training
    assert model.norm.training
    assert not model.spare.training
