"""Networks that leak by a line that only moves or only calls: what it cuts, or what it calls, is right elsewhere."""

import torch
import torch.nn.functional as F
from plain_causal import WIDTH, features
from plain_leaks import LEAKS
from torch import nn


@features(cases=LEAKS, channels_first=True, strict=False)
class CroppedAtTheFront(nn.Module):
    """Padding on both sides, of which the end should go."""

    def __init__(self):
        super().__init__()
        self.one, self.two = (nn.Conv1d(WIDTH, WIDTH, 3, padding=2) for _ in range(2))

    def forward(self, x):
        h = torch.relu(self.one(x)[..., :-2])
        longer = self.two(h)
        kept = longer[..., 1:].narrow(2, 0, x.shape[2])  # leak
        return h + torch.tanh(kept)


def moved(h, by):
    """A sequence that begins later, or earlier."""
    return F.pad(h, (0, 0, by, 0))[:, : h.shape[1]] if by > 0 else F.pad(h, (0, 0, 0, -by))[:, -by:]


@features(cases=LEAKS)
class MovedTheOtherWay(nn.Module):
    def __init__(self):
        super().__init__()
        self.near, self.far = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        near = self.near(moved(x, 1))
        far = moved(x, -1)  # leak
        return near * torch.sigmoid(self.far(far))


class Mix(nn.Module):
    """Attention, causal or not."""

    def __init__(self, causal):
        super().__init__()
        self.inward, self.causal = nn.Linear(WIDTH, 3 * WIDTH), causal

    def forward(self, h):
        return F.scaled_dot_product_attention(*self.inward(h).chunk(3, -1), is_causal=self.causal)


@features(cases=LEAKS, strict=False)
class NotCausalHere(nn.Module):
    """A class that is used rightly elsewhere: not causal where it reads no input."""

    def __init__(self):
        super().__init__()
        self.start = nn.Parameter(torch.ones(1, 3, WIDTH))
        self.summary, self.first, self.second = Mix(False), Mix(True), Mix(False)

    def forward(self, x):
        h = x + self.summary(self.start).mean(1, keepdim=True)
        h = h + self.first(h)
        return h + self.second(h)  # leak


@features(cases=LEAKS, strict=False)
class HeadsScattered(nn.Module):
    """Heads and sites not put back in their order before they are flattened."""

    def __init__(self):
        super().__init__()
        self.inward, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = (each.unflatten(-1, (2, -1)).transpose(1, 2) for each in self.inward(x).chunk(3, -1))
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        merged = heads.reshape(x.shape)  # leak
        return self.out(merged)


@features(cases=LEAKS, strict=False)
class StateOfTwoRounds(nn.Module):
    """A cell that begins with what it ended with: its line is innocent, as the first round shows."""

    def __init__(self):
        super().__init__()
        self.step = nn.Linear(2 * WIDTH, WIDTH)

    def cell(self, x, h):
        return torch.tanh(self.step(torch.cat([x, h], -1)))

    def forward(self, x):
        h, states = torch.zeros_like(x[:, 0]), []
        for each in x.unbind(1):
            h = self.cell(each, h)
        for each in x.unbind(1):
            h = self.cell(each, h)  # leak
            states.append(h)
        return torch.stack(states, 1)
