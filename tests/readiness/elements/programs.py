"""Random programs over matrices of four rows and three columns: arithmetic, views, writes, indices, products, masks."""

import math

import torch
from torch.nn import functional as F

ROWS, COLUMNS = 4, 3
EARLIER = torch.ones(ROWS, ROWS, dtype=torch.float64).tril(-1)
SEEN = torch.ones(ROWS, ROWS, dtype=torch.bool).tril()
SOME = torch.tensor([[1.0, 0, 2], [0, 0, 1], [3, 1, 0], [0, 2, 1]], dtype=torch.float64)
WIDE = torch.tensor([[0.0, 1, 0], [0, 0, 2], [1, 0, 1]], dtype=torch.float64)
KERNEL = torch.tensor([[[0.5, 0.0, 1.0]]], dtype=torch.float64)
PLACES = torch.tensor([2, 0, 3, 3])


def attend(a, b):
    scores = (a @ b.T).masked_fill(~SEEN, -math.inf)
    return scores.softmax(-1) @ b


def attend_additively(a, b):
    penalty = torch.zeros(ROWS, ROWS, dtype=a.dtype).masked_fill_(~SEEN.T, -math.inf)
    return (a @ b.mT + penalty).log_softmax(-1).exp() @ a


def written_rows(a, b):
    y = a.clone()
    y[1:3] = b[:2]
    return y


def written_through_a_turn(a, b):
    y = torch.zeros(COLUMNS, ROWS, dtype=a.dtype)
    y.T[::2].add_(a[:2]).mul_(b[2:])
    return y.T


def written_in_place(a, b):
    a[:, 1].copy_(b[:, 0])
    return a


def scaled_in_place(a, b):
    a[1:] *= SOME[1:]
    return a


def written_out(a, b):
    torch.mul(b, SOME, out=a)
    return a


def data_written(a, b):
    a.data[0] = b[3]
    return a


def given_storage(a, b):
    y = torch.empty_like(a)
    y.data = b.flip(0)
    return y.contiguous()


def stretched(a, b):
    return a[2].expand(ROWS, COLUMNS) - a.as_strided((ROWS, COLUMNS), (COLUMNS, 0))


def overlapping(a, b):
    y = torch.zeros(ROWS + 1, COLUMNS, dtype=a.dtype)
    y.as_strided((ROWS, 2, COLUMNS), (COLUMNS, COLUMNS, 1)).copy_(torch.stack([a, b], 1))
    return y[1:]


def halves(a, b):
    y = a.contiguous().view(torch.int32).clone()
    y[:, ::2] = b.contiguous().view(torch.int32)[:, ::2]
    return torch.nan_to_num(y.view(torch.float64), 0, 1, -1).clamp(-2, 2)


OPERATIONS = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: b - 2 * a,
    "multiply": lambda a, b: a * b,
    "mask": lambda a, b: a * SOME,
    "divide": lambda a, b: a / (1 + b * b),
    "divide nothing": lambda a, b: (SOME * a) / (2 + b.abs()),
    "invert": lambda a, b: torch.tanh(1 / (a * SOME)).nan_to_num(),
    "angle": lambda a, b: torch.atan2(a * SOME, b),
    "power": lambda a, b: (1 + a.abs()) ** SOME,
    "squash": lambda a, b: torch.tanh(a),
    "greater": lambda a, b: (a > b).double(),
    "both": lambda a, b: ((a > 0) & (SOME > 0) | (b > 0) & (SOME == 0)).double(),
    "larger": lambda a, b: torch.maximum(a, b).clamp(-3, 3),
    "choose": lambda a, b: torch.where(SOME > 0, a, b),
    "choose by data": lambda a, b: torch.where(a > 0, b, SOME),
    "fill": lambda a, b: a.masked_fill(SOME == 0, 0.5),
    "fill by data": lambda a, b: a.masked_fill(b > 0, -0.5),
    "addcmul": lambda a, b: torch.addcmul(a, SOME, b, value=0.5),
    "lerp": lambda a, b: torch.lerp(a, b, 0.25),
    "earlier rows": lambda a, b: EARLIER @ a,
    "columns": lambda a, b: a @ WIDE,
    "rows": lambda a, b: (a @ b.T) @ (a * SOME),
    "affine": lambda a, b: F.linear(a, WIDE, b[0]),
    "einsum": lambda a, b: torch.einsum("tc,sc,st->tc", a, b, EARLIER),
    "attend": attend,
    "attend additively": attend_additively,
    "softmax": lambda a, b: torch.softmax(a, 0),
    "softmax of some": lambda a, b: torch.softmax(torch.where(SOME > 0, a, -math.inf), 1),
    "running sum": lambda a, b: a.cumsum(0),
    "running maximum": lambda a, b: a.cummax(1).values,
    "mean": lambda a, b: a - b.mean(0, keepdim=True),
    "norm": lambda a, b: F.layer_norm(a, (COLUMNS,)),
    "extremes": lambda a, b: a.amax(1, keepdim=True) - b.amin(0, keepdim=True),
    "sort": lambda a, b: a.sort(0).values,
    "order": lambda a, b: b.gather(0, a.argsort(0)),
    "largest": lambda a, b: torch.cat([a.topk(2, dim=0).values, b[:2]]),
    "flip": lambda a, b: a.flip(0),
    "roll": lambda a, b: a.roll(1, 0),
    "shift": lambda a, b: F.pad(a, (0, 0, 1, 0))[:-1],
    "cut": lambda a, b: torch.cat([a[1:], b[:1]]),
    "take": lambda a, b: a[PLACES],
    "take by data": lambda a, b: a[(b[:, 0] > 0).long() + 1],
    "put": lambda a, b: a.index_put((PLACES,), b),
    "add at": lambda a, b: a.index_add(0, PLACES, b),
    "scatter": lambda a, b: torch.zeros_like(a).scatter(0, PLACES[:, None].expand(ROWS, COLUMNS), b),
    "convolve": lambda a, b: F.conv1d(F.pad(a.T[:, None], (2, 0)), KERNEL)[:, 0].T,
    "pool": lambda a, b: F.avg_pool1d(a.T[None], 3, 1, 1)[0].T,
    "unfold": lambda a, b: F.pad(a, (0, 0, 1, 1)).unfold(0, 3, 1).sum(-1),
    "spectrum": lambda a, b: torch.fft.fft(a, dim=1).real,
    "complex": lambda a, b: (torch.complex(a, b) * torch.complex(SOME, a)).imag,
    "lists": lambda a, b: torch._foreach_add([a, b], [b, SOME])[1],
    "vmap": torch.vmap(lambda row, other: row * other.sum()),
    "written rows": written_rows,
    "written through a turn": written_through_a_turn,
    "written in place": written_in_place,
    "scaled in place": scaled_in_place,
    "written out": written_out,
    "data written": data_written,
    "given storage": given_storage,
    "stretched": stretched,
    "overlapping": overlapping,
    "halves": halves,
}


def program(steps):
    """The function of a list of (operation, first operand, second operand): operands count back from the latest."""

    def forward(x):
        values = [x, x.roll(1, 0) * 0.5, x.clone()]
        for name, one, other in steps:
            values.append(OPERATIONS[name](values[-1 - one % len(values)], values[-1 - other % len(values)]))
        return values[-1]

    return forward
