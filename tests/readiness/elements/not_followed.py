"""Ways to go on without torch, and what is noted of each: (what is done to a vector of four, kinds of notes)."""

import copy
import ctypes
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy import empty_like as unwritten_like
from torch.nn import functional as F
from torch.utils._python_dispatch import _disable_current_modes

from pixkit.readiness.elements.notes import FAILED, HOST, MEMORY, OTHERWISE, RANDOM, SHAPE, UNKNOWN
from pixkit.readiness.elements.notes import UNWRITTEN as RAW

SQUARE = torch.eye(4, dtype=torch.float64)
NOUGHT = torch.zeros(4, dtype=torch.float64)
CORNER = torch.ones(1, 1, 1, 2, dtype=torch.float64)
LINEAR = {"mode": "linear", "align_corners": True}
PLAIN = {"dtype": torch.float64, "device": torch.device("cpu"), "requires_grad": False}


@torch.jit.script
def scripted(x):
    if bool(x.sum() > 0):
        return x + 1
    return x - 1


def scripted_branch(x):
    return scripted(x) * 2


def twice_reversed(x):
    return reverse(x) * 2


@torch.library.custom_op("pixkit_tests::reverse", mutates_args=())
def reverse(x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(x.numpy()[::-1].copy())


@torch.library.custom_op("pixkit_tests::unsaid", mutates_args=())
def unsaid(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    y.copy_(x.flip(0))
    return x.clone()


def written_unsaid(x):
    y = torch.zeros_like(x)
    unsaid(x, y)
    return y


def caught(x):
    try:
        return x + 1 if x.sum() > 0 else x
    except Exception:
        return x


def by_address(x):
    return torch.tensor((ctypes.c_double * 4).from_address(x.data_ptr())[::-1], dtype=x.dtype)


def by_capsule(x):
    return torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(x)).flip(0)


def in_a_thread(x):
    with ThreadPoolExecutor(1) as pool:
        return torch.from_numpy(pool.submit(x.numpy).result().copy())


def without_modes(x):
    with _disable_current_modes():
        y = torch.zeros(4, dtype=x.dtype)
        y.copy_(x.flip(0))
        return y * 1


def printed(x):
    return x + len(f"{x}")


def grown(x):
    return torch.zeros(2, dtype=x.dtype).resize_(4) + x


def written_in_part(x):
    y = torch.empty_like(x)
    y[:3] = x[:3]
    return y


def raw(*shape):
    return torch.empty(*shape, dtype=torch.float64)


def beside(*numbers, count=1):
    """Memory that holds anything, and then numbers."""
    return torch.cat([raw(count), torch.tensor(numbers, dtype=torch.float64)])


def bags(table, weights):
    return F.embedding_bag(torch.arange(4)[:, None], table, per_sample_weights=weights, mode="sum")[:, 0]


def causal(x, values):
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(x, x, values, is_causal=True)[0]


def in_another_thread(x):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: x.flip(0) * 2).result()


CASES = {
    "a thread": (in_another_thread, {OTHERWISE}),
    "a deep copy": (lambda x: copy.deepcopy(x).flip(0), {OTHERWISE}),
    "its class": (lambda x: x.flip(0) * 1 if type(x) is torch.Tensor else x * 1, {OTHERWISE}),
    "a branch": (lambda x: x + 1 if x.sum() > 0 else x - 1, {HOST}),
    "a branch of torchscript": (scripted_branch, {HOST}),
    "a caught branch": (caught, {HOST}),
    "torch.cond": (lambda x: torch.cond(x.sum() > 0, lambda y: y + 1, lambda y: y - 1, (x,)), {HOST}),
    "numpy": (lambda x: torch.from_numpy(x.numpy()[::-1].copy()), {HOST}),
    "asarray": (lambda x: torch.tensor(np.asarray(x)[::-1].copy()), {HOST}),
    "tolist": (lambda x: torch.tensor(x.tolist()[::-1]), {HOST}),
    "item": (lambda x: x + x[3].item(), {HOST}),
    "a slice": (lambda x: x * 2 + len(x[: x.argmax()]), {HOST}),
    "places to split at": (lambda x: x.tensor_split(x.argmax()[None])[0], {HOST}),
    "equal": (lambda x: x + torch.equal(x, x.flip(0)), {HOST}),
    "allclose": (lambda x: x + torch.allclose(x, x.flip(0)), {HOST}),
    "contained": (lambda x: x + (2.0 in x), {HOST}),
    "a list of scalars": (lambda x: torch.tensor([x[3], x[2], x[1], x[0]]), {HOST}),
    "the old constructor": (lambda x: torch.DoubleTensor([x[3], x[2], x[1], x[0]]), {HOST, FAILED}),
    "new_tensor": (lambda x: x.new_tensor([x[3], x[2], x[1], x[0]]), {HOST}),
    "modes switched off": (without_modes, {MEMORY}),
    "text": (printed, {HOST}),
    "a function of each": (lambda x: x.clone().apply_(lambda value: value), {HOST}),
    "numpy in a thread": (in_a_thread, {FAILED}),
    "an address": (by_address, {MEMORY}),
    "dlpack": (lambda x: torch.from_dlpack(x).flip(0), {MEMORY}),
    "a capsule": (by_capsule, {MEMORY}),
    "a storage": (lambda x: torch.tensor(x.untyped_storage().tolist()), {MEMORY, HOST}),
    "pickle": (lambda x: pickle.loads(pickle.dumps(x)), {MEMORY, FAILED}),
    "sparse": (lambda x: x.to_sparse().to_dense(), {MEMORY, FAILED}),
    "nested": (lambda x: torch.nested.as_nested_tensor([x[:2], x[2:]]).to_padded_tensor(0.0), {MEMORY, FAILED}),
    "a count": (lambda x: x + len(x.nonzero()), {SHAPE}),
    "a selection": (lambda x: x + x[x > 0].numel(), {SHAPE}),
    "random numbers": (lambda x: x + torch.rand_like(x), {RANDOM}),
    "dropout": (lambda x: F.dropout(x, 0.5, training=True), {RANDOM}),
    "an array": (lambda x: x + torch.from_numpy(np.empty(4)), {RAW}),
    "an array, compared": (lambda x: x + torch.tensor(np.empty(4) == 1), {RAW}),
    "a number of an array": (lambda x: x * float(np.empty(1)[0] == 1), {RAW}),
    "an array by another name": (lambda x: x + torch.as_tensor(unwritten_like([1, 2, 3, 4])), {RAW}),
    "the memory of an array": (lambda x: x + torch.frombuffer(np.empty(4), dtype=x.dtype), {RAW}),
    "drawn by numpy": (lambda x: x + torch.from_numpy(np.array([np.random.random()])), {OTHERWISE}),
    "an array by its class": (lambda x: x + torch.as_tensor(np.ndarray(4)), {OTHERWISE}),
    "an operation of one's own": (twice_reversed, {UNKNOWN}),
    "what it writes without saying so": (written_unsaid, {UNKNOWN}),
}

UNWRITTEN = {
    "added": lambda x: x + torch.empty(4, dtype=x.dtype),
    "of the old constructor": lambda x: x + torch.DoubleTensor(4),
    "by which a storage grows": grown,
    "written in part": written_in_part,
    "that says where": lambda x: x * (x.new_empty(4, dtype=torch.int64) > 0),
    "multiplied by zero": lambda x: x + torch.empty(4, dtype=x.dtype) * torch.zeros(4, dtype=x.dtype),
    "hidden, but summed": lambda x: x + SQUARE.tril(-1).triu(1) @ torch.empty(4, dtype=x.dtype),
    "weighed": lambda x: torch.addmv(torch.empty(4, dtype=x.dtype), SQUARE, x),
    "multiplied by a number": lambda x: x + raw(4) * 0,
    "multiplied where it is": lambda x: x + raw(4).mul_(0),
    "divided by": lambda x: x + 0 / (raw(4) + 1),
    "added to infinity": lambda x: x + (raw(4) + torch.inf).isnan(),
    "of a slope of nothing": lambda x: x + F.leaky_relu(raw(4), 0.0) * 0,
    "of a product": lambda x: x + beside(0, 0).prod(),
    "of products so far": lambda x: x + beside(0, 0).cumprod(0)[1],
    "normalized": lambda x: x + F.layer_norm(raw(4), (4,), NOUGHT, NOUGHT),
    "normalized by groups": lambda x: x + F.group_norm(raw(1, 4), 2, NOUGHT, NOUGHT)[0],
    "normalized by statistics": lambda x: x + F.batch_norm(raw(1, 4), NOUGHT, NOUGHT + 1, NOUGHT, NOUGHT)[0],
    "gated": lambda x: x + F.glu(beside(0, 0, 0, 0, count=4).flip(0), 0),
    "summed in bags": lambda x: x + bags(raw(4, 1), NOUGHT[:, None]),
    "normalized as weights": lambda x: x + torch._weight_norm(NOUGHT[:, None], raw(4, 1), 0)[:, 0],
    "substituted": lambda x: x + torch.linalg.solve_triangular(SQUARE, beside(0, 0, 0)[:, None], upper=False)[3],
    "interpolated": lambda x: x + F.interpolate(beside(0, 0, 0)[None, None], size=4, **LINEAR)[0, 0, 3],
    "between pixels": lambda x: x + F.grid_sample(beside(0, 0, 0).view(1, 1, 2, 2), CORNER, align_corners=True).sum(),
    "met by padding": lambda x: x + F.conv1d(x.new_zeros(1, 1, 1), beside(0, 0).view(1, 1, 3), padding=1)[0, 0],
    "between strides": lambda x: x + F.conv_transpose1d(NOUGHT[None, :2], beside(0, 0).view(1, 1, 3), stride=2)[0, 1],
    "met by padding in time": lambda x: (
        x + torch.conv_tbc(NOUGHT[:1, None, None], beside(0, 0).view(3, 1, 1), NOUGHT[:1], 1)[0, 0]
    ),
    "of the future": lambda x: x + causal(x.new_zeros(1, 1, 4, 1), beside(0, 0, 0).flip(0).view(1, 1, 4, 1))[0, 0, 0],
    "grown, and multiplied": lambda x: x + x.new_zeros(1).resize_(4) * NOUGHT,
    "grown like another": lambda x: x + x.new_zeros(1).resize_as_(x) @ NOUGHT,
    "of a copy that is larger": lambda x: x + torch.ops.aten.resize(NOUGHT[:1], [4]),
    "of a copy like another": lambda x: x + torch.ops.aten.resize_as(NOUGHT[:1], x),
    "with strides": lambda x: x + torch.ops.prims.empty_strided([4], [1], **PLAIN),
    "permuted": lambda x: x + torch.ops.prims.empty_permuted([4], [0], **PLAIN),
}
"""Memory that holds anything, in outputs."""

STORAGES = {
    "a storage": lambda x: x + torch.empty(0).set_(torch.UntypedStorage(16), 0, (4,), (1,)),
    "a storage of the old kind": lambda x: x + torch.DoubleTensor(torch.UntypedStorage(32)),
    "a storage, multiplied": lambda x: x + x.new(torch.UntypedStorage(32)) * NOUGHT,
}
"""The same of storages, which torch cannot be told to fill."""
