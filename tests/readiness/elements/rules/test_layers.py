"""torch's own layers, run while readiness is carried along, beside what changes when a step of the input is swapped."""

import math

import pytest
import torch
import torch.nn.functional as F
from swaps import differs
from torch import nn

from pixkit.readiness.elements.run import Given, Run

T = 5
LATER = torch.ones(T, T).triu(1).bool()
EARLIEST = (torch.arange(T) == 0)[:, None]
INF = math.inf


class Sequence(nn.Module):
    """A layer over [batch, T, features], called in a way of its own."""

    def __init__(self, layer, call):
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x):
        return self.call(self.layer, x)


def attending(**options):
    return lambda layer, x: layer(x, x, x, **options)[0]


def first(layer, x):
    return layer(x)[0]


def turned(layer, x):
    return layer(x.mT).mT


def shifted(layer, x):
    return layer(F.pad(x.mT, (2, 0))).mT


def packed(layer, x):
    rows = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([T - 1, T]), batch_first=True, enforce_sorted=False)
    return nn.utils.rnn.pad_packed_sequence(layer(rows)[0], batch_first=True)[0]


def masked(layer, x):
    scores = (layer(x) @ x.mT).masked_fill(LATER | EARLIEST, -INF)
    return scores.softmax(-1).nan_to_num(0) @ x


def normalised(layer, x):
    weights = ((layer(x) @ x.mT) + torch.zeros(T, T).masked_fill(LATER, -INF)).exp()
    return weights / weights.sum(-1, keepdim=True) @ x


def to_the_largest(layer, x):
    scores = (layer(x) @ x.mT).masked_fill(LATER, -INF)
    return scores.masked_fill(scores < scores.topk(3).values[..., 2:], -INF).softmax(-1) @ x


def linear_attention(layer, x):
    return torch.einsum("btd,btde->bte", x, torch.einsum("btd,bte->btde", layer(x), x).cumsum(1))


ENCODER = {"d_model": 4, "nhead": 2, "dim_feedforward": 6, "batch_first": True}
LAYERS = {
    "attention": lambda: Sequence(nn.MultiheadAttention(4, 2, batch_first=True), attending(attn_mask=LATER)),
    "attention without weights": lambda: Sequence(
        nn.MultiheadAttention(4, 2, batch_first=True), attending(attn_mask=LATER, need_weights=False, is_causal=True)
    ),
    "attention to all": lambda: Sequence(nn.MultiheadAttention(4, 2, batch_first=True), attending()),
    "attention with biases": lambda: Sequence(
        nn.MultiheadAttention(4, 2, batch_first=True, add_bias_kv=True, add_zero_attn=True), attending(attn_mask=LATER)
    ),
    "encoder": lambda: Sequence(
        nn.TransformerEncoder(nn.TransformerEncoderLayer(**ENCODER), 2), lambda m, x: m(x, LATER, is_causal=True)
    ),
    "decoder": lambda: Sequence(
        nn.TransformerDecoder(nn.TransformerDecoderLayer(**ENCODER, norm_first=True), 1),
        lambda m, x: m(x, torch.ones(2, 3, 4, dtype=x.dtype), LATER),
    ),
    "gru": lambda: Sequence(nn.GRU(4, 3, num_layers=2, batch_first=True), first),
    "gru, both ways": lambda: Sequence(nn.GRU(4, 3, bidirectional=True, batch_first=True), first),
    "lstm": lambda: Sequence(nn.LSTM(4, 3, num_layers=2, batch_first=True), first),
    "lstm, packed": lambda: Sequence(nn.LSTM(4, 3, batch_first=True), packed),
    "rnn, packed": lambda: Sequence(nn.RNN(4, 3, batch_first=True), packed),
    "conv1d": lambda: Sequence(nn.Conv1d(4, 3, 3), shifted),
    "conv1d, reflecting": lambda: Sequence(nn.Conv1d(4, 4, 3, padding=1, padding_mode="reflect"), turned),
    "conv1d, circular": lambda: Sequence(nn.Conv1d(4, 4, 2, padding=1, padding_mode="circular"), turned),
    "gated conv1d": lambda: Sequence(nn.Conv1d(4, 6, 3), lambda m, x: F.glu(shifted(m, x), -1)),
    "batch norm": lambda: Sequence(nn.BatchNorm1d(4), turned),
    "group norm": lambda: Sequence(nn.GroupNorm(2, 4), turned),
    "layer norm": lambda: nn.LayerNorm(4),
    "rms norm": lambda: nn.RMSNorm(4),
    "attention by hand, a row of it hidden": lambda: Sequence(nn.Linear(4, 4), masked),
    "attention of exponentials": lambda: Sequence(nn.Linear(4, 4), normalised),
    "attention to the three largest": lambda: Sequence(nn.Linear(4, 4), to_the_largest),
    "linear attention": lambda: Sequence(nn.Linear(4, 4), linear_attention),
    "pooling": lambda: Sequence(nn.AvgPool1d(2, 1), lambda m, x: m(F.pad(x.mT, (1, 0))).mT),
    "interpolation": lambda: Sequence(nn.Upsample(scale_factor=2), turned),
    "roll": lambda: Sequence(nn.Linear(4, 4), lambda m, x: m(x).roll(1, 1) * (torch.arange(T) > 0)[:, None]),
    "places": lambda: Sequence(nn.Linear(4, 4), lambda m, x: m(x)[:, torch.tensor([0, 0, 1, 2, 2])]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_step_is_ready_with_the_last_that_changes_it(name):
    torch.manual_seed(len(name))
    layer, x = LAYERS[name]().double().eval(), torch.randn(2, T, 4, dtype=torch.float64)
    run = Run.of(layer, [Given(x, torch.arange(T)[:, None].expand(x.shape))])
    marks = run.held(run.output).marks
    assert not run.noted
    with torch.no_grad():
        base, needed = layer(x), torch.zeros(marks.shape, dtype=torch.int64).flatten()
        for step in range(T):
            swaps = [x.clone() for _ in range(2)]
            for swap in swaps:
                swap[:, step] = torch.randn(2, 4, dtype=torch.float64)
            changed = torch.stack([differs([base], [layer(swap)]) for swap in swaps]).any(0)
            needed[changed] = step + 1
    steps_of = marks.ready.flatten(2).amax(2) if marks.ready.dim() > 2 else marks.ready
    assert torch.equal(steps_of, needed.view(marks.shape).amax(-1))


def test_shapes_that_depend_on_values_are_noted():
    x = torch.randn(4)
    found = [Run.of(module, [Given(x, torch.arange(4))]).noted for module in (lambda x: x[x > 0], lambda x: x[[0, 2]])]
    assert [[noted.kind for noted in notes] for notes in found] == [["shape"], []]


def test_a_batch_norm_in_eval_leaves_its_statistics_as_they_are():
    norm, x = nn.BatchNorm1d(3).eval(), torch.randn(2, 3, 4)
    run = Run.of(lambda x: norm(norm(x)), [Given(x, torch.arange(4).expand(x.shape))])
    assert torch.equal(run.held(run.output).marks.ready, torch.arange(1, 5).expand(x.shape))
