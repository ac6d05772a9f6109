"""Calls of operations of which one argument can settle the result, of those that fill and copy, and of lists."""

import torch
from samples import INDEX, INF, ROWS, aten, real, zeroed
from swaps import Known

HALF = torch.tensor([[True, False], [False, True]])
YES = Known(torch.tensor([[True, True, False], [False, True, False]]), torch.tensor([[True, False, True]]))
"""Bits of which the middle ones are free."""
BITS = Known(torch.tensor([[-1, 0, 1], [6, -1, 0]]), torch.tensor([[True, True, True], [False, False, True]]))
ALIKE = Known(torch.tensor([[1.0, 1.0, 2.0]]).double(), torch.tensor([[True, True, False]]))
RISING = Known(torch.tensor([[-INF, INF], [1.0, -INF]]).double(), torch.tensor([[True, True], [False, False]]))
SETTLED = {
    "a product": (aten.mul.Tensor, [zeroed(3, 2), zeroed(1, 2, seed=1)]),
    "a product with 0": (aten.mul.Scalar, [real(2), 0.0]),
    "a product with 2": (aten.mul.Scalar, [real(2), 2.0]),
    "a quotient": (aten.div.Tensor, [zeroed(3, 2), zeroed(3, 1, share=0).value + 4]),
    "a sum": (aten.add.Tensor, [ROWS, real(3, 1)]),
    "a difference": (aten.sub.Tensor, [real(2, 2), RISING]),
    "a difference turned around": (aten.rsub.Scalar, [RISING, 1.0]),
    "a sum with an infinity": (aten.add.Scalar, [real(2), -INF]),
    "where": (aten.where.self, [YES, zeroed(2, 3), ALIKE]),
    "where it is one way": (aten.where.self, [Known(YES.value), real(2, 3), real(3)]),
    "where, of a number and a tensor": (aten.where.ScalarSelf, [YES, 1.0, ALIKE]),
    "where, of a tensor and a number": (aten.where.ScalarOther, [YES, real(2, 3), 0.0]),
    "masked_fill": (aten.masked_fill.Scalar, [ALIKE, YES, 1.0]),
    "masked_fill with a tensor": (aten.masked_fill.Tensor, [real(2, 3), YES, real(1)[0]]),
    "addcmul": (aten.addcmul.default, [zeroed(2, 4), zeroed(2, 4, seed=1), zeroed(1, 4, seed=2)]),
    "addcmul without a zero": (aten.addcmul.default, [zeroed(2, 2), real(2, 2), real(1, 2)]),
    "and": (aten.logical_and.default, [YES, Known(YES.value.flip(0), YES.fixed)]),
    "or": (aten.logical_or.default, [YES, Known(YES.value.flip(1), YES.fixed)]),
    "and, bit by bit": (aten.bitwise_and.Tensor, [BITS, torch.tensor([6, 5, 3])]),
    "or, bit by bit": (aten.bitwise_or.Tensor, [torch.tensor([6, 8, 2]), BITS]),
    "and, of truths": (aten.bitwise_and.Tensor, [YES, INDEX > 0]),
    "or, of truths": (aten.bitwise_or.Tensor, [YES, INDEX > 0]),
    "a power": (aten.pow.Tensor_Tensor, [real(2, 3).exp(), zeroed(2, 3)]),
    "a power of 0": (aten.pow.Tensor_Scalar, [real(2), 0]),
    "the larger": (aten.max.other, [real(2), zeroed(2, seed=3)]),
    "filled": (aten.fill.Tensor, [real(2, 2), real(1)[0]]),
    "filled with a number": (aten.fill.Scalar, [real(2, 2), 1.0]),
    "copied": (aten.copy.default, [real(2, 2), zeroed(2)]),
    "zeros": (aten.zeros_like.default, [real(2, 2)]),
    "cloned": (aten.clone.default, [zeroed(2, 2)]),
    "a list times another": (aten._foreach_mul.List, [[real(2), real(3)], [real(2, seed=1), real(1)]]),
    "a list plus numbers": (aten._foreach_add.ScalarList, [[zeroed(2), zeroed(3)], [1.0, 2.0]]),
    "norms of a list": (aten._foreach_norm.Scalar, [[real(2), real(3)], 2]),
    "maxima of a list of single ones": (aten._foreach_max.default, [[real(1), real(1, seed=1)]]),
}
"""What these give depends on all that the rule says."""
