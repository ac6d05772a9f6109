"""Steps that are launched ahead of what is known of them."""

import json
import os

import pytest
import torch
from toy_runs import interrupted, manager_with, resumed, same, trained
from toys import CPU, NormedToy, StopAt, Told, Toy, TwoPhases, begin, contents, toy_model, toy_recipe, toy_trainer
from untimed import untimed

from pixkit.components import hookspecs
from pixkit.components.config import ComponentConfig
from pixkit.data.dataset import BatchSequence
from pixkit.errors import NonFiniteError
from pixkit.training.ahead import Ahead, Coming
from pixkit.training.optim import load_optimizer_tensors, optimizer_tensors
from pixkit.training.pace import next_due
from pixkit.training.step import NonFiniteStep, Stepper
from pixkit.training.watch import Interrupt

OPTIMIZERS = {
    "adam": {"type": "adam", "lr": 0.05, "weight_decay": 0.1},
    "adamw": {"type": "adamw", "lr": 0.05},
    "sgd": {"type": "sgd", "lr": 0.1},
    "momentum": {"type": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "rmsprop": {"type": "rmsprop", "lr": 0.01},
    "rmsprop-momentum": {"type": "rmsprop", "lr": 0.01, "momentum": 0.9},
}
LAG = 3
BREAKING = [(name, *where) for name in OPTIMIZERS for where in ((1, "loss"), (8, "gradient"))]
BREAKING += [("adamw", 2, "gradient"), ("adamw", 7, "loss")]


class Once(NormedToy):
    """With batch normalisation; the loss, or the gradient alone, is not finite at one step and no other."""

    class Config(ComponentConfig):
        at: int = 7
        what: str = "loss"

    def loss(self, batch, step):
        losses = super().loss(batch, step)
        if step != self.config.at:
            return losses
        if self.config.what == "loss":
            return {**losses, "loss": losses["loss"] * torch.nan}
        # The square root has the value 0 and the slope infinity at 0.
        return {**losses, "loss": losses["loss"] + (self.scale[0] - self.scale[0].detach()).sqrt()}


class Second(Once):
    """Two phases, of which the second is the one that is not finite."""

    def phases(self):
        first, second = TwoPhases.phases(self)
        return [type(first)("first", first.parameters, lambda batch, step: Toy.loss(self, batch, step)), second]


def stepper_of(recipe, model=None):
    made, dataset = toy_model(recipe)
    model = model or made
    return Stepper(model, BatchSequence(dataset, recipe.train.batch_size, recipe.seed), recipe.train, recipe.seed, CPU)


def files(folder):
    """All that a run left behind, but for times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".safetensors", ".npz", ".png"):
            found[str(path.relative_to(folder))] = path.read_bytes()
        elif path.is_symlink():
            found[str(path.relative_to(folder))] = os.readlink(path)
    return found


@pytest.mark.parametrize(
    ("model", "optimizer"), [*((NormedToy, name) for name in OPTIMIZERS), (TwoPhases, "adamw"), (TwoPhases, "momentum")]
)
def test_a_run_that_reads_behind_is_the_run_that_does_not(tmp_path, optimizer, model):
    recipe = toy_recipe(
        model, optimizer=OPTIMIZERS[optimizer], clip=0.5, accumulate=2, schedule={"warmup": 3}, steps=11
    )
    told = Told(), Told()
    at_once = trained(tmp_path / "at-once", recipe, lag=0, reporter=told[0])
    behind = trained(tmp_path / "behind", recipe, lag=LAG, reporter=told[1])
    same(at_once, behind)
    assert files(at_once.run.path) == files(behind.run.path)
    assert untimed(told[0].rows) == untimed(told[1].rows)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_its_steps_are_the_steppers_but_for_the_last_digits(optimizer):
    recipe = toy_recipe(NormedToy, optimizer=OPTIMIZERS[optimizer], clip=0.05, accumulate=2)
    plain, other = stepper_of(recipe), stepper_of(recipe)
    ahead = Ahead(other, 2)
    for step in range(1, 9):
        one, another = plain.make(step), ahead.make(step)
        assert one.keys() == another.keys() and one["lr"] == another["lr"]
        assert one == pytest.approx(another, rel=1e-4)
    for left, right in zip(plain.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("optimizer", "at", "what"), BREAKING)
def test_what_is_not_finite_leaves_the_files_of_a_run_that_knew_at_once(tmp_path, optimizer, at, what):
    config = {"at": at, "what": what}
    recipe = toy_recipe(Once, model_config=config, optimizer=OPTIMIZERS[optimizer], accumulate=2, eval_every=6)
    runs, told = [], []
    for name, lag in (("at-once", 0), ("behind", LAG), ("plain", None)):
        told.append(Told())
        trainer = toy_trainer(tmp_path / name, recipe, lag=lag, reporter=told[-1])
        begin(trainer)
        with pytest.raises(NonFiniteError, match=f"{what} of step {at} is not finite"):
            trainer.train()
        runs.append(trainer)
    at_once, behind, plain = runs
    assert files(at_once.run.path) == files(behind.run.path)
    assert files(plain.run.path).keys() == files(behind.run.path).keys()
    said = [json.loads(run.run.nonfinite.read_text()) for run in runs]
    assert said[0] == said[1]
    assert said[2].keys() == said[1].keys() and said[2]["indices"] == said[1]["indices"]
    assert said[2].get("parameters") == said[1].get("parameters")
    rows = [untimed(run.run.rows()) for run in runs]
    assert rows[0] == rows[1] and [row["step"] for row in rows[1]] == [row["step"] for row in rows[2]]
    assert [row["step"] for row in told[1].rows] == list(range(1, at))
    for one, other in zip(at_once.model.state_dict().items(), behind.model.state_dict().items(), strict=True):
        assert one[0] == other[0] and torch.equal(one[1], other[1])
    assert all(value.isfinite().all() for value in behind.ema.average.values())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nothing_that_was_launched_after_it_updates_anything(optimizer):
    recipe = toy_recipe(Once, model_config={"at": 3}, optimizer=OPTIMIZERS[optimizer])
    stepper = stepper_of(recipe)
    ahead = Ahead(stepper, LAG)
    for step in (1, 2):
        ahead.make(step)

    def everything():
        states = [value for one in stepper.phases for state in one.optimizer.state.values() for value in state.values()]
        return [value.clone() for value in (*stepper.model.state_dict().values(), *states)]

    before = everything()
    for step in (3, 4, 5):
        ahead.launch(step)
    assert float(ahead.flag) == 1
    assert all(map(torch.equal, everything(), before))
    with pytest.raises(NonFiniteStep, match="step 3"):
        ahead.read()
    assert len(ahead) == 0
    assert stepper.undo()
    assert all(map(torch.equal, everything(), before))


def test_a_later_phase_that_is_not_finite_loses_the_step_as_it_does_at_once(tmp_path):
    recipe = toy_recipe(Second, model_config={"at": 6}, eval_every=100)
    kept = []
    for name, lag in (("plain", None), ("at-once", 0), ("behind", LAG)):
        told = Told()
        trainer = toy_trainer(tmp_path / name, recipe, lag=lag, reporter=told)
        begin(trainer)
        with pytest.raises(NonFiniteError, match="loss of step 6"):
            trainer.train()
        assert "step 5 is lost, for the step that failed had begun to change the weights" in "".join(told.texts)
        kept.append((sorted(files(trainer.run.path)), json.loads(trainer.run.nonfinite.read_text())["phase"]))
    assert kept[0] == kept[1] == kept[2]
    assert kept[0][1] == "second"


@pytest.mark.parametrize("step", [3, 5, 8])
def test_a_signal_waits_for_what_was_launched(tmp_path, step):
    recipe = toy_recipe(NormedToy, steps=13)
    whole = trained(tmp_path / "whole", recipe, lag=LAG)
    interrupt = Interrupt()
    told = StopAt(interrupt, step)
    cut = trained(tmp_path / "cut", recipe, interrupt=interrupt, reporter=told, lag=LAG)
    assert cut.state.step == min(step + LAG, next_due(recipe.train, step)) == told.rows[-1]["step"]
    assert cut.run.checkpoint("last").name == f"step-{cut.state.step}"
    same(resumed(tmp_path / "cut", recipe, lag=LAG), whole)


def test_runs_go_on_with_another_lag(tmp_path):
    recipe = toy_recipe(NormedToy, optimizer=OPTIMIZERS["momentum"], steps=11)
    whole = trained(tmp_path / "whole", recipe, lag=0)
    interrupted(tmp_path / "cut", recipe, 7, lag=0)
    same(resumed(tmp_path / "cut", recipe, lag=LAG), whole)


class Hooked:
    """Writes down what it is called with; fails once."""

    def __init__(self, fail=None):
        self.calls = []
        self.fail = fail

    @hookspecs.hookimpl
    def pixkit_train_step(self, run, step, metrics):
        self.calls.append((step, metrics["step"]))
        if step == self.fail:
            raise ValueError("no")

    @hookspecs.hookimpl
    def pixkit_train_eval(self, run, step, metrics):
        self.calls.append((step, "eval"))


def test_hooks_are_called_in_order_and_one_that_fails_has_the_steps_saved(tmp_path):
    for fail in (None, 3):
        seen = []
        for name, lag in ((f"plain-{fail}", None), (f"behind-{fail}", LAG)):
            hook = Hooked(fail)
            told = Told()
            trained(tmp_path / name, toy_recipe(steps=11), manager=manager_with(hook), reporter=told, lag=lag)
            seen.append((hook.calls, told.checkpoints))
        assert seen[0][0] == seen[1][0]
        saved = [one.removeprefix("step-") for one in seen[1][1]]
        # The weights were three steps further on, but for step 4, after which there is a checkpoint anyway.
        if fail is None:
            assert seen[0][1] == seen[1][1]
        else:
            assert saved[:1] == ["4"]
    far = toy_recipe(steps=11, eval_every=100, checkpoint_every=100)
    trained(tmp_path / "far", far, manager=manager_with(Hooked(3)), reporter=(told := Told()), lag=LAG)
    assert told.checkpoints == [f"step-{3 + LAG}", "step-11"]  # no more is launched before it is saved, and once only


class Failing(NormedToy):
    """Raises at a step."""

    class Config(ComponentConfig):
        at: int = 7
        nan: int = 0

    def loss(self, batch, step):
        losses = super().loss(batch, step)
        if step == self.config.at:
            raise ValueError("a bug")
        return {**losses, "loss": losses["loss"] * torch.nan} if step == self.config.nan else losses


def stopped(folder, recipe, error, match):
    """Trainers that an error has stopped, the first with each step read at once."""
    trainers = [toy_trainer(folder / name, recipe, lag=lag) for name, lag in (("at-once", 0), ("behind", LAG))]
    for trainer in trainers:
        begin(trainer)
        with pytest.raises(error, match=match):
            trainer.train()
    return trainers


def test_an_error_while_steps_are_launched_leaves_those_before_it_saved_and_told_of(tmp_path):
    recipe = toy_recipe(Failing, eval_every=100, checkpoint_every=100)
    runs = stopped(tmp_path, recipe, ValueError, "a bug")
    assert runs[0].state == runs[1].state and runs[1].state.step == 6
    assert contents(runs[0].run) == contents(runs[1].run)
    assert untimed(runs[0].run.rows()) == untimed(runs[1].run.rows())


def test_a_step_that_was_not_finite_came_before_the_error_of_a_later_one(tmp_path):
    recipe = toy_recipe(Failing, model_config={"at": 7, "nan": 6}, eval_every=100, checkpoint_every=100)
    runs = stopped(tmp_path, recipe, NonFiniteError, "step 6")
    assert contents(runs[0].run) == contents(runs[1].run) and runs[1].state.step == 5
    assert runs[0].run.nonfinite.read_bytes() == runs[1].run.nonfinite.read_bytes()
    assert untimed(runs[0].run.rows()) == untimed(runs[1].run.rows())


class Talking(Told):
    """Raises when it is told of a step."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def step(self, step, metrics):
        super().step(step, metrics)
        if step == self.at:
            raise ValueError("who cares")


def test_an_error_while_a_step_is_told_of_leaves_the_launched_ones_saved(tmp_path):
    recipe = toy_recipe(NormedToy, eval_every=100, checkpoint_every=100)
    whole = trained(tmp_path / "whole", toy_recipe(NormedToy, steps=8, eval_every=100, checkpoint_every=100), lag=0)
    trainer = toy_trainer(tmp_path / "run", recipe, lag=LAG, reporter=Talking(5))
    begin(trainer)
    with pytest.raises(ValueError, match="who cares"):
        trainer.train()
    assert trainer.state.step == 5 + LAG
    assert contents(trainer.run) == contents(whole.run)
    assert [row["step"] for row in trainer.run.rows()] == list(range(1, 6 + LAG))


def test_a_step_that_is_not_finite_after_one_whose_telling_failed_is_not_saved_and_not_the_error(tmp_path):
    far = {"eval_every": 100, "checkpoint_every": 100}
    whole = trained(tmp_path / "whole", toy_recipe(Failing, steps=6, **far), lag=0)
    recipe = toy_recipe(Failing, model_config={"at": 99, "nan": 7}, **far)
    trainer = toy_trainer(tmp_path / "run", recipe, lag=LAG, reporter=Talking(4))
    begin(trainer)
    with pytest.raises(ValueError, match="who cares"):
        trainer.train()
    assert trainer.state.step == 6 and contents(trainer.run) == contents(whole.run)


@pytest.mark.parametrize("lag", [None, LAG])
def test_what_stops_a_step_before_it_is_counted_leaves_no_checkpoint_of_another_step(tmp_path, monkeypatch, lag):
    """A component's own handler of SIGINT raises KeyboardInterrupt anywhere."""
    recipe = toy_recipe(NormedToy, eval_every=100, checkpoint_every=100)
    trainer = toy_trainer(tmp_path / "run", recipe, lag=lag)
    count = trainer._row

    def stopped(values):
        if trainer.state.step == 4:
            raise KeyboardInterrupt
        return count(values)

    monkeypatch.setattr(trainer, "_row", stopped)
    begin(trainer)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert not trainer.run.steps()


def test_what_stops_the_wait_for_a_step_loses_none(tmp_path, monkeypatch):
    recipe = toy_recipe(NormedToy, eval_every=100, checkpoint_every=100)
    whole = trained(tmp_path / "whole", toy_recipe(NormedToy, steps=8, eval_every=100, checkpoint_every=100), lag=0)
    trainer = toy_trainer(tmp_path / "run", recipe, lag=LAG)
    wait, waited = Coming.wait, []

    def stopped(coming):
        waited.append(coming)
        if len(waited) == 9:  # that of step 5: each is waited for twice
            raise KeyboardInterrupt
        wait(coming)

    monkeypatch.setattr(Coming, "wait", stopped)
    begin(trainer)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert trainer.state.step == 5 + LAG
    assert contents(trainer.run) == contents(whole.run)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_that_reaches_no_weight_is_clipped_as_plainly(optimizer):
    recipe = toy_recipe(NormedToy, optimizer=OPTIMIZERS[optimizer], clip=0.5)
    made = []
    for steps in (Stepper.make, lambda stepper, step: Ahead(stepper, 0).make(step)):
        stepper = stepper_of(recipe)
        elsewhere = torch.ones((), requires_grad=True)
        loss = {"loss": elsewhere * 2}
        object.__setattr__(stepper.phases[0].phase, "loss", lambda batch, step, loss=loss: loss)
        before = [weight.clone() for weight in stepper.model.parameters()]
        made.append(steps(stepper, 1))
        assert all(map(torch.equal, before, stepper.model.parameters()))
    assert made[0] == made[1] and made[0]["grad_norm"] == 0


MOVES = [(name, there) for name in OPTIMIZERS for there in (True, False)]


@pytest.mark.parametrize(("optimizer", "there"), MOVES)
def test_an_optimisers_state_is_for_both_kinds_of_steps(optimizer, there):
    """A run that was begun on a GPU goes on where steps are plain, and one that was begun plainly might elsewhere."""
    recipe = toy_recipe(NormedToy, optimizer=OPTIMIZERS[optimizer], clip=0.5)
    one, other = stepper_of(recipe), stepper_of(recipe)
    fused = Ahead(one if there else other, 0)
    makes = (fused.make, other.make) if there else (one.make, fused.make)
    for step in (1, 2, 3):
        makes[0](step)
    other.model.load_state_dict(one.model.state_dict())
    load_optimizer_tensors(other.phases, optimizer_tensors(one.phases), "here")
    for step in (4, 5):
        assert makes[0](step) == pytest.approx(makes[1](step), rel=1e-4)
    states = [optimizer_tensors(stepper.phases) for stepper in (one, other)]
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        torch.testing.assert_close(value, states[1][key], rtol=1e-4, atol=1e-5)


def test_a_step_that_is_finite_when_it_is_made_again_is_still_not():
    recipe = toy_recipe()
    model, _ = toy_model(recipe)
    calls = []
    original = model.loss

    def loss(batch, step):
        calls.append(step)
        losses = original(batch, step)
        return {**losses, "loss": losses["loss"] * torch.inf} if calls == [1] else losses

    model.loss = loss
    stepper = stepper_of(recipe, model)
    ahead = Ahead(stepper, 1)
    ahead.launch(1)
    with pytest.raises(NonFiniteStep, match="step 1") as caught:
        ahead.read()
    assert caught.value.details["again"] == "finite" and caught.value.details["losses"]["loss"] == "inf"
    assert stepper.undo()


def test_the_next_step_at_which_something_is_due():
    train = toy_recipe(steps=23, eval_every=6, checkpoint_every=8, sample_every=5).train
    steps = range(1, 24)
    due = [step for step in steps if step == 23 or not (step % 6 and step % 8 and step % 5)]
    assert [next_due(train, step) for step in steps] == [min(one for one in due if one >= step) for step in steps]
