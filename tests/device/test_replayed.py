"""Training steps that are recorded and replayed, with a tape in the place of CUDA's graphs."""

import copy
import math
import random
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from families import model_of
from pretend import DEVICE, Pretending
from tape import record
from test_pretended_training import stepper_of
from torch.utils._python_dispatch import TorchDispatchMode
from toys import NormedToy, toy_model, toy_recipe

from pixkit.data.dataset import BatchSequence
from pixkit.image import Batch
from pixkit.models.base import Phase
from pixkit.training.ahead import Ahead, Coming
from pixkit.training.capture.probe import Counted, Probe
from pixkit.training.capture.race import TURNS, Race
from pixkit.training.capture.replayed import ReplayedPhase
from pixkit.training.step import NonFiniteStep, Stepper


def test_the_tape_launches_again_what_a_graph_would():
    with Pretending():
        x, out = torch.ones(3, device=DEVICE), torch.zeros(3, device=DEVICE)
        number, host = [2.0], torch.tensor(3.0)
        drawn = []

        def body():
            drawn.append(float(torch.rand(())))
            part = (x.view(3, 1) * number[0] * host + torch.rand(3, 1, device=DEVICE)).view(-1)
            x.add_(1)
            out.copy_(part[:2].repeat_interleave(2)[:3])

        torch.manual_seed(5)
        state = torch.random.get_rng_state()
        replay = record(body)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert out.tolist() == [0, 0, 0] and x.tolist() == [1, 1, 1]  # recording runs nothing
        number[0], host = 7.0, torch.tensor(100.0)
        x.fill_(2)
        for seed in (8, 9):
            before = x.cpu()
            torch.manual_seed(seed)
            replay()
            torch.manual_seed(seed)
            expected = before[:2] * 6 + torch.rand(3, 1).view(-1)[:2]  # as it was then, but for what the device has
            assert out.tolist() == expected.repeat_interleave(2)[:3].tolist()
            assert x.tolist() == (before + 1).tolist() and len(drawn) == 1
        for forbidden in (lambda: x.sum().item(), x.cpu, lambda: host.to(DEVICE), lambda: x.copy_(host)):
            with pytest.raises(RuntimeError, match="not permitted"):
                record(forbidden)


CASES = {
    "dropout": ("digits-pixelcnn", ["model.backbone.dropout=0.5"], {}),
    "labels": ("digits-gated", [], {"optimizer": {"type": "sgd", "momentum": 0.9}}),
    "latent": ("digits-pixelvae", ["model.warmup=3"], {"optimizer": {"type": "rmsprop"}}),
    "phases": ("digits-pixelgan", [], {"accumulate": 2, "clip": 0.1}),
    "recurrent": ("digits-row_lstm", [], {}),
}


def both(model, said, **train):
    """The same steps, launched and replayed."""
    twin = copy.deepcopy(model)
    live = Ahead(stepper_of(model.to(DEVICE), DEVICE, **train), 0)
    return live, Ahead(stepper_of(twin.to(DEVICE), DEVICE, **train), 0, record, say=said.append)


def equal(live, replayed):
    """Whether weights, buffers and optimisers are the same bits."""
    states = [
        [*one.stepper.model.state_dict().values()]
        + [
            value
            for phase in one.stepper.phases
            for state in phase.optimizer.state.values()
            for value in state.values()
        ]
        for one in (live, replayed)
    ]
    return len(states[0]) == len(states[1]) and all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(*states, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_replayed_steps_are_the_launched_ones_bit_for_bit(case):
    name, overrides, train = CASES[case]
    model, said = model_of(name, side=4, overrides=overrides), []
    with Pretending() as seen:
        live, replayed = both(model, said, **train)
        for step in range(1, 6 if case == "latent" else 4):
            assert live.make(step) == replayed.make(step)
            assert equal(live, replayed)
        assert all(phase._parts and phase._updates for phase in replayed._phases) and said == []
        seen.clear()
        replayed.launch(6)
        assert seen.reads == {}


def test_an_ordering_that_is_drawn_is_recorded_for_each_that_occurs_again():
    model, said = (
        model_of(
            "digits-local-8orders",
            side=4,
            overrides=["model.orderings=[raster, {type: raster, flip_horizontal: true}]"],
        ),
        [],
    )
    with Pretending():
        live, replayed = both(model, said)
        for step in range(1, 7):
            assert live.make(step) == replayed.make(step)
        assert equal(live, replayed) and said == []
        assert sorted(key for (key, _) in replayed._phases[0]._parts) == [0, 1]


def test_a_warm_up_is_launched_and_what_follows_it_is_replayed():
    model = model_of("digits-pixelvae", side=4, overrides=["model.warmup=4"])
    with Pretending():
        replayed = both(model, [])[1]
        recorded = []
        for step in range(1, 7):
            replayed.make(step)
            recorded.append([key for key, _ in replayed._phases[0]._parts])
        assert recorded == [[]] * 4 + [[1.0]] * 2


def test_what_comes_from_a_device_is_waited_for_on_that_device(monkeypatch):
    """Not on torch's current one, whose work may be done before."""
    second, waited = torch.device("cuda", 1), []
    held = SimpleNamespace(copy_=lambda values, non_blocking: None, tolist=lambda: [1.5])
    event = SimpleNamespace(record=waited.append, synchronize=lambda: waited.append("synchronize"))
    monkeypatch.setattr(torch, "empty", lambda *size, **options: held)
    monkeypatch.setattr(torch.cuda, "Event", lambda: event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: device)
    coming = Coming(SimpleNamespace(device=second, shape=(1,), dtype=torch.float64))
    assert coming.read() == [1.5] and waited == [second, "synchronize"]


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop"])
def test_torch_lets_a_graph_record_an_optimisers_step(monkeypatch, name):
    """By its own look at one whose step is recorded; and it does not warn of a step that is not."""
    with Pretending():
        (phase,) = odd_pair([], optimizer={"type": name})[1].stepper.phases
    assert phase.optimizer.param_groups
    older = getattr(phase.optimizer, "_cuda_graph_capture_health_check", None)
    look = getattr(phase.optimizer, "_accelerator_graph_capture_health_check", older)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: torch.device("cuda"))
    for capturing in (True, False):
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda answer=capturing: answer)
        stream = SimpleNamespace(is_capturing=lambda answer=capturing: answer)
        monkeypatch.setattr(torch.accelerator, "current_stream", lambda stream=stream: stream)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            look()
        for group in phase.optimizer.param_groups:
            assert group["capturable"]


class Decided(Race):
    """With a result that is known before."""

    faster = True

    @property
    def seconds(self):
        return {True: 1.0, False: 2.0 if self.faster else 0.5}


@pytest.mark.parametrize("faster", [True, False])
def test_steps_are_replayed_where_that_is_faster_and_are_the_same(monkeypatch, faster):
    monkeypatch.setattr(Decided, "faster", faster)
    monkeypatch.setattr("pixkit.training.capture.race.TURNS", 1)
    said = []
    with Pretending():
        live, replayed = odd_pair(said, race=Decided(lambda: None))
        for step in range(1, 9):
            assert live.make(step) == replayed.make(step)
        assert equal(live, replayed)
        assert replayed._phases[0].recorded is faster
    assert len(said) == 1 and ("steps are replayed" in said[0]) is faster


def test_a_race_times_both_in_turns_after_waiting_for_the_device():
    now, waits = [0.0], []
    race = Race(lambda: waits.append(now[0]), lambda: now[0])
    order, taken = [], {True: iter([9.0, 8.0, 1.0, 2.0, 3.0]), False: iter([9.0, 7.0, 4.0, 5.0, 6.0])}
    while not race.over:
        order.append(race.start())
        now[0] += next(taken[order[-1]])
        race.stop(order[-1])
    assert order == [True, False] * (TURNS + 1) and len(waits) == 2 * len(order)
    assert race.seconds == {True: 2.5, False: 5.5}  # without the first of each


class Odd(NormedToy):
    """Its loss does something that a replay would not do again."""

    odd = staticmethod(lambda model, loss, step: loss)

    def __init__(self, config, spec, classes=None):
        super().__init__(config, spec, classes)
        self.register_buffer("factor", torch.ones(()))

    def loss(self, batch, step):
        losses = super().loss(batch, step)
        return {**losses, "loss": Odd.odd(self, losses["loss"] * self.factor, step)}


def odd_pair(said, race=None, **train):
    model, dataset = toy_model(toy_recipe(Odd))
    config = toy_recipe(Odd, **train).train
    made = []
    for one in (model, copy.deepcopy(model)):
        sequence = BatchSequence(dataset, config.batch_size, 0)
        made.append(Stepper(one.to(DEVICE), sequence, config, 0, DEVICE))
    return Ahead(made[0], 2), Ahead(made[1], 2, record, race, said.append)


def _kept(model, loss, step):
    model.factor = model.factor.clone()
    return loss


ODD = {
    "waits for a value from the device": lambda model, loss, step: loss * float(model.factor),
    "waits for the number": lambda model, loss, step: loss + model.logits[model.logits > 9].sum(),
    "copies to or from the device": lambda model, loss, step: loss + torch.tensor([0.5]).to(DEVICE).sum(),
    "draws from the CPU's generator": lambda model, loss, step: loss * float(torch.rand(())),
    "draws from Python's generator": lambda model, loss, step: loss * random.random(),
    "draws from numpy's generator": lambda model, loss, step: loss * np.random.rand(),
    "uses the step's number": lambda model, loss, step: loss * min(1.0, step / 3),
    "replaces buffers by other tensors": _kept,
    "a hook of norm": lambda model, loss, step: loss,
}


@pytest.mark.parametrize("obstacle", ODD)
def test_a_loss_that_would_be_frozen_is_launched_every_time_and_why_is_said_once(monkeypatch, obstacle):
    monkeypatch.setattr(Odd, "odd", staticmethod(ODD[obstacle]))
    said = []
    with Pretending():
        live, replayed = odd_pair(said, accumulate=2)
        for ahead in (live, replayed):
            if obstacle.startswith("a hook"):
                ahead.stepper.model.norm.register_forward_hook(lambda module, given, out: out)
        for step in range(1, 5):
            rows = []
            for ahead in (live, replayed):
                random.seed(step)
                np.random.seed(step)
                rows.append(ahead.make(step))
            assert rows[0] == rows[1]
        assert equal(live, replayed)
    assert len(said) == 1 and obstacle in said[0] and said[0].startswith("phase 'likelihood' is launched anew at each")


WAITS, CHOOSES, COPIES, DRAWS = "waits for a value", "waits for the number", "it copies", "the CPU's generator"
LOOKED_AT = {
    "nonzero": (lambda x, mask, index: x.nonzero(), WAITS),
    "nonzero on the CPU": (lambda x, mask, index: torch.ones(3).nonzero(), None),
    "item": (lambda x, mask, index: float(x.sum()), WAITS),
    "item on the CPU": (lambda x, mask, index: float(torch.ones(())), None),
    "repeats that are told by the device": (lambda x, mask, index: x.repeat_interleave(index), WAITS),
    "repeats that are known": (lambda x, mask, index: x.repeat_interleave(2), None),
    "a mask": (lambda x, mask, index: x[mask], CHOOSES),
    "a mask of one of the axes": (lambda x, mask, index: x[None, :, None][:, mask], CHOOSES),
    "a mask that is written by": (lambda x, mask, index: x.index_put_((mask,), x.sum()), CHOOSES),
    "a mask on the CPU": (lambda x, mask, index: torch.ones(3)[torch.ones(3) > 0], None),
    "an index": (lambda x, mask, index: x[index], None),
    "an index of the CPU": (lambda x, mask, index: x[torch.tensor([0, 1])], COPIES),
    "of one of the axes": (lambda x, mask, index: x[None, :, None][:, torch.tensor([0, 1])], COPIES),
    "an index on the CPU": (lambda x, mask, index: torch.ones(3)[torch.tensor([0, 1])], None),
    "to the device": (lambda x, mask, index: torch.ones(3).to(DEVICE), COPIES),
    "from the device": (lambda x, mask, index: x.cpu(), COPIES),
    "over what is there": (lambda x, mask, index: x.copy_(torch.ones(3)), COPIES),
    "on the device": (lambda x, mask, index: x.copy_(torch.ones_like(x).double()), None),
    "on the CPU": (lambda x, mask, index: torch.ones(3).double(), None),
    "a draw of the CPU": (lambda x, mask, index: torch.rand(3), DRAWS),
    "a draw of the device": (lambda x, mask, index: torch.nn.functional.dropout(x, 0.5), None),
}


@pytest.mark.parametrize("name", LOOKED_AT)
def test_what_a_replay_would_not_do_again_is_noticed_and_nothing_else_is(name):
    work, obstacle = LOOKED_AT[name]
    with Pretending():
        x = torch.arange(3.0).to(DEVICE)
        mask, index = x > 0, torch.tensor([0, 2, 1]).to(DEVICE)
        for draws in (False, True):
            with Probe(draws=draws) as probe:
                work(x, mask, index)
            if obstacle is None or (draws and obstacle == DRAWS):
                assert probe.obstacle is None
            else:
                assert obstacle in probe.obstacle


def test_the_first_thing_that_is_in_the_way_is_told():
    probe = Probe()
    for what in ("one", "another"):
        probe.found(what)
    assert probe.obstacle == "one"


def test_what_cannot_be_recorded_is_launched(monkeypatch):
    said = []
    with Pretending():
        live, replayed = odd_pair(said, accumulate=2)

        def broken(body):
            raise RuntimeError("no graph today")

        for phase in replayed._phases:
            phase._record = broken
        for step in range(1, 5):
            assert live.make(step) == replayed.make(step)
        assert equal(live, replayed)
        (phase,) = replayed._phases
        assert not phase._held and not any(gradient is not None for gradient in phase._gradients), "it keeps no memory"
    assert len(said) == 1 and "no graph today" in said[0]


def test_losses_of_other_names_than_before_are_launched(monkeypatch):
    """What is logged of a recording has the names of the loss that was launched."""
    loss = Odd.loss

    def named(model, batch, step):
        model.named = getattr(model, "named", 0) + 1
        losses = loss(model, batch, step)
        return {**losses, f"loss {model.named}": losses["nats"]}

    monkeypatch.setattr(Odd, "loss", named)
    said = []
    with Pretending():
        _, replayed = odd_pair(said)
        rows = [replayed.make(step) for step in (1, 2, 3)]
    assert [[name for name in row if name[-1].isdigit()] for row in rows] == [["loss 2"], ["loss 4"], ["loss 5"]]
    why = "RuntimeError: its losses are loss, nats, loss 3, but were loss, nats, loss 2"
    assert said == [f"phase 'likelihood' is launched anew at each step, not replayed: it cannot be recorded: {why}"]


def test_batches_of_one_size_share_the_memory_that_recordings_read_and_are_copied_whole():
    def batch(count, value, **other):
        rows = torch.arange(count) + value
        fields = {"labels": rows + 1, "context": (rows + 3.0)[:, None], **other}
        return Batch(rows.view(-1, 1, 1, 1), indices=rows + 2, **fields)

    for other in ({}, {"labels": None, "context": None}):
        hold = partial(ReplayedPhase._hold, SimpleNamespace(_held={}))
        given = [batch(count, value, **other) for count, value in ((3, 0), (2, 10), (3, 20))]
        first, less, again = map(hold, given)
        assert again is first and less is not first and first is not given[0]
        for one, held in zip(given[1:], (less, again), strict=True):
            for name in ("x", "labels", "indices", "context"):
                expected, found = getattr(one, name), getattr(held, name)
                if expected is None:
                    assert found is None
                else:
                    assert torch.equal(found, expected) and found.data_ptr() != expected.data_ptr()


def test_a_replayed_step_that_is_not_finite_updates_nothing():
    with Pretending():
        live, replayed = odd_pair([], optimizer={"type": "adamw"})
        for step in (1, 2, 3):
            for ahead in (live, replayed):
                ahead.make(step)
        before = copy.deepcopy({name: value.cpu() for name, value in replayed.stepper.model.state_dict().items()})
        replayed.stepper.model.factor.fill_(torch.nan)
        for step in (4, 5):
            replayed.launch(step)
        with pytest.raises(NonFiniteStep, match="the loss of step 4"):
            replayed.read()
        assert replayed.stepper.undo()
        after = {name: value.cpu() for name, value in replayed.stepper.model.state_dict().items()}
        assert [name for name in before if not torch.equal(after[name], before[name])] == ["factor"]


def test_a_phase_may_use_the_step_if_it_says_what_that_comes_to(monkeypatch):
    """Also where that is a number which the recording would otherwise have kept."""
    monkeypatch.setattr(Odd, "odd", staticmethod(lambda model, loss, step: loss * (1 + step % 2)))
    monkeypatch.setattr(
        Odd, "phases", lambda self: [Phase("likelihood", self.parameters(), self.loss, varies=lambda step: step % 2)]
    )
    said = []
    with Pretending():
        live, replayed = odd_pair(said)
        for step in range(1, 7):
            assert live.make(step) == replayed.make(step)
        assert equal(live, replayed) and said == []
        assert sorted(key for key, _ in replayed._phases[0]._parts) == [0, 1]


def test_norms_of_all_weights_are_one_launch():
    """By which a step that failed is known to have changed none."""

    class Launches(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            names.append(func._schema.name.removeprefix("aten::"))
            return func(*args, **(kwargs or {}))

    names = []
    with Pretending():
        ahead, _ = odd_pair([])
        with Launches():
            ahead.stepper.rollback.keep()
        assert ahead.stepper.rollback.restore()
    assert [name for name in names if "norm" in name] == ["_foreach_norm"]


@pytest.mark.parametrize(
    ("limit", "order", "recorded"),
    [
        ("MOST", (0, 1, 2) * 3, [0, 1]),
        ("REMEMBERED", (0, 1, 2, 0, 1, 2), []),
        ("REMEMBERED", (0, 1, 0, 2, 1, 2), [0, 1, 2]),
    ],
)
def test_two_variants_are_recorded_or_remembered_if_no_more_may_be(monkeypatch, limit, order, recorded):
    monkeypatch.setattr(f"pixkit.training.capture.replayed.{limit}", 2)
    monkeypatch.setattr(
        Odd,
        "phases",
        lambda self: [Phase("likelihood", self.parameters(), self.loss, varies=lambda step: order[step - 1])],
    )
    with Pretending():
        live, replayed = odd_pair([])
        for step in range(1, len(order) + 1):
            assert live.make(step) == replayed.make(step)
        assert equal(live, replayed)
        assert sorted(key for key, _ in replayed._phases[0]._parts) == recorded


USES = {
    "times": lambda step: torch.ones(2) * step,
    "alpha": lambda step: torch.add(torch.ones(2), torch.ones(2), alpha=step),
    "full": lambda step: torch.full((2,), step),
    "range": lambda step: list(range(step)),
    "index": lambda step: [1, 2, 3, 4, 5, 6][step],
    "tensor index": lambda step: torch.ones(9)[step],
    "least": lambda step: min(1.0, step / 3),
    "root": math.sqrt,
    "text": lambda step: f"{step}",
    "truth": lambda step: 1 if step else 2,
    "key": lambda step: {5: 1}[step],
    "tensor": torch.tensor,
}


@pytest.mark.parametrize("use", USES)
def test_a_use_of_the_steps_number_is_noticed_or_fails(use):
    used = []
    try:
        USES[use](Counted(5, lambda: used.append(1)))
    except (TypeError, RuntimeError):
        used.append(2)
    assert used


def test_a_step_that_is_passed_on_is_not_used():
    used = []
    step = Counted(5, lambda: used.append(1))
    assert [step, (step,)][0] is step and not used
