"""More causal networks in plain torch: mixers, decays, positions, orders, windows, blocks."""

import math

import torch
import torch.nn.functional as F
from plain_causal import LEVELS, TOKENS, WIDTH, delayed, features, flat, image, sequence
from torch import nn

ORDER = torch.tensor([3, 0, 5, 1, 7, 2, 6, 4])
"""Which site comes when."""


@features()
class Mixer(nn.Module):
    """An MLP-mixer whose maps of tokens are strictly triangular, then triangular."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.ParameterList(torch.randn(TOKENS, TOKENS) for _ in range(2))
        self.maps = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 12), nn.GELU(), nn.Linear(12, WIDTH))
        self.register_buffer("lower", torch.tril(torch.ones(TOKENS, TOKENS)))

    def forward(self, x):
        h = (self.tokens[0] * self.lower.tril(-1)) @ x
        h = h + self.maps(h)
        return h + (self.tokens[1] * self.lower) @ h


@features(strict=False)
class Decay(nn.Module):
    """RWKV's weighted means: exp(k) with a decay a channel, as a recurrence."""

    def __init__(self):
        super().__init__()
        self.key, self.value, self.gate = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.decay, self.mix = nn.Parameter(torch.rand(WIDTH)), nn.Parameter(torch.rand(WIDTH))

    def forward(self, x):
        x = x * self.mix + delayed(x) * (1 - self.mix)
        k, v = self.key(x).exp(), self.value(x)
        above, below, given = torch.zeros_like(v[:, 0]), torch.zeros_like(v[:, 0]), []
        for site in range(x.shape[1]):
            above = above * self.decay + k[:, site] * v[:, site]
            below = below * self.decay + k[:, site]
            given.append(above / below)
        return torch.sigmoid(self.gate(x)) * torch.stack(given, 1)


@features(strict=False)
class Toeplitz(nn.Module):
    """A long convolution by the matrix of its kernel, as S4 has one."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(TOKENS, WIDTH))
        apart = torch.arange(TOKENS)[:, None] - torch.arange(TOKENS)
        self.register_buffer("apart", apart.clamp(min=0))
        self.register_buffer("earlier", (apart >= 0).float())

    def forward(self, x):
        matrix = self.kernel[self.apart] * self.earlier[..., None]
        return torch.einsum("ijd,bjd->bid", matrix, x)


@features(strict=False)
class Alibi(nn.Module):
    """Attention with a slope on the distance, and -inf for what is later."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        apart = torch.arange(TOKENS)[:, None] - torch.arange(TOKENS)
        self.register_buffer("bias", torch.where(apart < 0, -math.inf, -0.5 * apart))

    def forward(self, x):
        scores = torch.einsum("bid,bjd->bij", self.q(x), self.k(x)) + self.bias
        return torch.softmax(scores, -1) @ self.v(x)


@sequence(strict=False)
class Rotary(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.qkv = nn.Embedding(LEVELS, 8), nn.Linear(8, 24)
        self.head = nn.Linear(8, LEVELS)
        angles = torch.outer(torch.arange(TOKENS), 10000 ** -(torch.arange(4) / 4))
        self.register_buffer("cos", angles.cos().repeat(1, 2))
        self.register_buffer("sin", angles.sin().repeat(1, 2))

    def turned(self, x):
        a, b = x.chunk(2, -1)
        return x * self.cos + torch.cat([-b, a], -1) * self.sin

    def forward(self, x):
        q, k, v = self.qkv(self.embed(x)).chunk(3, -1)
        return self.head(F.scaled_dot_product_attention(self.turned(q), self.turned(k), v, is_causal=True))


@features(strict=False)
class Local(nn.Module):
    """Each site attends to itself and the two before it, by unfolded windows."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x):
        k, v = (F.pad(part(x), (0, 0, 2, 0)).unfold(1, 3, 1) for part in (self.k, self.v))
        weights = torch.einsum("bld,bldw->blw", self.q(x), k).softmax(-1)
        return torch.einsum("blw,bldw->bld", weights, v)


@image(strict=False)
class Axial(nn.Module):
    """Attention within a row, causal; and, over all rows above, within a column."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(1, WIDTH, 1)
        self.row, self.column = (nn.Linear(WIDTH, 3 * WIDTH) for _ in range(2))

    def forward(self, x):
        h = self.embed(x).movedim(1, -1)
        above = F.scaled_dot_product_attention(*self.column(h.transpose(1, 2)).chunk(3, -1), is_causal=True)
        h = h + F.pad(above.transpose(1, 2), (0, 0, 0, 0, 1, 0))[:, :-1]
        h = h + F.scaled_dot_product_attention(*self.row(h).chunk(3, -1), is_causal=True)
        return h.movedim(-1, 1)


@sequence(steps=torch.argsort(ORDER))
class Permuted(nn.Module):
    """In an order of its own: into it, shifted, causal attention, and back."""

    def __init__(self):
        super().__init__()
        self.embed, self.qkv = nn.Embedding(LEVELS, WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.head = nn.Linear(WIDTH, LEVELS)
        self.register_buffer("order", ORDER)

    def forward(self, x):
        h = delayed(self.embed(x)[:, self.order])
        h = F.scaled_dot_product_attention(*self.qkv(h).chunk(3, -1), is_causal=True)
        return self.head(h)[:, torch.argsort(self.order)]


@sequence(steps=torch.argsort(ORDER))
class TwoStreams(nn.Module):
    """XLNet's: queries know their place and not their token, content is masked by the order."""

    def __init__(self):
        super().__init__()
        self.embed, self.places = nn.Embedding(LEVELS, WIDTH), nn.Parameter(torch.randn(TOKENS, WIDTH))
        self.key, self.head = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, LEVELS)
        when = torch.argsort(ORDER)
        self.register_buffer("content", when <= when[:, None])
        self.register_buffer("query", when < when[:, None])

    def forward(self, x):
        h, g = self.embed(x) + self.places, self.places.expand(len(x), -1, -1)
        k, v = self.key(h).chunk(2, -1)
        seen = torch.where(self.query.any(1, keepdim=True), F.scaled_dot_product_attention(g, k, v, self.query), 0)
        h, g = h + F.scaled_dot_product_attention(h, k, v, self.content), g + torch.nan_to_num(seen)
        return self.head(g)


@features()
class Blocks(nn.Module):
    """Means of blocks of two sites, each read by the blocks after it; and by the site the one before it."""

    def __init__(self):
        super().__init__()
        self.coarse, self.fine = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        means = x.unflatten(1, (-1, 2)).mean(2)
        return self.coarse(delayed(means)).repeat_interleave(2, 1) + self.fine(delayed(x))


@image(strict=False)
class RowLstm(nn.Module):
    """A row at a time: a causal convolution along the row, and the state of the row above."""

    def __init__(self):
        super().__init__()
        self.inward, self.state = nn.Conv1d(1, 4 * WIDTH, 3), nn.Conv1d(WIDTH, 4 * WIDTH, 3, padding=1)

    def forward(self, x):
        h = c = x.new_zeros(len(x), WIDTH, x.shape[-1])
        rows = []
        for row in x.unbind(2):
            i, f, o, g = (self.inward(F.pad(row, (2, 0))) + self.state(h)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            rows.append(h)
        return torch.stack(rows, 2)


@features(strict=False)
class InPlace(nn.Module):
    """Writes its answer slice by slice."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        out = torch.zeros_like(x)
        out[:, 0] = x[:, 0]
        for site in range(1, x.shape[1]):
            out[:, site] = torch.tanh(self.map(out[:, site - 1])) + x[:, site]
        return out


@flat()
class Flow(nn.Module):
    """The log determinant's place taken by a scale: a lower-triangular map, by a mask that forward makes."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(TOKENS, TOKENS))
        self.scale = nn.Parameter(torch.ones(TOKENS))

    def forward(self, x):
        return F.linear(x, torch.tril(self.weight, -1)) * self.scale.exp()


@features(strict=False)
class RunningMax(nn.Module):
    def __init__(self):
        super().__init__()
        self.map = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x):
        return self.map(torch.cat([x, torch.cummax(x, 1).values], -1))
