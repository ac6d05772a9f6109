"""Networks in plain torch that leak by one line each, marked as such: what `prove` has to blame."""

import inspect
import math

import torch
import torch.nn.functional as F
from plain_causal import LEVELS, TOKENS, WIDTH, MaskedLinear, delayed, flat, sequence
from torch import nn

LEAKS = {}
"""The cases of this file by name."""


def leaking_line(module):
    """The number of the line that is marked, in the file of the module's class."""
    lines, first = inspect.getsourcelines(module)
    (found,) = [first + place for place, line in enumerate(lines) if "# leak" in line]
    return found


class Attention(nn.Module):
    """Queries, keys and values of a transformer's block."""

    def __init__(self):
        super().__init__()
        self.embed, self.qkv = nn.Embedding(LEVELS, WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, LEVELS)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 12), nn.GELU(), nn.Linear(12, WIDTH))
        self.register_buffer("mask", torch.tril(torch.ones(TOKENS, TOKENS, dtype=torch.bool)))

    def after(self, h):
        return self.head(self.norm(h + self.mlp(h)))


@sequence(cases=LEAKS)
class NoMask(Attention):
    def forward(self, x):
        h = delayed(self.embed(x))
        q, k, v = self.qkv(self.norm(h)).chunk(3, -1)
        h = h + F.scaled_dot_product_attention(q, k, v)  # leak
        return self.after(h)


@sequence(cases=LEAKS, strict=False)
class SoftmaxWithoutMask(Attention):
    def forward(self, x):
        h = self.embed(x)
        q, k, v = self.qkv(h).chunk(3, -1)
        scores = q @ k.transpose(1, 2) / math.sqrt(WIDTH)
        weights = torch.softmax(scores, -1)  # leak
        return self.after(h + weights @ v)


@sequence(cases=LEAKS)
class MaskTooLate(Attention):
    """The diagonal is off by one."""

    def forward(self, x):
        h = delayed(self.embed(x))
        q, k, v = self.qkv(h).chunk(3, -1)
        mask = torch.ones(TOKENS, TOKENS).tril(1) == 0
        scores = (q @ k.transpose(1, 2)).masked_fill(mask, -math.inf)
        weights = scores.softmax(-1)  # leak
        return self.after(h + weights @ v)


@sequence(cases=LEAKS, strict=False)
class WrongAxis(Attention):
    """A softmax over the queries."""

    def forward(self, x):
        h = self.embed(x)
        q, k, v = self.qkv(h).chunk(3, -1)
        scores = (q @ k.transpose(1, 2)).masked_fill(~self.mask, -math.inf)
        weights = scores.softmax(1)  # leak
        return self.after(h + weights @ v)


@sequence(cases=LEAKS)
class NotShifted(Attention):
    """Causal attention that sees its own site, the right way for the next token: here it is the token itself."""

    def forward(self, x):
        h = self.embed(x)
        q, k, v = self.qkv(h).chunk(3, -1)
        h = h + F.scaled_dot_product_attention(q, k, v, is_causal=True)  # leak
        return self.after(h)


@sequence(cases=LEAKS)
class TargetJoined(Attention):
    """The target's embedding beside the features that may be read."""

    def forward(self, x):
        e = self.embed(x)
        q, k, v = self.qkv(delayed(e)).chunk(3, -1)
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = torch.cat([h, e], -1)[..., 3 : 3 + WIDTH]  # leak
        return self.after(h)


@flat(cases=LEAKS)
class MadeTooWide(nn.Module):
    """The last mask lets a site see itself."""

    def __init__(self):
        super().__init__()
        inputs, hidden = torch.arange(TOKENS), torch.arange(20) % TOKENS
        self.first, self.last = MaskedLinear(inputs <= hidden[:, None]), nn.Linear(20, TOKENS)
        self.register_buffer("mask", (hidden <= inputs[:, None]).float())

    def forward(self, x):
        h = torch.relu(self.first(x))
        return F.linear(h, self.last.weight * self.mask, self.last.bias)  # leak
