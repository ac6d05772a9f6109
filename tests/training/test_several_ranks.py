"""Several processes that train a model together come to the bytes of one that is alone."""

import math
import os
import signal
from types import SimpleNamespace

import pytest
import torch
from together import Together
from torch import nn
from toy_runs import manager_with
from toys import CPU, Exploding, Toy, TwoPhases, begin, toy_model, toy_recipe, toy_trainer
from untimed import untimed

from pixkit import hookimpl
from pixkit.backbones import Backbone
from pixkit.data.dataset import BatchSequence, Dataset
from pixkit.errors import RankError, UsageError
from pixkit.models.base import Phase
from pixkit.optimisers import AdamW
from pixkit.ranks import ALONE, Ranks, group
from pixkit.recipe import load_recipe
from pixkit.runs.run import Run
from pixkit.training.ahead import Ahead
from pixkit.training.build import build
from pixkit.training.exchange import OrderedSum
from pixkit.training.layout import Layout
from pixkit.training.optim import gradient_norm, trained_phases
from pixkit.training.prepare import prepare_training
from pixkit.training.recompute_check import check_recomputed
from pixkit.training.shard import Shard, balanced
from pixkit.training.step import NonFiniteStep, Stepper
from pixkit.training.together import check_alike
from pixkit.training.watch import Interrupt, Reporter, Terminated

F32, F64 = torch.float32, torch.float64
PIXELS = {
    "pixkit": 1,
    "name": "pixels",
    "data": {"source": "digits", "validation": 0.01, "limit_train": 24, "limit_test": 4},
    "model": {
        "type": "autoregressive",
        "backbone": {
            "type": "pixelcnn",
            "width": 4,
            "layers": 1,
            "first_kernel": 3,
            "output_layers": 1,
            "dropout": 0.1,
        },
    },
    "train": {"steps": 4, "batch_size": 2, "accumulate": 4, "eval_every": 2, "checkpoint_every": 1, "ema": 0.9},
    "sample": {"count": 1},
}
PHASES = {
    **PIXELS,
    "name": "phases",
    "model": {
        "type": "pixelgan",
        "backbone": {"type": "pixelcnn", "width": 4, "layers": 0, "first_kernel": 3, "output_layers": 1},
        "gaussian": 2,
        "categorical": 3,
        "features": 4,
        "encoder": {"width": 4, "hidden": 4},
        "discriminator": {"hidden": 4, "layers": 1},
    },
}


def contents(path):
    """The bytes of all that a run has, but for the times in it; its rows."""
    run = Run(path)
    files = [file for folder in (run.checkpoints, run.samples) for file in sorted(folder.rglob("*")) if file.is_file()]
    files += [path / "last", path / "best", run.scores]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}, untimed(run.rows())


@pytest.fixture
def together(tmp_path):
    yield (processes := Together(tmp_path))
    processes.end()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What a process by itself comes to."""
    path = tmp_path_factory.mktemp("alone") / "run"
    build(PIXELS, path)
    return contents(path)


def test_ranks_come_to_the_bytes_of_one_process(together, alone, tmp_path):
    """And where rank 0 saves and draws alone, in the midst of the build and in the end, it gives signs of life."""
    path = tmp_path / "run"

    def work(ranks):
        group.SIGNS, gather, signs = math.inf, ranks.gather, set()

        def noting(plain):
            if ranks._sign is not None:
                signs.add(tuple((path / name).exists() for name in ("last", "scores.json")))
            return gather(plain)

        ranks.gather = noting
        return build(PIXELS, path, resume="auto", ranks=ranks).interrupted, sorted(signs)

    assert together.run(work, 2) == {0: (None, [(False, False), (True, False), (True, True)]), 1: (None, [])}
    assert contents(path) == alone


def test_a_run_goes_on_with_another_number_of_ranks(together, alone, tmp_path):
    path = tmp_path / "run"
    build(PIXELS, path, overrides=["train.steps=1"], resume="auto")

    def work(ranks):
        if not ranks.first:
            Run.checkpoint = None  # which one is the best rank 0 says: others may see late what it has written
        given = path if ranks.first else tmp_path / f"from where rank {ranks.rank} is"
        return build(PIXELS, given, overrides=["train.shard=optimizer"], resume="auto", ranks=ranks).interrupted

    found = together.run(work, 3)
    assert found == dict.fromkeys(range(3))
    made, expected = contents(path)[0], alone[0]
    kept = [name for name in made if name.startswith("checkpoints/step-4") and name.endswith(".safetensors")]
    assert len(kept) == 3
    assert {name: made[name] for name in kept} == {name: expected[name] for name in kept}


def weights(ranks):
    """Of a model with four phases and batch normalisation, after a step."""
    stepper = prepare_training(load_recipe(PHASES), CPU, ranks=ranks).stepper
    return str(stepper.make(1)), [one.tolist() for one in stepper.model.state_dict().values()]


def test_phases_and_running_statistics_are_those_of_one_process(together):
    assert list(together.run(weights, 2).values()) == [weights(ALONE)] * 2


ROUNDS = [[[[1], [0, 2]]], [[[], [0, 1]], [[2], []]]]
"""Rounds of three parts, as two ranks may come to take them."""


def sums(ranks, rounds=((range(3),),)):
    """What three parts, of which some give some weights no gradient, add up to; signs of zeros, too, are told."""
    torch.manual_seed(0)
    parts = [torch.randn(7) * 10.0**part for part in range(3)]
    parts[1][:3] = -0.0
    weights = [torch.zeros(7, requires_grad=True) for _ in range(4)]
    weights += [torch.zeros(7, dtype=torch.float64, requires_grad=True)]
    weights += [torch.zeros(7, dtype=torch.complex64, requires_grad=True)]
    giving = [{0, 4, 5}, {0, 1, 2, 4}, {0, 2, 5}]
    total = OrderedSum(ranks, weights)
    for taken in rounds:
        own = []
        for part in taken[ranks.rank]:
            for number in giving[part]:
                (weights[number] * parts[part]).sum().real.backward()
            own.append({"part": part, "missing": total.keep()})
        total.add(ranks.gather(own))
    total.finish()
    return [one.grad if one.grad is None else [repr(value) for value in one.grad.tolist()] for one in weights]


def test_gradients_are_summed_bit_by_bit(together):
    alone = sums(ALONE)
    assert alone[1][0] == "-0.0" and alone[3] is None
    found = together.run(lambda ranks: [sums(ranks, rounds) for rounds in ROUNDS], 2)
    assert list(found.values()) == [[alone] * 2] * 2


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm1d(6), nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(self.norm(x).exp())


class Listed(Backbone):
    """Blocks with batch normalisation and dropout."""

    def __init__(self):
        super().__init__(None, None)
        self.blocks = nn.Sequential(nn.Linear(6, 6), Block(), Block())

    def forward(self, x):
        return self.blocks(x)


class Normed(Toy):
    """A loss that goes through blocks, which `train.recompute` runs again."""

    def __init__(self, *given):
        super().__init__(*given)
        self.body = Listed()

    def score(self, batch):
        return super().score(batch) * (2 + self.body(batch.x.flatten(1).float()).tanh().mean(1))


def recomputed(ranks, recompute):
    """What is logged of two steps of three parts, and the weights and statistics after."""
    torch.manual_seed(0)
    model, dataset = toy_model(recipe := toy_recipe(Normed, recompute=recompute, accumulate=3, batch_size=4))
    stepper = Stepper(model, BatchSequence(dataset, 4, 0), recipe.train, 0, CPU, ranks=ranks)
    check_recomputed(stepper)
    return [stepper.make(1), stepper.make(2)], {name: one.tolist() for name, one in model.state_dict().items()}


def test_what_is_computed_again_counts_once_in_running_statistics(together):
    plain = recomputed(ALONE, False)
    assert plain[1]["body.blocks.1.norm.num_batches_tracked"] == 6
    assert list(together.run(lambda ranks: recomputed(ranks, True), 2).values()) == [plain] * 2


class Counting(Toy):
    """A loss that changes a buffer which is no statistic."""

    def loss(self, batch, step):
        self.initialised += 1
        return super().loss(batch, step)


class Aside(Toy):
    """A loss that changes statistics, and does not call their layer."""

    def __init__(self, *given):
        super().__init__(*given)
        self.norm = torch.nn.BatchNorm2d(self.spec.shape[0], affine=False)

    def loss(self, batch, step):
        self.norm.forward(batch.x.float())
        return super().loss(batch, step)


class Both(Aside):
    """A loss that changes statistics, and depends on them."""

    def loss(self, batch, step):
        self.norm(input=batch.x.float())
        self.norm.eval()(batch.x.float())
        self.norm.train()
        return Toy.loss(self, batch, step)


class Sparse(TwoPhases):
    """Its first phase has a weight that no part of step 1 gives a gradient; step 3 is not finite in its second part."""

    def phases(self):
        return [Phase("first", self.parameters(), self.sparse), super().phases()[1]]

    def sparse(self, batch, step):
        losses = self.loss(batch, step)
        part = TURNS.index(batch.indices.item()) % 3
        if step == 2 and part == 1:
            return losses
        factor = torch.nan if step == 3 and part == 1 else 1.0
        return {**losses, "loss": factor * (self.logits * torch.rand_like(self.logits)).sum()}


TURNS: list[int] = []
"""The images of the steps below, a part each."""


def steps(ranks, ahead, shard="none"):
    """What is logged of steps 1, 2 and 3, which is not finite, and the weights after."""
    optimizer = {"type": "adamw", "weight_decay": 0.1}
    recipe = toy_recipe(Sparse, accumulate=3, batch_size=1, clip=0.5, optimizer=optimizer, shard=shard)
    model, dataset = toy_model(recipe)
    sequence = BatchSequence(dataset, 1, recipe.seed)
    TURNS[:] = [sequence.batch(number).indices.item() for number in range(9)]
    stepper = Stepper(model, sequence, recipe.train, recipe.seed, CPU, ranks=ranks)
    maker = Ahead(stepper, 0) if ahead else stepper
    rows = [maker.make(1), maker.make(2)]
    with pytest.raises(NonFiniteStep) as caught:
        maker.make(3)
    if shard != "none":
        states = [trained.optimizer.state for trained in stepper.phases]
        assert ranks.gather([sum(map(bool, state.values())) for state in states]) == [[1, 0], [1, 1]]
    return rows, caught.value.details, [one.tolist() for one in model.state_dict().values()]


@pytest.mark.parametrize("ahead", [False, True])
def test_steps_and_what_is_not_finite_are_those_of_one_process(together, ahead):
    alone = steps(ALONE, ahead)
    assert alone[1]["part"] == 1
    found = together.run(lambda ranks: [steps(ranks, ahead), steps(ranks, ahead, "optimizer")], 2)
    assert [[str(one) for one in two] for two in found.values()] == [[str(alone)] * 2] * 2


def cut_short(folder, ranks=ALONE, shard="none"):
    """A run whose hook fails at step 1, and a gradient at step 4; what the error tells, and what was kept."""

    class Failing:
        @hookimpl
        def pixkit_train_step(self, step):
            assert step > 1

    config = {"at": 4, "what": "gradient"}
    train = {"accumulate": 2, "eval_every": 9, "checkpoint_every": 9, "sample_every": 2, "keep": 9, "shard": shard}
    recipe = toy_recipe(Exploding, model_config=config, **train)
    trainer = toy_trainer(folder, recipe, ranks=ranks, manager=manager_with(Failing()))
    begin(trainer)
    with pytest.raises(NonFiniteStep) as caught:
        trainer.train()
    kept = {file.name: file.read_bytes() for file in trainer.run.checkpoint("last").iterdir()}
    return caught.value.details, trainer.run.steps(), kept


def test_ranks_that_divide_the_optimiser_save_what_one_process_does(together, tmp_path):
    details, steps, kept = cut_short(tmp_path / "alone")
    assert steps == [1, 3] and details["parameters"] == ["scale"] and "optimizer.safetensors" in kept
    found = together.run(lambda ranks: cut_short(tmp_path / "run", ranks, "optimizer"), 2)
    assert found == dict.fromkeys(range(2), (details, [2, 3], kept))  # at step 1 the others do not wait


def test_steps_are_lost_with_a_rank_that_has_a_part_of_the_optimiser(together, tmp_path):
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])  # what it imports is then imported once
    said = []

    def work(ranks):
        reporter = Reporter()
        reporter.problem = said.append
        trainer = toy_trainer(
            tmp_path / "run", toy_recipe(accumulate=2, shard="optimizer"), ranks=ranks, reporter=reporter
        )
        begin(trainer)
        if ranks.rank == 1:
            make, trainer.stepper.make = trainer.stepper.make, lambda step: make(step) if step == 1 else 1 / 0
        try:
            trainer.train()
        except RankError:
            return said

    assert "other ranks keep parts of the optimiser's state" in together.run(work, 2)[0][0]


def test_a_divided_norm_has_the_bits_of_torch():
    """Also of several types, which torch groups; a norm in float64 would differ."""
    itself = SimpleNamespace(rank=0, size=1, joined=lambda row: row[None])
    for seed in range(20):
        torch.manual_seed(seed)
        types = [torch.float32] * 30 + [torch.float64, torch.complex64] * (seed % 2)
        weights = {str(number): nn.Parameter(torch.zeros(7, dtype=dtype)) for number, dtype in enumerate(types)}
        shard = Shard(itself, weights, [0])
        shard.given = [number % 5 > 0 for number in range(len(types))]
        for there, one in zip(shard.given, weights.values(), strict=True):
            one.grad = torch.randn_like(one) if there else None
        assert torch.equal(shard.norm(), gradient_norm(weights.values()))


@pytest.mark.parametrize(("owners", "starts", "lengths", "size"), [
    (None, ([0, 3], [0]), (4, 3), 2 * (4 * 4 + 3 * 8)), ([1, 0, 1], ([7, 10], [0]), (7, 5), 2 * (7 * 4 + 5 * 8)),
    ([0, 1, 1], ([0, 4], [5]), (4, 5), 2 * (4 * 4 + 5 * 8)),
])  # fmt: skip
def test_places_in_slices(owners, starts, lengths, size):
    given = [
        nn.Parameter(torch.zeros(count, dtype=dtype)) for count, dtype in zip((3, 5, 4), (F32, F64, F32), strict=True)
    ]
    layout = Layout(given, 2, owners)
    assert layout.types == [F32, F64] and layout.bytes == size
    assert tuple([one.start for one in layout.of(dtype)] for dtype in layout.types) == starts
    assert tuple(layout.length(dtype) for dtype in layout.types) == lengths
    assert [(one.number, one.parameter is given[one.number], one.size) for one in layout.of(F32)] == [
        (0, True, 3), (2, True, 4),
    ]  # fmt: skip


def test_ranks_divide_parameters_evenly_if_the_optimiser_permits(monkeypatch):
    assert balanced([3, 9, 2, 5, 1], sums := [0, 0, 1]) == [2, 0, 2, 1, 1] and sums == [9, 6, 6]
    recipe = toy_recipe(shard="optimizer")
    monkeypatch.setattr(AdamW, "separate", False)
    assert trained_phases(toy_model(recipe)[0], recipe.train)[0].shard is None
    with pytest.raises(UsageError, match=r"train\.shard.*\n.*AdamW for the phase 'likelihood'"):
        trained_phases(toy_model(recipe)[0], recipe.train, Ranks(1, 4))


def refused(ranks):
    """What losses must not do to buffers: which of them are named."""
    found = []
    for kind in (Counting, Aside, Both):
        model, dataset = toy_model(recipe := toy_recipe(kind, accumulate=2))
        with pytest.raises(UsageError, match="several ranks cannot train it") as caught:
            Stepper(model, BatchSequence(dataset, 8, 0), recipe.train, 0, CPU, ranks=ranks).make(1)
        found.append(caught.value.found)
    return found


def test_a_model_with_other_buffers_that_losses_change_is_refused(together):
    assert together.run(refused, 2) == {rank: ["initialised", "norm", "norm"] for rank in range(2)}


def test_ranks_with_other_images_are_refused(together):
    def work(ranks):
        Dataset.hashes = lambda self: {"train": f"{ranks.rank}"}
        prepare_training(load_recipe(PIXELS), CPU, ranks=ranks)

    found = together.run(work, 2)
    assert [(one.kind, "the images: rank 1 is not" in one.text) for one in found.values()] == [(RankError, True)] * 2


def test_ranks_with_other_weights_are_named(together):
    def work(ranks):
        model, _ = toy_model(toy_recipe())
        check_alike(ranks, model, 6)
        if ranks.rank == 1:
            model.scale.data[0] += 2.0**-23
        check_alike(ranks, model, 7)

    found = together.run(work, 2)
    assert [(one.kind, "the weights after step 7: rank 1 is" in one.text) for one in found.values()] == [
        (RankError, True)
    ] * 2


def interrupted(ranks):
    """Whether a signal to rank 1 counts for all; sent on to rank 0, it is no second one there; a second one is."""
    with Interrupt() as interrupt:
        before = interrupt.shared(ranks)
        if ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        counts = interrupt.shared(ranks), interrupt.signal
        if ranks.rank == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Terminated:
            return before, counts, "ended"
    return before, counts, "went on"


def test_a_signal_to_one_rank_counts_for_all(together):
    expected = (False, (True, signal.SIGTERM), "ended")
    assert together.run(interrupted, 2) == {0: expected, 1: expected}


def test_one_part_is_not_shared():
    with pytest.raises(UsageError, match=r"train\.batch_size=2 train\.accumulate=4") as caught:
        build(PIXELS, overrides=["train.batch_size=8", "train.accumulate=1"], ranks=Ranks(1, 4))
    assert caught.value.exit_code == 2


def test_ranks_that_were_given_different_recipes_are_refused(together, tmp_path):
    def work(ranks):
        torch.backends.cpu.get_cpu_capability = lambda: f"AVX-{ranks.rank}"
        return build(PIXELS, tmp_path / "run", overrides=[f"train.batch_size={1 + ranks.rank}"], ranks=ranks)

    found = together.run(work, 2)
    assert {one.kind for one in found.values()} == {RankError}
    assert "rank 1 differs from rank 0" in found[1].text and "instructions AVX-0 -> AVX-1" in found[1].text
    assert not (tmp_path / "run").exists()
