"""Ways past a graph that the planes of storages follow: (what is done to a vector of four, readiness of the result)."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import flex_attention
from torch.utils.checkpoint import checkpoint

ZERO = torch.zeros(4, dtype=torch.float64)
EARLIER = torch.ones(4, 4, dtype=torch.float64).tril(-1)
NO_GAIN = nn.Parameter(ZERO.clone())
TRIANGLE = nn.Parameter(torch.ones(4, 4, dtype=torch.float64).tril())
REVERSED, ALL = [4, 3, 2, 1], [4, 4, 4, 4]
PLACES = torch.tensor([3, 2, 1, 0])
ARRAY = np.zeros(4)
ON_ARRAY = torch.from_numpy(ARRAY)


def given_other_storage(x):
    y = torch.zeros_like(x)
    y.data = x.flip(0)
    return y


def through_data(x):
    y = torch.zeros_like(x)
    y.data.copy_(x.flip(0))
    return y


def into_out(x):
    y = torch.zeros_like(x)
    torch.add(x.flip(0), 1, out=y)
    return y


def reduced_into_out(x, name, *dims, **options):
    """Of rows of an early and a late element each."""
    y = torch.zeros_like(x)
    getattr(torch, name)(torch.stack([x.flip(0), x], 1), *dims, **options, out=y)
    return y


def into_a_view(x):
    y = torch.zeros(2, 4, dtype=x.dtype)
    y.t()[:, 1].mul_(2).add_(x.flip(0))
    return y[1]


def into_overlapping_elements(x):
    y = torch.zeros(5, dtype=x.dtype)
    y.as_strided((4, 2), (1, 1)).copy_(torch.stack([x, x.flip(0)], 1))
    return y[:4]


def into_a_grown_storage(x):
    y = torch.empty(0, dtype=x.dtype)
    y.resize_(4).copy_(x.flip(0))
    return y


def turned_in_place(x):
    y = torch.zeros(2, 2, dtype=x.dtype)
    y.t_()
    y[0], y[1] = x[2:], x[:2]
    return y.t().flatten()


def bytes_of_another_type(x):
    y = x.view(torch.uint8).reshape(4, 8).clone()
    y[:, 6:] = y.flip(0)[:, 6:]
    return y.view(torch.float64).flatten()


def where_true(x):
    y = x.clone()
    y[x > 0] = 0
    return y


def into_a_constant(x):
    ZERO.copy_(x.flip(0))
    return ZERO * 1


def into_an_array_of_numpy(x):
    ON_ARRAY.copy_(x.flip(0))
    return torch.from_numpy(ARRAY) * 1


class Own(torch.Tensor):
    pass


@torch.jit.script
def scripted(x):
    y = torch.zeros_like(x)
    for i in range(x.size(0)):
        y[i] = x[x.size(0) - 1 - i]
    return y


def flexible(x):
    q = x.view(1, 1, 4, 1).float()
    return flex_attention(q, q, q, score_mod=lambda s, b, h, i, j: torch.where(i >= j, s, -math.inf)).flatten()


def attention(x, kind):
    q = x.view(1, 1, 4, 1)
    with sdpa_kernel(kind):
        return F.scaled_dot_product_attention(q, q, q, is_causal=True).flatten()


def recast(x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return EARLIER.float() @ x.float()


def each_in_place(x):
    y = [x.clone(), x.flip(0)]
    torch._foreach_mul_(y, 2.0)
    return y[1]


def into_memory(x):
    y, places = torch.empty(4, dtype=x.dtype), torch.empty(4, dtype=torch.int64)
    places[PLACES] = torch.arange(4)
    y[::2], y[1::2] = x[places][::2], x[places][1::2]
    written, read = torch.empty_like(y).fill_(2.0), torch.empty_like(y)
    y = torch.where(PLACES >= 0, y, read)  # chosen among, which is another matter than multiplied by zero
    y = (torch.cat([read, y]) + 1)[4:].roll(0)  # computed beside it, and moved
    return torch.addmv(written, EARLIER, y) + torch.addmv(read, EARLIER, y, beta=0)


CASES = {
    "a parameter that is zero": (lambda x: x.flip(0) * NO_GAIN, REVERSED),
    "a triangular parameter": (lambda x: TRIANGLE @ x, ALL),
    "a triangular constant": (lambda x: EARLIER @ x, [0, 1, 2, 3]),
    "a constant of numpy": (lambda x: torch.from_numpy(EARLIER.numpy()) @ x, [0, 1, 2, 3]),
    "numbers of a constant": (lambda x: x * EARLIER.sum().item() + float(EARLIER.numpy().sum()), [1, 2, 3, 4]),
    "another storage": (given_other_storage, REVERSED),
    "a storage set": (lambda x: torch.zeros_like(x).set_(x.flip(0)), REVERSED),
    "data": (through_data, REVERSED),
    "out": (into_out, REVERSED),
    "out of a sum": (lambda x: reduced_into_out(x, "sum", 1), [4, 3, 3, 4]),
    "out of a mean": (lambda x: reduced_into_out(x, "mean", 1), [4, 3, 3, 4]),
    "out of a mean, named": (lambda x: reduced_into_out(x, "mean", dim=[1], dtype=torch.float64), [4, 3, 3, 4]),
    "out of a maximum": (lambda x: reduced_into_out(x, "amax", 1), [4, 3, 3, 4]),
    "out of a product": (lambda x: reduced_into_out(x, "prod", 1), [4, 3, 3, 4]),
    "out of a norm": (lambda x: reduced_into_out(x, "norm", 2, 1), [4, 3, 3, 4]),
    "out of a cumulative sum": (lambda x: torch.cumsum(x.flip(0), 0, out=torch.zeros_like(x)), ALL),
    "a view": (into_a_view, REVERSED),
    "overlapping elements": (into_overlapping_elements, [1, 4, 3, 4]),
    "a grown storage": (into_a_grown_storage, REVERSED),
    "memory that is written in the end, or not read": (into_memory, [0, 4, 4, 4]),
    "turned in place": (turned_in_place, [3, 1, 4, 2]),
    "bytes": (bytes_of_another_type, [4, 3, 3, 4]),
    "masked assignment": (where_true, [1, 2, 3, 4]),
    "an index from data": (lambda x: ZERO[(x > 0).long()] + EARLIER[1][(x > 0).long()], [1, 2, 3, 4]),
    "a source indexed from data": (lambda x: x[(x > 0).long()], ALL),
    "assignment by index": (lambda x: torch.zeros_like(x).index_put_((PLACES,), x), REVERSED),
    "an order": (lambda x: x.sort().values, ALL),
    "scattered by an order": (lambda x: torch.zeros_like(x).scatter_(0, x.argsort(), x), ALL),
    "rows masked whole": (lambda x: torch.softmax(torch.full((4, 4), -math.inf).double() + x, -1) @ x.exp(), [0] * 4),
    "a constant written": (into_a_constant, REVERSED),
    "an array of numpy written": (into_an_array_of_numpy, REVERSED),
    "a constant that numpy computes": (lambda x: torch.from_numpy(np.tril(np.ones((4, 4)), -1)) @ x, [0, 1, 2, 3]),
    "a constant of numpy, padded": (lambda x: x * torch.tensor(np.pad([1.0], (0, 3))), [1, 0, 0, 0]),
    "a constant of bytes": (lambda x: x * torch.frombuffer(bytearray(32), dtype=x.dtype), [0, 0, 0, 0]),
    "a storage of a constant, set": (lambda x: x * x.new_empty(0).set_(ZERO), [0, 0, 0, 0]),
    "numbers of a list": (lambda x: x * torch.tensor([0.0, 1.0, 1.0, 0.0]), [0, 2, 3, 0]),
    "a part of a constant of numpy": (lambda x: x * torch.from_numpy(EARLIER[1].numpy()), [1, 0, 0, 0]),
    "torchscript": (scripted, REVERSED),
    "a checkpoint": (lambda x: checkpoint(lambda y: y.flip(0).sin(), x, use_reentrant=False), REVERSED),
    "vmap": (lambda x: torch.vmap(lambda a, b: a * b + 1)(x, x), [1, 2, 3, 4]),
    "a gradient": (torch.func.grad(lambda y: (y**3).sum()), [1, 2, 3, 4]),
    "complex numbers": (lambda x: torch.view_as_complex(torch.stack([x, x.flip(0)], -1)).conj().imag, REVERSED),
    "a Fourier transform": (lambda x: torch.fft.fft(x).real, ALL),
    "lists": (each_in_place, REVERSED),
    "a class of one's own": (lambda x: x.as_subclass(Own).flip(0) * 1, REVERSED),
    "a parameter of values": (lambda x: nn.Parameter(x.flip(0)) * 1, REVERSED),
    "flexible attention": (flexible, [1, 2, 3, 4]),
    "attention, plain": (lambda x: attention(x, SDPBackend.MATH), [1, 2, 3, 4]),
    "attention, fused": (lambda x: attention(x, SDPBackend.FLASH_ATTENTION), [1, 2, 3, 4]),
    "autocast": (recast, [0, 1, 2, 3]),
    "a zero's sign, divided by": (lambda x: torch.tanh(1 / (x.flip(0) * ZERO)), ALL),
    "a zero's sign, as an angle": (lambda x: torch.atan2(x.flip(0) * ZERO, -torch.ones_like(x)), ALL),
    "a zero's sign, as bits": (lambda x: ((x.flip(0) * ZERO).view(torch.int64) != 0).double(), ALL),
}
