"""Batches that a device's memory does not do for: taken in parts, with the step that all their images make."""

import warnings

import pytest
import torch
from pretend import DEVICE, Pretending
from tape import record
from toys import CPU, StopAt, Told, Toy, begin, contents, toy_model, toy_recipe, toy_trainer
from untimed import untimed

from pixkit.components.config import ComponentConfig
from pixkit.data.dataset import BatchSequence
from pixkit.data.feed import size_of
from pixkit.errors import UsageError
from pixkit.memory import Room
from pixkit.models.base import Phase
from pixkit.training.ahead import Ahead
from pixkit.training.autotune import seconds_of
from pixkit.training.kernels import Kernels
from pixkit.training.precision import Arithmetic
from pixkit.training.prepare import _fitted
from pixkit.training.step import Stepper
from pixkit.training.watch import Interrupt
from pixkit.training.way import Way

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB."


class Large(Toy):
    """Of so many images at a time, and no more, there is room for the loss, or for its gradient."""

    class Config(ComponentConfig):
        most: int = 4
        since: int = 1
        what: str = "loss"
        noise: bool = False

    mean = True

    def __init__(self, config, spec, classes=None):
        super().__init__(config, spec, classes)
        self.register_buffer("seen", torch.zeros(()))
        self.crowded = []

    def phases(self):
        return [Phase("likelihood", self.parameters(), self.loss, mean=self.mean)]

    def loss(self, batch, step):
        self.seen += len(batch.x)
        full = len(batch.x) > self.config.most and (self.config.since < 2 or step >= self.config.since)
        if full and self.config.what == "loss":
            raise torch.OutOfMemoryError(FULL)
        if self.crowded and step in self.crowded:
            self.crowded.remove(step)
            raise torch.OutOfMemoryError(FULL)
        nats = self.score(batch).mean()
        loss = nats / self.spec.dims
        if self.config.noise:
            loss = loss + 0.1 * (self.logits * torch.rand_like(self.logits)).mean()
        if full:
            loss = Full.apply(loss)
        return {"loss": loss, "nats": nats.detach()}


class Full(torch.autograd.Function):
    """Passes its value on, and fails at the gradient."""

    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, grad):
        raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")


class Normed(Large):
    """With BatchNorm."""

    def __init__(self, config, spec, classes=None):
        super().__init__(config, spec, classes)
        self.norm = torch.nn.BatchNorm1d(2)


class Undeclared(Large):
    """It does not say that its loss is a mean."""

    mean = False


def stepper_of(recipe, device=DEVICE):
    model, dataset = toy_model(recipe)
    sequence = BatchSequence(dataset, recipe.train.batch_size, recipe.seed)
    return Stepper(model.to(device), sequence, recipe.train, recipe.seed, device)


def recipe_of(model=Large, batch=8, config=None, **train):
    return toy_recipe(model, model_config=config or {}, batch_size=batch, **train)


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize(("batch", "most", "parts"), [(8, 4, 2), (7, 4, 2), (7, 1, 7), (5, 2, 4)])
def test_parts_make_the_step_of_the_whole_batch(batch, most, parts, what):
    """Uneven ones too; and buffers have seen each image once."""
    made = []
    for room in (100, most):
        config = {"most": room, "what": what}
        with Pretending():
            ahead = Ahead(stepper_of(recipe_of(batch=batch, config=config, accumulate=2, clip=0.01)), 2)
            rows = [ahead.make(step) for step in (1, 2, 3)]
            state = {name: value.cpu() for name, value in ahead.stepper.model.state_dict().items()}
        made.append((rows, state, ahead.stepper.parts.of(1, "likelihood")))
    (whole, expected, one), (rows, found, several) = made
    assert (one, several) == (1, parts)
    for left, right in zip(whole, rows, strict=True):
        assert left == pytest.approx(right, rel=1e-5)
    for name, value in expected.items():
        torch.testing.assert_close(value, found[name], rtol=1e-4, atol=1e-5)
    assert found["seen"] == 3 * 2 * batch


class Dented(Large):
    """Of whole batches, the first loss of the second step is not finite."""

    def loss(self, batch, step):
        losses = super().loss(batch, step)
        if step == 2 and len(batch.x) == 8 and int(self.seen) % 16 == 8:
            self.crowded.append(step)  # and for the second one there is no room
            return {**losses, "loss": losses["loss"] * torch.inf}
        return losses


def test_what_was_not_finite_and_is_made_anew_in_parts_holds_nothing_back():
    """Only what comes of the parts counts."""
    with Pretending():
        ahead = Ahead(stepper_of(recipe_of(Dented, config={"most": 100}, accumulate=2)), 2)
        weights = []
        for step in (1, 2, 3):
            ahead.make(step)
            weights.append(ahead.stepper.model.logits.detach().cpu())
        assert float(ahead.flag.cpu()) == 0 and ahead.stepper.parts.of(2, "likelihood") == 2
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])


def test_arithmetic_is_measured_with_the_parts_that_there_is_room_for():
    stepper = stepper_of(recipe_of(batch=7), CPU)
    stepper.parts.load([{"step": 1, "phase": "likelihood", "parts": 2}])
    assert seconds_of(stepper, Arithmetic()) > 0 and stepper.model.seen == 7


def trained(folder, recipe, resume=False, **options):
    with Pretending():
        trainer = toy_trainer(folder, recipe, device=DEVICE, lag=2, **options)
        if resume:
            trainer.stepper.parts.load(trainer.run.settings()["lock"].get("parts", ()))
            trainer.restore()
        else:
            begin(trainer)
            locked(trainer)
        trainer.train()
    return trainer


def locked(trainer):
    """Give a run a lock as builds do; of what it says, this is read."""
    lock = {"image": {"channels": 1, "height": 1, "width": 1, "levels": 2}, "classes": None, "parameters": 1}
    lock |= {"data": {"description": "", "hashes": {}}, "changes": []}
    recipe = {"pixkit": 1, "name": "toy", "seed": 0, "model": {"type": "toy"}, "train": {"steps": 9}}
    trainer.run.write_settings({**recipe, "lock": lock})


@pytest.mark.parametrize("since", [1, 7])
def test_a_run_that_is_cut_takes_the_same_parts_from_the_same_step_on(tmp_path, since):
    """Also if it goes on from a step before that one, which it had come to already."""
    recipe = recipe_of(config={"since": since, "noise": True}, steps=11, checkpoint_every=5, eval_every=100, keep=9)
    told = Told()
    whole = trained(tmp_path / "whole", recipe, reporter=told)
    assert whole.run.settings()["lock"]["parts"] == [{"step": since, "phase": "likelihood", "parts": 2}]
    said = [text for text in told.texts if "parts" in text]
    assert said == [
        f"from step {since} on a batch of phase 'likelihood', 8 images, is taken in 2 parts, for lack of memory; "
        "a step sees the same images"
    ]
    interrupt = Interrupt()
    trained(tmp_path / "cut", recipe, interrupt=interrupt, reporter=StopAt(interrupt, 8))
    (tmp_path / "cut" / "last").write_text("step-5\n", encoding="utf-8")
    plenty = recipe_of(config={"most": 100, "noise": True}, steps=11, checkpoint_every=5, eval_every=100, keep=9)
    again = trained(tmp_path / "cut", plenty, resume=True)
    assert contents(again.run) == contents(whole.run)
    assert untimed(again.run.rows())[-6:] == untimed(whole.run.rows())[-6:]


CANNOT = {
    "mean": (Undeclared, {}, 8, "its loss does not declare itself a mean over images", "train.batch_size=4"),
    "norm": (Normed, {}, 8, "BatchNorm depends on all images of a batch", "train.batch_size=4"),
    "one": (Large, {"most": 0}, 2, "a part is one image already", "a smaller model"),
}


@pytest.mark.parametrize("why", CANNOT)
def test_what_cannot_be_taken_in_parts_ends_with_the_batch_size_to_try(tmp_path, why):
    model, config, batch, reason, hint = CANNOT[why]
    recipe = recipe_of(model, batch, {"since": 7, **config}, steps=11, checkpoint_every=100, eval_every=100)
    with pytest.raises(UsageError, match=reason) as caught:
        trained(tmp_path / "run", recipe)
    assert hint in caught.value.hint and "CUDA out of memory" in str(caught.value)
    with Pretending():
        trainer = toy_trainer(tmp_path / "run", recipe, device=DEVICE, lag=2)
        assert trainer.run.steps() == [6]


def test_on_a_cpu_memory_that_is_exhausted_is_said_as_it_was():
    ahead = Ahead(stepper_of(recipe_of(), CPU), 2)
    with pytest.raises(torch.OutOfMemoryError):
        ahead.make(1)
    assert ahead.stepper.parts.dump() == []


def test_what_was_recorded_is_let_go_first_and_leaves_the_digits_as_they_are():
    said = []
    with Pretending():
        recipe = recipe_of(config={"most": 100, "noise": True})
        live = Ahead(stepper_of(recipe), 2)
        replayed = Ahead(stepper_of(recipe), 2, record, say=said.append)
        rows = [[ahead.make(step) for step in (1, 2, 3)] for ahead in (live, replayed)]
        assert replayed._phases[0].ready
        replayed.stepper.model.crowded.append(4)
        replayed._phases[0].replaying = False  # as in a race
        for before, ahead in zip(rows, (live, replayed), strict=True):
            before += [ahead.make(step) for step in (4, 5)]
    assert rows[0] == rows[1] and replayed.stepper.model.crowded == []
    assert not replayed._phases[0].recorded and replayed.stepper.parts.dump() == []
    assert len(said) == 1 and "launched anew at each step, not replayed: there is not enough memory" in said[0]


def test_parts_are_replayed_too_each_size_by_its_own_record():
    with Pretending():
        recipe = recipe_of(batch=7, config={"most": 2, "noise": True})  # of 2, 2, 2 and 1 images
        live = Ahead(stepper_of(recipe), 2)
        replayed = Ahead(stepper_of(recipe), 2, record)
        for step in range(1, 6):
            assert live.make(step) == replayed.make(step)
        assert len(replayed._phases[0]._parts) == 3
        for one, other in zip(live.stepper.model.parameters(), replayed.stepper.model.parameters(), strict=True):
            assert torch.equal(one.cpu(), other.cpu())


def test_what_would_not_fit_is_taken_in_parts_is_not_recorded_and_leaves_the_images_on_the_cpu(monkeypatch):
    said = []

    def fitted(free, resumed=False):
        monkeypatch.setattr("pixkit.training.memory.available", lambda device: Room("the GPU", free, free))
        stepper = stepper_of(recipe_of(batch=64, config={"most": 64}, ema=0.0))
        said.clear()
        memory, way = _fitted(stepper, Way("replayed"), None, resumed=resumed, say=said.append)
        return memory, way.kind, stepper.parts.of(1, "likelihood"), stepper.source.resident

    with Pretending():
        images = size_of(toy_model(recipe_of())[1])
        memory, *rest = fitted(1 << 40)
        assert rest == ["replayed", 1, True] and said == [] and memory.graphs > memory.activations > 0
        live = memory.training + memory.activations
        assert fitted(live + memory.graphs + 4 * images)[1:] == ("replayed", 1, True)
        assert fitted(live + memory.graphs + 4 * images - 1)[1:] == ("replayed", 1, False)
        assert len(said) == 1 and "each batch is copied there" in said[0]
        assert fitted(live + memory.graphs - 1)[0].graphs == 0
        assert said[0].startswith("no step is recorded: recorded steps take ")
        assert fitted(live)[1:] == ("ahead", 1, False)
        halved, _, parts, _ = fitted(live - 1)
        assert parts == 2 and halved.activations < memory.activations
        with pytest.raises(UsageError, match="would not fit"):
            fitted(live - 1, resumed=True)
        with pytest.raises(UsageError, match="would not fit"):
            fitted(memory.training)


class Putting(Large):
    """Its loss has an operation without a deterministic kernel."""

    def loss(self, batch, step):
        losses = super().loss(batch, step)
        table = torch.zeros(2, device=batch.x.device).put_(batch.indices[:1] * 0, losses["nats"].reshape(1))
        return {**losses, "loss": losses["loss"] + 0 * table.sum()}


def test_what_is_foreseen_of_parts_is_heard_too(monkeypatch):
    """Torch's warning of an operation is told in pixkit's words, however often memory is foreseen."""
    said, free = [], []
    monkeypatch.setattr("pixkit.training.memory.available", lambda device: Room("the GPU", free[-1], free[-1]))
    with Pretending(), warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        for resumed in (True, False):
            stepper = stepper_of(recipe_of(Putting, 64, {"most": 64}, ema=0.0))
            stepper.kernels = Kernels(True, said.append)
            free.append(free[0] - 1 if free else 1 << 40)
            memory, _ = _fitted(stepper, Way("ahead"), None, resumed=resumed, say=[].append)
            free[0] = memory.training + memory.activations
    assert stepper.parts.of(1, "likelihood") == 2 and len(said) == 2 and shown == []


def test_a_graph_that_memory_does_not_do_for_is_launched(monkeypatch):
    """And what its recording had taken by then is given back."""
    said, released = [], []
    monkeypatch.setattr("pixkit.training.capture.replayed.release", released.append)

    def crowded(body):
        raise torch.OutOfMemoryError(FULL)

    with Pretending():
        recipe = recipe_of(config={"most": 100, "noise": True})
        live, replayed = Ahead(stepper_of(recipe), 2), Ahead(stepper_of(recipe), 2, crowded, say=said.append)
        for step in (1, 2, 3):
            assert live.make(step) == replayed.make(step)
    assert len(said) == len(released) == 1 and "it cannot be recorded: OutOfMemoryError: CUDA out of memory" in said[0]
    assert replayed.stepper.parts.dump() == []
