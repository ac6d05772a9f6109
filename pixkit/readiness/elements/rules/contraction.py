"""Sums of products: matrices with matrices, in every form that torch has."""

from collections.abc import Sequence

import torch

from pixkit.readiness.elements.marks import Marks, core_of
from pixkit.readiness.elements.rules import codes
from pixkit.readiness.elements.rules.codes import NOTHING, Code, Given
from pixkit.readiness.elements.rules.merging import merge

CELLS = 1 << 22
"""How many products are examined at once."""


def contract(a: Code, b: Code) -> Code:
    """The code of a matrix product, [..., I, K] with [..., K, J]: the largest over k of products without NOTHING."""
    shape = codes.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (i, k), j = a.shape[-2:], b.shape[-1]
    n = shape.numel()
    if n * i * j == 0 or k == 0:
        return a.new_full((*shape, i, j), NOTHING)
    if not (_passes(a) or _passes(b)):
        return torch.maximum(codes.latest(a, [-1]), codes.latest(b, [-2])).expand(*shape, i, j)
    if _one(b):
        rows = a.expand(*shape, i, k).reshape(n * i, k)
        return _matrices(rows, b.reshape(-1, k, j)[0]).view(*shape, i, j)
    if _one(a):
        columns = b.expand(*shape, k, j).movedim(-2, 0).reshape(k, n * j)
        return _matrices(a.reshape(-1, i, k)[0], columns).view(i, *shape, j).movedim(0, -2)
    a, b = a.expand(*shape, i, k).reshape(n, i, k), b.expand(*shape, k, j).reshape(n, k, j)
    first, of = merge(torch.cat([a.flatten(1), b.flatten(1)], 1))
    found = torch.stack([_matrices(a[m], b[m]) for m in first.tolist()])
    return found[of].view(*shape, i, j)


def _passes(code: Code) -> bool:
    """Whether it contains an element that a product skips."""
    return bool((core_of(code) < 0).any())


def _one(code: Code) -> bool:
    """Whether all matrices of a batch are the same one."""
    batch = [d for d in range(code.dim() - 2) if code.shape[d] > 1 and code.stride(d)]
    one = code[tuple(slice(1) if d in batch else slice(None) for d in range(code.dim()))]
    return not batch or bool((code == one).all())


def _matrices(a: Code, b: Code) -> Code:
    rows, row_of = merge(a)
    columns, column_of = merge(b.mT)
    a, b = a[rows], b[:, columns]
    a, b = _fold(a, b)
    bt, at = _fold(b.mT, a.mT)
    return _largest(at.mT, bt.mT)[row_of][:, column_of]


def _fold(a: Code, b: Code) -> tuple[Code, Code]:
    """Merge equal columns of a, and take the largest of the corresponding rows of b."""
    first, of = merge(a.mT)
    if len(first) == len(of):
        return a, b
    rows = b.new_full((len(first), b.shape[1]), NOTHING)
    return a[:, first], rows.scatter_reduce(0, of[:, None].expand_as(b), b, "amax")


def _largest(a: Code, b: Code) -> Code:
    k, j = b.shape
    if (a >= 0).all() and (b >= 0).all():
        return torch.maximum(a.amax(1)[:, None], b.amax(0)[None])
    nothing = b[None] < 0
    parts = []
    for rows in a.split(max(1, CELLS // (k * j))):
        both = torch.maximum(rows[:, :, None], b[None])
        both.masked_fill_(nothing | (rows < 0)[:, :, None], NOTHING)
        parts.append(both.amax(1))
    return torch.cat(parts)


def matrices(a: Marks, b: Marks) -> Code:
    """The code of a @ b for matrices, batched or not.

    A fixed NaN, which a softmax returns for a fully masked row, makes NaN of everything it is multiplied with or added
    to.
    """
    code = contract(codes.of(a, 0), codes.of(b, 0))
    for factor, dim in ((a, -1), (b, -2)):
        if factor.any_fixed and (spoilt := factor.fixed & factor.value.isnan()).any():
            code = torch.where(spoilt.any(dim, keepdim=True), 0, code)
    return code


def _added(given: Given, code: Code, factors: Sequence[Marks]) -> Code:
    """Join the addend: not at all if its scale is 0; where it is fixed at an infinity, nothing else counts.

    That holds if the product is finite, which it need not be if a factor contains an infinity.
    """
    if given["beta"] == 0:
        return code
    addend: Marks = given["self"]
    joined = codes.join(codes.of(addend), code)
    if not addend.value.is_floating_point():
        return joined
    endless = addend.fixed & addend.value.isinf()
    if not endless.any() or any((m.fixed & ~m.value.isfinite()).any() for m in factors):
        return joined
    return torch.where(endless, 0, joined)


def _column(marks: Marks) -> Marks:
    return Marks(marks.ready[..., None], marks.fixed[..., None], marks.value[..., None])


def _row(marks: Marks) -> Marks:
    return Marks(marks.ready[..., None, :], marks.fixed[..., None, :], marks.value[..., None, :])


def _mm(given: Given) -> Code:
    return matrices(given["self"], given["mat2"])


def _addmm(given: Given) -> Code:
    a, b = given["mat1"], given["mat2"]
    return _added(given, matrices(a, b), [a, b])


def _baddbmm(given: Given) -> Code:
    a, b = given["batch1"], given["batch2"]
    return _added(given, matrices(a, b), [a, b])


def _addbmm(given: Given) -> Code:
    a, b = given["batch1"], given["batch2"]
    return _added(given, codes.latest(matrices(a, b), [0])[0], [a, b])


def _mv(given: Given) -> Code:
    return matrices(given["self"], _column(given["vec"]))[..., 0]


def _addmv(given: Given) -> Code:
    a, b = given["mat"], given["vec"]
    return _added(given, matrices(a, _column(b))[..., 0], [a, b])


def _dot(given: Given) -> Code:
    other = given["other"] if "other" in given else given["tensor"]
    return matrices(_row(given["self"]), _column(other))[0, 0]


def _addr(given: Given) -> Code:
    a, b = given["vec1"], given["vec2"]
    return _added(given, matrices(_column(a), _row(b)), [a, b])


def _matmul(given: Given) -> Code:
    a, b = given["self"], given["other"]
    code = matrices(_row(a) if a.ready.dim() == 1 else a, _column(b) if b.ready.dim() == 1 else b)
    return code.reshape(given.shape)


def _linear(given: Given) -> Code:
    x, weight = given["input"], given["weight"]
    turned = Marks(weight.ready.mT, weight.fixed.mT, weight.value.mT) if weight.ready.dim() > 1 else _column(weight)
    x = _row(x) if x.ready.dim() == 1 else x
    return codes.join(matrices(x, turned).reshape(given.shape), given.optional("bias"))


def _trilinear(given: Given) -> Code:
    factors = []
    for name, dims in (("i1", "expand1"), ("i2", "expand2"), ("i3", "expand3")):
        factor = given.code(name, 0)
        for d in given[dims]:
            factor = factor.unsqueeze(d)
        factors.append(factor)
    multiplied = codes.product(*factors)
    return codes.latest(multiplied, given["sumdim"]).reshape(given.shape)


RULES = codes.table(
    {
        **{
            "mm": _mm,
            "_int_mm": _mm,
            "bmm": _mm,
            "addmm": _addmm,
            "baddbmm": _baddbmm,
            "addbmm": _addbmm,
            "_addmm_activation": _addmm,
        },
        **{"mv": _mv, "addmv": _addmv, "dot": _dot, "vdot": _dot, "inner": _matmul, "addr": _addr},
        **{"matmul": _matmul, "linear": _linear, "mkldnn_linear": _linear, "_trilinear": _trilinear},
    }
)
