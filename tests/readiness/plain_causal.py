"""Causal networks in plain torch, as anybody would write them, each with how it is to be read: a `Case`."""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

TOKENS, WIDTH, LEVELS = 8, 6, 5


@dataclass(frozen=True)
class Case:
    """What `prove` is asked: a module's class, its input, and the keywords."""

    module: type
    x: torch.Tensor
    steps: torch.Tensor
    options: dict = field(default_factory=dict)

    def asked(self):
        """The module made anew, and the arguments."""
        torch.manual_seed(0)
        return self.module().eval(), self.x, self.steps


CAUSAL = {}
"""The cases of this file by name."""


def sequence(strict=True, cases=CAUSAL, steps=None):
    """Tokens [2, L] in, logits [2, L, K] out."""
    steps = torch.arange(TOKENS) if steps is None else steps
    x = torch.arange(2 * TOKENS).reshape(2, -1) % LEVELS
    return _case(cases, x, steps.expand(2, -1), {"strict": strict, "out_steps": steps[None, :, None]})


def features(strict=True, cases=CAUSAL, channels_first=False):
    """Features [1, L, D], or [1, D, L], in and out."""
    shape = (1, WIDTH, TOKENS) if channels_first else (1, TOKENS, WIDTH)
    steps = torch.arange(TOKENS)[None, None] if channels_first else torch.arange(TOKENS)[None, :, None]
    x = torch.linspace(-1, 1, WIDTH * TOKENS).reshape(shape)
    return _case(cases, x, steps.expand(shape), {"strict": strict})


def flat(strict=True, cases=CAUSAL):
    """Levels [2, L] in, and parameters of the same shape out."""
    steps = torch.arange(TOKENS).expand(2, -1)
    return _case(cases, torch.linspace(-1, 1, 2 * TOKENS).reshape(2, -1), steps, {"strict": strict})


def image(strict=True, cases=CAUSAL, height=4, width=3):
    """An image [1, 1, H, W] in, features [1, D, H, W] out."""
    steps = torch.arange(height * width).reshape(1, 1, height, width)
    x = torch.linspace(-1, 1, height * width).reshape(steps.shape)
    return _case(cases, x, steps, {"strict": strict, "out_steps": steps})


def _case(cases, x, steps, options):
    def entered(module):
        assert module.__name__ not in cases
        cases[module.__name__] = Case(module, x, steps, options)
        return module

    return entered


def delayed(h):
    """Each site has what the one before it had; the first has zeros."""
    return F.pad(h, (0, 0, 1, 0))[:, :-1]


@sequence()
class Gpt(nn.Module):
    """Input shifted by one, two blocks, learnt positions, attention written out with a mask of its own."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(LEVELS, WIDTH)
        self.positions = nn.Parameter(torch.randn(TOKENS, WIDTH))
        self.start = nn.Parameter(torch.randn(WIDTH))
        self.qkv = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(2))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 12), nn.GELU(), nn.Linear(12, WIDTH)) for _ in range(2)
        )
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, LEVELS)
        self.register_buffer("mask", torch.tril(torch.ones(TOKENS, TOKENS, dtype=torch.bool)))

    def attend(self, qkv):
        q, k, v = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in qkv.chunk(3, -1))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        weights = scores.masked_fill(~self.mask, -math.inf).softmax(-1)
        return (weights @ v).transpose(1, 2).flatten(2)

    def forward(self, x):
        h = self.embed(x)
        h = torch.cat([self.start.expand(len(h), 1, -1), h[:, :-1]], 1) + self.positions
        for qkv, mlp in zip(self.qkv, self.mlp, strict=True):
            h = h + self.attend(qkv(h))
            h = h + mlp(h)
        return self.head(self.norm(h))


@sequence(strict=False)
class SdpaGpt(nn.Module):
    """torch's own attention, is_causal; what a language model gives for the next token."""

    def __init__(self):
        super().__init__()
        self.embed, self.qkv = nn.Embedding(LEVELS, WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.norm, self.head = nn.RMSNorm(WIDTH), nn.Linear(WIDTH, LEVELS)

    def forward(self, x):
        h = self.embed(x)
        q, k, v = (part.unflatten(-1, (3, -1)).transpose(1, 2) for part in self.qkv(h).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.head(self.norm(h + mixed.transpose(1, 2).flatten(2)))


@features(strict=False)
class MultiHead(nn.Module):
    """nn.MultiheadAttention under a float mask."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(TOKENS))

    def forward(self, x):
        return x + self.attention(x, x, x, attn_mask=self.mask, need_weights=False)[0]


@features(strict=False)
class Encoder(nn.Module):
    """nn.TransformerEncoder, told that it is causal."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 8, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.layers(x, mask=mask, is_causal=True)


@features(strict=False)
class Decoder(nn.Module):
    """nn.TransformerDecoder over a memory that depends on nothing."""

    def __init__(self):
        super().__init__()
        self.layers = nn.TransformerDecoder(nn.TransformerDecoderLayer(WIDTH, 2, 8, batch_first=True), 1)
        self.memory = nn.Parameter(torch.randn(1, 3, WIDTH))

    def forward(self, x):
        return self.layers(x, self.memory, tgt_mask=nn.Transformer.generate_square_subsequent_mask(TOKENS))


@features(channels_first=True)
class WaveNet(nn.Module):
    """Dilated convolutions, padded on the left; the first does not see its own site."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(WIDTH, WIDTH, 2)
        self.filters = nn.ModuleList(nn.Conv1d(WIDTH, 2 * WIDTH, 2, dilation=2**n) for n in range(2))
        self.skips = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 1) for _ in range(2))

    def forward(self, x):
        h, total = self.first(F.pad(x, (2, 0)))[..., :-1], 0
        for layer, skip in zip(self.filters, self.skips, strict=True):
            a, b = layer(F.pad(h, (layer.dilation[0], 0))).chunk(2, 1)
            h = h + torch.tanh(a) * torch.sigmoid(b)
            total = total + skip(h)
        return F.relu(total)


@features(channels_first=True, strict=False)
class Chomp(nn.Module):
    """A TCN's way: padded on both sides, and what came too late cut off."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 3, padding=2 * 2**n, dilation=2**n) for n in range(2))

    def forward(self, x):
        for layer in self.layers:
            x = x + F.relu(layer(x)[..., : -layer.padding[0]])
        return x


class MaskedLinear(nn.Linear):
    """A mask, a buffer, on the weights."""

    def __init__(self, mask):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.float())

    def forward(self, x):
        return F.linear(x, self.weight * self.mask, self.bias)


@flat()
class Made(nn.Module):
    """Germain et al. 2015, arXiv 1502.03509."""

    def __init__(self):
        super().__init__()
        inputs, hidden = torch.arange(TOKENS), torch.arange(20) % (TOKENS - 1)
        self.net = nn.Sequential(
            MaskedLinear(inputs <= hidden[:, None]),
            nn.ReLU(),
            MaskedLinear(hidden <= hidden[:, None]),
            nn.ReLU(),
            MaskedLinear(hidden < inputs[:, None]),
        )

    def forward(self, x):
        return self.net(x)


@sequence()
class Gru(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(LEVELS + 1, WIDTH)
        self.gru, self.head = nn.GRU(WIDTH, WIDTH, 2, batch_first=True), nn.Linear(WIDTH, LEVELS)

    def forward(self, x):
        shifted = F.pad(x[:, :-1], (1, 0), value=LEVELS)
        return self.head(self.gru(self.embed(shifted))[0])


@features(strict=False)
class Lstm(nn.Module):
    """Cell by cell, its states stacked."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(WIDTH, WIDTH)

    def forward(self, x):
        state, given = None, []
        for each in x.unbind(1):
            state = self.cell(each, state)
            given.append(state[0])
        return torch.stack(given, 1)


@features()
class RunningMean(nn.Module):
    """The mean of all earlier sites."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        count = torch.arange(1, x.shape[1] + 1)[None, :, None]
        return self.out(delayed(torch.cumsum(x, 1) / count))


@image()
class PixelCnn(nn.Module):
    """Masked kernels: type A, then type B, masks multiplied into the weights."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        mask = torch.zeros(3, 3)
        mask[0], mask[1, 0] = 1, 1
        self.register_buffer("a", mask)
        self.register_buffer("b", mask + F.pad(torch.ones(1, 1), (1, 1, 1, 1)))

    def forward(self, x):
        h = F.conv2d(x, self.first.weight * self.a, self.first.bias, padding=1)
        return h + F.conv2d(F.relu(h), self.second.weight * self.b, self.second.bias, padding=1)
