"""Activations that are computed again."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import CheckpointError, checkpoint
from toys import CPU, Toy, toy_recipe, toy_trainer

from pixkit.backbones import Backbone
from pixkit.errors import UsageError
from pixkit.execution.native.fusing import FusedOnCPU
from pixkit.layers import Fusing, fusing
from pixkit.models.base import Phase
from pixkit.precision import read
from pixkit.training import prepare as preparing
from pixkit.training.precision import Arithmetic
from pixkit.training.recompute import Recomputing, blocks, standing_in
from pixkit.training.recompute_check import _alike, check_recomputed
from pixkit.training.way import Way

WIDTH = 4


class Kept:
    """Features, and what the first block that reads them makes of them."""

    def __init__(self, plain):
        self.plain, self.active = plain, None


class Block(nn.Module):
    """With dropout, batch norm, a buffer that it depends on, a torch mode, and a result left in its argument."""

    def __init__(self):
        super().__init__()
        self.inner = nn.ModuleList([nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())])  # within a block: its part
        self.norm, self.dropout = nn.BatchNorm1d(WIDTH), nn.Dropout(0.5)
        self.frozen = nn.Dropout(0.5)
        self.register_buffer("turn", torch.ones(()))
        self.runs = 0

    def forward(self, kept):
        self.runs += 1
        self.turn *= 1.1
        kept.active = kept.plain.exp() if kept.active is None else kept.active
        factor = 2.0 if fusing(kept.plain) is None else 3.0
        x = self.frozen(self.dropout(self.norm(self.inner[0](kept.active)))) * self.turn.clone() * factor
        return Kept((kept.plain + x).tanh())


class Blocks(Backbone):
    def __init__(self):
        super().__init__(None, None)
        self.stem = nn.Linear(6, WIDTH)
        self.blocks = nn.ModuleList([nn.ModuleList([Block(), Block()]), nn.Sequential(nn.Linear(WIDTH, 1), nn.Tanh())])

    def forward(self, x):
        kept = Kept(self.stem(x))
        first, second = self.blocks[0]
        return self.blocks[1](second(first(kept)).plain + second(kept).plain)


class Blocky(Toy):
    """Two phases whose losses go through a backbone with blocks, one of them called twice."""

    def __init__(self, config, spec, classes=None):
        super().__init__(config, spec, classes)
        self.body = nn.ModuleDict({"of": Blocks()})

    def phases(self):
        return [Phase("body", self.body.parameters(), self.loss), Phase("logits", [self.logits], self.loss)]

    def score(self, batch):
        features = self.body["of"]
        for block in features.blocks[0]:
            block.frozen.eval()
        result = features(batch.x.flatten(1).to(self.logits.dtype)).squeeze(1)
        for block in features.blocks[0]:
            block.frozen.train(self.training)
        return super().score(batch) * (2 + result)


def trainer(folder, *, recompute, accumulate=2):
    torch.manual_seed(0)
    recipe = toy_recipe(Blocky, recompute=recompute, accumulate=accumulate, memory_format="channels_last")
    return toy_trainer(folder, recipe)


class Answering(Fusing):
    activated = gated = normalised = None


def test_steps_have_the_same_bits_and_blocks_keep_nothing(tmp_path, monkeypatch):
    ended, runs, kept = [], [], []
    for recompute in (False, True):
        stepper = trainer(tmp_path / str(recompute), recompute=recompute).stepper
        monkeypatch.setattr(type(stepper.arithmetic), "forward", lambda self, device: Answering())
        alive = 0

        def saved(tensor):
            nonlocal alive
            alive += tensor.numel()
            return tensor

        check_recomputed(stepper)
        with torch.autograd.graph.saved_tensors_hooks(saved, lambda tensor: tensor):
            stepper.phases[0].phase.loss(next(stepper.batches(1)), 1)
        for block in stepper.model.body["of"].blocks[0]:
            block.runs = 0
        rows = [stepper.make(step) for step in (1, 2)]
        ended.append((rows, torch.get_rng_state(), stepper.model.state_dict()))
        runs.append([block.runs for block in stepper.model.body["of"].blocks[0]])
        kept.append(alive)
        assert all("forward" not in vars(module) for module in stepper.model.modules())
    (plain, drawn, weights), (again, redrawn, same) = ended
    assert plain == again and torch.equal(drawn, redrawn)
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert runs == [[8, 16], [12, 24]]  # two phases, steps and parts; the second phase's gradient asks for no block
    assert kept[1] < 0.7 * kept[0]


def test_blocks_are_what_a_backbone_lists_that_has_parts():
    body = Blocks()
    assert blocks(nn.Sequential(body, Block())) == list(body.blocks[0])
    assert blocks(nn.ModuleList([Block()])) == []
    shared, other = Blocks(), Blocks()
    shared.again, other.blocks = nn.ModuleList([shared.blocks[0][0]]), shared.blocks
    assert blocks(nn.Sequential(shared, other)) == list(shared.blocks[0])  # each once, however often it is listed
    own = body.blocks[0][0].forward = lambda kept: kept
    with standing_in(blocks(body), Recomputing):
        assert body.blocks[0][0].forward is not own
        with torch.no_grad():  # nothing is kept there
            assert body.blocks[0][0]("what is no tensor") == "what is no tensor"
    assert body.blocks[0][0].forward is own


class Counting(Block):
    def forward(self, kept):
        return Kept((super().forward(kept).plain * self.runs).exp())


class Shifting(Block):
    def forward(self, kept):
        kept = super().forward(kept)
        return Kept(kept.plain.exp()) if self.runs > 2 else kept


class Noting(Block):
    def forward(self, kept):
        self.noted.append((torch.is_autocast_enabled("cpu"), read(("cuda", "conv"))))
        return super().forward(kept)


@pytest.mark.parametrize(("precision", "under"), [("bf16", (True, "ieee")), ("tf32", (False, "tf32"))])
def test_blocks_are_checked_and_run_again_in_the_arithmetic_of_a_step(tmp_path, precision, under):
    stepper = trainer(tmp_path / "run", recompute=True).stepper
    stepper.arithmetic = Arithmetic(precision, "channels_last")
    blocks = stepper.model.body["of"].blocks[0]
    blocks[1] = Noting()
    blocks[1].noted = []
    for block in blocks:
        block.norm = nn.Identity()
    check_recomputed(stepper)
    assert blocks[1].noted == [under] * 4 * 2  # both calls in both phases, each again
    assert stepper.make(1)["body/grad_norm"] > 0
    assert set(blocks[1].noted) == {under}


@pytest.mark.parametrize("cls", [Counting, Shifting])
def test_blocks_that_depend_on_more_than_is_brought_back_are_refused(tmp_path, cls):
    stepper, seeded = trainer(tmp_path / "run", recompute=True).stepper, []
    stepper.seed = lambda *given: seeded.append(given)
    check_recomputed(stepper)
    assert seeded == [(1, 0, 0), (1, 1, 0)]  # so that it has the same outcome each time
    stepper.model.body["of"].blocks[0][1] = cls()
    with pytest.raises(UsageError, match=rf"phase 'body'(?s:.*)body\.of\.blocks\.0\.1 \({cls.__name__}\) computes"):
        check_recomputed(stepper)


NAN, ONE = float("nan"), torch.tensor([1.0])
TURNED = torch.tensor([1 + 2j, 3 - 0j]).conj()


@pytest.mark.parametrize(("one", "other", "alike"), [
    ([ONE, torch.tensor(NAN)], [ONE.clone(), torch.tensor(NAN)], True),
    ([torch.tensor(NAN)], [torch.tensor(0.0)], False), ([torch.ones(2, 3)], [torch.ones(3, 2)], False),
    ([torch.tensor(0.0)], [torch.tensor(-0.0)], False), ([ONE], [ONE, ONE], False), ([ONE, ONE], [ONE], False),
    ([torch.ones(2, 3, dtype=torch.bool).t()], [torch.ones(3, 2, dtype=torch.bool)], True),
    ([ONE.expand(3)], [torch.tensor([1.0, 1.0, 2.0])], False), ([TURNED], [TURNED.resolve_conj()], True),
    ([TURNED.imag], [TURNED.imag.resolve_neg()], True), ([TURNED.imag], [-TURNED.imag], False),
])  # fmt: skip
def test_what_is_kept_is_compared_by_its_bits(one, other, alike):
    assert _alike(one, other) == alike


def test_it_is_said_that_nothing_is_recorded_or_that_there_are_no_blocks():
    config = SimpleNamespace(recompute=True, capture="on", fuse="off")
    way = Way.on(torch.device("cuda", 0), config)
    assert way.kind == "ahead"
    stepper = SimpleNamespace(config=config, model=nn.Linear(2, 2), device=CPU)
    capture, recompute = preparing._without_effect(stepper, way)
    assert "with train.recompute steps are not recorded" in capture
    assert recompute.startswith("train.recompute: has no effect: no backbone")


@pytest.mark.needs_compiler
def test_torchs_own_checkpoints_leave_what_dropout_left_or_say_that_they_do_not():
    """They compute again without the fused operations; the reentrant kind compares nothing."""
    x, net = torch.randn(5, 8, requires_grad=True), nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5))

    def gradient(way, **kind):
        torch.manual_seed(1)
        x.grad = None
        with way():
            out = checkpoint(net, x, **kind)
        out.square().sum().backward()
        return x.grad

    fused, plain = (gradient(way, use_reentrant=True) for way in (FusedOnCPU, torch.enable_grad))
    assert torch.equal(fused, plain)
    with pytest.raises(CheckpointError, match="different metadata"):
        gradient(FusedOnCPU, use_reentrant=False)
