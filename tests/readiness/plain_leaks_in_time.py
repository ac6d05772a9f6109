"""Networks in plain torch that leak by one line each, and have no attention."""

import torch
import torch.nn.functional as F
from plain_causal import LEVELS, TOKENS, WIDTH, delayed, features, image, sequence
from plain_causal_more import ORDER
from plain_leaks import LEAKS
from torch import nn


@features(cases=LEAKS, channels_first=True)
class SamePadding(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv1d(WIDTH, WIDTH, 2), nn.Conv1d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x):
        h = F.relu(self.first(F.pad(x, (2, 0)))[..., :-1])
        h = h + F.relu(self.second(h))  # leak
        return h


@features(cases=LEAKS, channels_first=True, strict=False)
class PaddedOnBothSides(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3)
        self.out = nn.Conv1d(WIDTH, WIDTH, 1)

    def forward(self, x):
        padded = F.pad(x, (1, 1))
        h = self.conv(padded)  # leak
        return self.out(torch.tanh(h))


@image(cases=LEAKS)
class MaskedTooLittle(nn.Module):
    """Type B where type A should be."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, WIDTH, 1)
        mask = torch.zeros(3, 3)
        mask[0], mask[1, :2] = 1, 1
        self.register_buffer("mask", mask)

    def forward(self, x):
        h = F.conv2d(x, self.first.weight * self.mask, self.first.bias, padding=1)  # leak
        return self.second(F.relu(h))


@image(cases=LEAKS, strict=False)
class Unmasked2d(nn.Module):
    def __init__(self):
        super().__init__()
        self.inward = nn.Conv2d(1, WIDTH, 1)
        self.conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x):
        h = F.relu(self.inward(x))
        h = h + self.conv(h)  # leak
        return torch.tanh(h)


@features(cases=LEAKS)
class MeanOverTokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.inward, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        h = torch.relu(self.inward(delayed(x)))
        pooled = h.mean(1, keepdim=True)  # leak
        return self.out(h - pooled)


@features(cases=LEAKS)
class NormOverTokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.inward, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm([TOKENS, WIDTH])

    def forward(self, x):
        h = self.inward(delayed(x))
        h = self.norm(h)  # leak
        return torch.tanh(h)


@features(cases=LEAKS, channels_first=True)
class BatchStatistics(nn.Module):
    """BatchNorm without running statistics."""

    def __init__(self):
        super().__init__()
        self.norm, self.mix = nn.BatchNorm1d(WIDTH, track_running_stats=False), nn.Conv1d(WIDTH, WIDTH, 1)

    def forward(self, x):
        h = F.pad(x, (1, 0))[..., :-1]
        h = self.norm(self.mix(h))  # leak
        return F.relu(h)


@features(cases=LEAKS, strict=False)
class Flipped(nn.Module):
    def __init__(self):
        super().__init__()
        self.map = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        h = self.map(x)
        back = torch.flip(h, (1,))  # leak
        return h + torch.tanh(back)


@features(cases=LEAKS)
class SumFromTheEnd(nn.Module):
    def __init__(self):
        super().__init__()
        self.map = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        h = self.map(delayed(x))
        later = h.flip(1).cumsum(1).flip(1)  # leak
        return h + later


@sequence(cases=LEAKS)
class BothWays(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(LEVELS, WIDTH), nn.Linear(2 * WIDTH, LEVELS)
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True, bidirectional=True)

    def forward(self, x):
        h = delayed(self.embed(x))
        h, _ = self.gru(h)  # leak
        return self.head(h)


@sequence(cases=LEAKS)
class BothWaysBeside(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(LEVELS, WIDTH), nn.Linear(WIDTH, LEVELS)
        self.lstm = nn.LSTM(WIDTH, WIDTH // 2, batch_first=True, bidirectional=True)

    def forward(self, x):
        h = delayed(self.embed(x))
        told, _ = self.lstm(h)  # leak
        return self.head(h + told)


@features(cases=LEAKS)
class AroundTheShift(nn.Module):
    def __init__(self):
        super().__init__()
        self.inward, self.map = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        h = self.inward(x)
        late = self.map(delayed(h))
        h = h + late  # leak
        return torch.relu(h)


@image(cases=LEAKS)
class PooledGate(nn.Module):
    """Squeeze and excitation, over all sites."""

    def __init__(self):
        super().__init__()
        self.first, self.gate = nn.Conv2d(1, WIDTH, (1, 3)), nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, x):
        h = F.relu(self.first(F.pad(x, (3, 0))[..., :-1]))
        squeezed = F.adaptive_avg_pool2d(h, 1)  # leak
        return h * torch.sigmoid(self.gate(squeezed))


@sequence(cases=LEAKS, steps=torch.argsort(ORDER))
class NotPutBack(nn.Module):
    """The order is applied again, where its inverse should be."""

    def __init__(self):
        super().__init__()
        self.embed, self.qkv = nn.Embedding(LEVELS, WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.head = nn.Linear(WIDTH, LEVELS)
        self.register_buffer("order", ORDER)

    def forward(self, x):
        h = delayed(self.embed(x)[:, self.order])
        h = F.scaled_dot_product_attention(*self.qkv(h).chunk(3, -1), is_causal=True)
        h = h[:, self.order]  # leak
        return self.head(h)


@features(cases=LEAKS)
class WrongIndex(nn.Module):
    """Sites are read by a table, of which one entry is wrong."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(WIDTH, WIDTH)
        table = torch.arange(TOKENS) - 1
        table[0], table[3] = 0, 4
        self.register_buffer("table", table)
        self.register_buffer("first", torch.arange(TOKENS)[:, None] == 0)

    def forward(self, x):
        h = self.map(x)
        h = h[:, self.table]  # leak
        return torch.tanh(h.masked_fill(self.first, 0.0))


@features(cases=LEAKS)
class MaxOverTime(nn.Module):
    def __init__(self):
        super().__init__()
        self.inward, self.map = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        h = torch.relu(self.inward(delayed(x)))
        top = h.max(1, keepdim=True).values  # leak
        return h + self.map(top)


@features(cases=LEAKS)
class RolledRound(nn.Module):
    def __init__(self):
        super().__init__()
        self.map = nn.Sequential(nn.Linear(WIDTH, 12), nn.GELU(), nn.Linear(12, WIDTH))

    def forward(self, x):
        h = torch.roll(x, 1, 1)  # leak
        return h + self.map(h)


@features(cases=LEAKS, channels_first=True)
class Circular(nn.Module):
    def __init__(self):
        super().__init__()
        self.map = nn.Conv1d(WIDTH, WIDTH, 1)
        self.conv = nn.Conv1d(WIDTH, WIDTH, 2)

    def forward(self, x):
        h = F.relu(self.map(x))
        h = F.pad(h, (2, 0), mode="circular")  # leak
        return torch.tanh(self.conv(h)[..., :-1])


@features(cases=LEAKS)
class BlockMean(nn.Module):
    """The mean of a block, read by the block itself."""

    def __init__(self):
        super().__init__()
        self.inward, self.coarse = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        h = delayed(self.inward(x))
        means = h.unflatten(1, (-1, 4)).mean(2)
        return h + self.coarse(means).repeat_interleave(4, 1)  # leak
