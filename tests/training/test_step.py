"""One training step."""

import math
import weakref
from types import SimpleNamespace

import pytest
import torch
from toys import CPU, Exploding, Toy, TwoPhases, toy_model, toy_recipe

from pixkit.data.dataset import BatchSequence, join
from pixkit.models.base import Phase
from pixkit.training.step import NonFiniteStep, Stepper


class Quiet(Toy):
    """Without noise in the loss."""

    def loss(self, batch, step):
        nats = self.score(batch).mean()
        return {"loss": nats / self.spec.dims, "nats": nats.detach(), "size": torch.tensor(float(len(batch.x)))}


def stepper_of(recipe, model=None):
    model = model or toy_model(recipe)[0]
    dataset = toy_model(recipe)[1]
    return Stepper(model, BatchSequence(dataset, recipe.train.batch_size, recipe.seed), recipe.train, recipe.seed, CPU)


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulating_equals_the_large_batch(parts):
    large = stepper_of(toy_recipe(Quiet, batch_size=8, clip=0.05))
    parted = stepper_of(toy_recipe(Quiet, batch_size=8 // parts, accumulate=parts, clip=0.05))
    for both in (large, parted):
        both.model.double()
    for step in range(1, 12):
        one, other = large.make(step), parted.make(step)
        for key in ("loss", "nats", "grad_norm", "bits_per_dim"):
            assert one[key] == pytest.approx(other[key], rel=1e-12), key
    for left, right in zip(large.model.parameters(), parted.model.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)
    assert large.images == parted.images == 8
    assert large.epochs(11) == parted.epochs(11)


def test_parts_are_weighted_by_their_images():
    stepper = stepper_of(toy_recipe(Quiet, batch_size=3, accumulate=2, optimizer={"type": "sgd"}))
    whole = join([stepper.sequence.batch(0), stepper.sequence.batch(1)])
    dataset = stepper.sequence.dataset
    uneven = [dataset.batch("train", whole.indices[:5]), dataset.batch("train", whole.indices[5:])]
    stepper.source.shared = lambda *given: ([part] for part in enumerate(uneven))
    row = stepper.make(1)
    expected = stepper_of(toy_recipe(Quiet, batch_size=6, optimizer={"type": "sgd"})).make(1)
    assert row["nats"] == pytest.approx(expected["nats"], rel=1e-6)
    assert row["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-6)
    assert row["size"] == pytest.approx((5 * 5 + 1 * 1) / 6)


def test_batches_are_made_one_at_a_time(monkeypatch):
    """However many there are to a step: all of them at once would take memory that nobody foresaw."""
    made, most = [], 0
    real = BatchSequence.batch

    def batch(sequence, number):
        nonlocal most
        found = real(sequence, number)
        made.append(weakref.ref(found))
        most = max(most, sum(one() is not None for one in made))
        return found

    monkeypatch.setattr(BatchSequence, "batch", batch)
    stepper = stepper_of(toy_recipe(Quiet, batch_size=2, accumulate=12))
    stepper.initialise()
    assert len(made) == 1
    stepper.make(1)
    assert len(made) == 13 and most <= 2


def test_statistics_are_taken_from_the_first_batches_of_sixteen_steps():
    stepper = stepper_of(toy_recipe(Quiet, batch_size=2, accumulate=3))
    firsts = [next(stepper.batches(step)).indices.tolist() for step in range(1, 17)]
    drawn = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        assert [batch.indices.tolist() for batch in stepper.calibration()] == firsts
        drawn.append(float(torch.rand(())))
    assert drawn[0] == drawn[1], "what layers draw meanwhile is the same each time"


def test_each_phase_updates_its_own_parameters_alone():
    recipe = toy_recipe(TwoPhases, optimizer={"type": "sgd", "lr": 0.5})
    for frozen, moved in (("second", "logits"), ("first", "scale")):
        model, _ = toy_model(recipe)
        phases = {phase.name: phase for phase in model.phases()}
        model.phases = lambda phases=phases, frozen=frozen: [p for p in phases.values() if p.name != frozen]
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        stepper_of(recipe, model).make(1)
        assert {name for name, value in model.named_parameters() if not torch.equal(value, before[name])} == {moved}


def test_a_phase_leaves_no_gradient_on_the_others_parameters():
    recipe = toy_recipe(TwoPhases)
    model, _ = toy_model(recipe)
    seen = {}
    original = model.loss

    def second(batch, step):
        seen["logits"] = model.logits.grad.clone()
        return original(batch, step)

    first = model.phases()[0]
    model.phases = lambda: [first, Phase("second", [model.scale], second)]
    stepper_of(recipe, model).make(1)
    assert torch.equal(model.logits.grad, seen["logits"])


def test_a_phase_may_choose_its_images():
    recipe = toy_recipe(TwoPhases, batch_size=4, accumulate=2)
    model, dataset = toy_model(recipe)
    shown = {"first": [], "second": []}

    def spy(name):
        def loss(batch, step):
            shown[name] += batch.indices.tolist()
            return Toy.loss(model, batch, step)

        return loss

    def choose(labels):
        assert torch.equal(labels, dataset.labels("train"))
        return (labels == 1).nonzero().flatten()

    model.phases = lambda: [
        Phase("first", [model.logits], spy("first")),
        Phase("second", [model.scale], spy("second"), choose),
    ]
    stepper = stepper_of(recipe, model)
    for step in range(1, 7):
        stepper.make(step)
    ones = set(choose(dataset.labels("train")).tolist())
    assert set(shown["second"]) == ones and len(shown["second"]) == 6 * 8
    assert shown["first"] == [
        i for step in range(1, 7) for batch in stepper.batches(step) for i in batch.indices.tolist()
    ]
    assert not set(shown["first"]) <= ones


def test_steps_are_made_in_training_mode():
    stepper = stepper_of(toy_recipe(Exploding, model_config={"at": 2}))
    stepper.model.eval()
    stepper.make(1)
    assert stepper.model.training
    stepper.model.eval()
    with pytest.raises(NonFiniteStep):
        stepper.again(2, 0)
    assert stepper.model.training


def test_rows_of_several_phases_are_told_apart():
    row = stepper_of(toy_recipe(TwoPhases)).make(1)
    assert {"first/loss", "first/lr", "second/loss", "second/grad_norm"} <= set(row)
    assert "loss" not in row


def test_the_row_of_one_phase():
    recipe = toy_recipe(Quiet, optimizer={"type": "sgd", "lr": 0.2}, schedule={"warmup": 4})
    row = stepper_of(recipe).make(1)
    assert row["lr"] == pytest.approx(0.05)
    assert row["bits_per_dim"] == pytest.approx(row["nats"] / (6 * math.log(2)))
    assert row["loss"] == pytest.approx(row["nats"] / 6, rel=1e-6)


def test_a_step_depends_on_seed_and_number_alone():
    recipe = toy_recipe()
    rows = []
    for noise in (1, 2):
        stepper = stepper_of(recipe)
        for step in (1, 2, 3):
            torch.manual_seed(noise)
            torch.rand(noise)
            row = stepper.make(step)
        rows.append(row)
    assert rows[0] == rows[1]


def test_steps_phases_and_parts_draw_different_noise():
    recipe = toy_recipe(TwoPhases, accumulate=2)
    model, _ = toy_model(recipe)
    drawn = []
    original = model.loss

    def spy(batch, step):
        state = torch.random.get_rng_state()
        drawn.append(float(torch.rand(())))
        torch.random.set_rng_state(state)
        return original(batch, step)

    model.loss = spy
    stepper = stepper_of(recipe, model)
    stepper.make(1)
    stepper.make(2)
    assert len(drawn) == len(set(drawn)) == 8


@pytest.mark.parametrize(("what", "message"), [("loss", "the loss"), ("gradient", "the gradient")])
def test_what_is_not_finite_stops_before_the_update(what, message):
    recipe = toy_recipe(Exploding, model_config={"at": 3, "what": what}, accumulate=2)
    stepper = stepper_of(recipe)
    stepper.make(1)
    stepper.make(2)
    before = {name: value.clone() for name, value in stepper.model.state_dict().items()}
    with pytest.raises(NonFiniteStep, match=f"{message} of step 3") as caught:
        stepper.make(3)
    for name, value in stepper.model.state_dict().items():
        assert torch.equal(value, before[name]), name
    details = caught.value.details
    assert details["step"] == 3
    assert details["phase"] == "likelihood"
    assert details["indices"] == [batch.indices.tolist() for batch in stepper.batches(3)]
    assert stepper.undo() and all(parameter.grad is None for parameter in stepper.model.parameters())
    assert details["epoch"] == stepper.epochs(2) == 2 * 2 * 8 / stepper.sequence.dataset.size("train")
    if what == "loss":
        assert details["losses"]["loss"] == "inf"
        assert details["part"] == 0
    else:
        assert details["parameters"] == ["scale"]


@pytest.mark.parametrize(("moving", "at_once"), [(False, 6), (True, 4)])
def test_ranks_take_more_parts_at_once_than_there_are_ranks_unless_statistics_have_to_be_kept(moving, at_once):
    stepper = stepper_of(toy_recipe(accumulate=3))
    stepper.parts.load([{"step": 1, "phase": "likelihood", "parts": 2}])
    stepper.ranks, stepper.buffers = SimpleNamespace(size=4, alone=False), SimpleNamespace(moving=moving)
    assert stepper._at_once(stepper.phases[0]) == at_once


@pytest.mark.parametrize(
    "losses",
    [
        lambda x: {"nats": x},
        lambda x: {"loss": x.detach()},
        lambda x: {"loss": x.repeat(2)},
        lambda x: {"loss": 1.0},
    ],
)
def test_a_loss_that_breaks_the_contract_is_refused(losses):
    model, _ = toy_model(toy_recipe())
    model.loss = lambda batch, step: losses(model.score(batch).mean())
    with pytest.raises(ValueError, match="scalar 'loss'"):
        stepper_of(toy_recipe(), model).make(1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_loss_in_half_precision_is_refused(dtype):
    model, _ = toy_model(toy_recipe())
    model.loss = lambda batch, step: {"loss": model.score(batch).mean().to(dtype)}
    with pytest.raises(ValueError, match=f"phase 'likelihood': the 'loss' is {dtype}; sum the output"):
        stepper_of(toy_recipe(), model).make(1)


def test_a_parameter_that_no_loss_reaches_is_left_alone():
    model, _ = toy_model(toy_recipe())
    model.spare = torch.nn.Parameter(torch.ones(2))
    stepper_of(toy_recipe(), model).make(1)
    assert model.spare.tolist() == [1, 1]
