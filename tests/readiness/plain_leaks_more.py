"""More networks that leak by one line each: what reads the future in less usual ways."""

import torch
import torch.nn.functional as F
from plain_causal import LEVELS, TOKENS, WIDTH, delayed, features, image, sequence
from plain_leaks import LEAKS, Attention
from torch import nn


@sequence(cases=LEAKS)
class NextToken(nn.Module):
    """A feature of the next token, beside those of earlier ones."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(LEVELS, WIDTH), nn.Linear(WIDTH, LEVELS)

    def forward(self, x):
        e = self.embed(x)
        following = torch.cat([e[:, 1:], torch.zeros_like(e[:, :1])], 1)  # leak
        return self.head(torch.tanh(delayed(e) + following))


@features(cases=LEAKS, strict=False)
class Sorted(nn.Module):
    def __init__(self):
        super().__init__()
        self.map = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        h = self.map(x)
        ranked = h.sort(1).values  # leak
        return h + ranked


@features(cases=LEAKS)
class TokenMaps(nn.Module):
    """An MLP-mixer without masks."""

    def __init__(self):
        super().__init__()
        self.tokens, self.maps = nn.Linear(TOKENS, TOKENS), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        h = delayed(x)
        mixed = self.tokens(h.transpose(1, 2))  # leak
        return self.maps(h + mixed.transpose(1, 2))


@sequence(cases=LEAKS)
class LastState(nn.Module):
    """The last state of a recurrence is given to every site."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(LEVELS, WIDTH), nn.Linear(WIDTH, LEVELS)
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, x):
        h, _ = self.gru(delayed(self.embed(x)))
        last = h[:, -1:]
        return self.head(torch.tanh(h + last))  # leak


@sequence(cases=LEAKS)
class SecondBlock(nn.Module):
    """nn.MultiheadAttention, whose second call is not given the mask."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(LEVELS, WIDTH), nn.Linear(WIDTH, LEVELS)
        self.first = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.second = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x):
        mask = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
        h = delayed(self.embed(x))
        h = h + self.first(h, h, h, attn_mask=mask, need_weights=False)[0]
        h = h + self.second(h, h, h, need_weights=False)[0]  # leak
        return self.head(h)


@image(cases=LEAKS)
class RowAttention(nn.Module):
    """Attention along rows, without a mask, after a shift."""

    def __init__(self):
        super().__init__()
        self.embed, self.qkv = nn.Conv2d(1, WIDTH, 1), nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x):
        h = self.embed(x).movedim(1, -1)
        h = delayed(h.flatten(1, 2)).view(h.shape)
        q, k, v = self.qkv(h).chunk(3, -1)
        h = h + F.scaled_dot_product_attention(q, k, v)  # leak
        return h.movedim(-1, 1)


@sequence(cases=LEAKS)
class Einsum(Attention):
    """Linear attention, its state the sum over all sites."""

    def forward(self, x):
        h = delayed(self.embed(x))
        q, k, v = self.qkv(h).chunk(3, -1)
        state = torch.einsum("bld,ble->bde", F.elu(k) + 1, v)  # leak
        return self.after(h + torch.einsum("bld,bde->ble", F.elu(q) + 1, state))


@features(cases=LEAKS)
class Standardised(nn.Module):
    """By the standard deviation over tokens."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        h = self.map(delayed(x))
        scale = h.std(1, keepdim=True)  # leak
        return h / (scale + 1)


@features(cases=LEAKS, channels_first=True)
class Pooled(nn.Module):
    """A mean over three sites, padded on both sides."""

    def __init__(self):
        super().__init__()
        self.map = nn.Conv1d(WIDTH, WIDTH, 1)

    def forward(self, x):
        h = self.map(F.pad(x, (1, 0))[..., :-1])
        smooth = F.avg_pool1d(h, 3, 1, 1)  # leak
        return h * torch.sigmoid(smooth)


@features(cases=LEAKS, channels_first=True)
class Unet(nn.Module):
    """Halved and doubled again, without a shift between."""

    def __init__(self):
        super().__init__()
        self.down, self.out = nn.Conv1d(WIDTH, WIDTH, 2, stride=2), nn.Conv1d(WIDTH, WIDTH, 1)

    def forward(self, x):
        h = F.pad(x, (1, 0))[..., :-1]
        coarse = self.down(h)
        fine = F.interpolate(F.relu(coarse), scale_factor=2)  # leak
        return self.out(h + fine)


@features(cases=LEAKS)
class WrittenTooFar(nn.Module):
    """A slice is written in place that begins too late."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        h = self.map(x)
        out = torch.zeros_like(h)
        out[:, 1:] = h[:, :-1]
        out[:, 2] += h[:, 2]  # leak
        return torch.tanh(out)
