"""Calls of operations that sum or move, each with what is fixed of its arguments: the table of samples.

What these give depends, for generic values, on all that the rule says; samples of the others are in `bounded.py`.
"""

import math

import torch
from swaps import Known

aten = torch.ops.aten
INF = math.inf


def real(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + seed), dtype=torch.float64)


def single(*shapes):
    return [real(*shape).float() for shape in shapes]


def zeroed(*shape, seed=0, share=0.5):
    """Numbers of which a share is fixed, most of them at 0; the others are free."""
    drawn = torch.rand(*shape, generator=torch.Generator().manual_seed(seed + 7))
    return Known(real(*shape, seed=seed).masked_fill(drawn < 0.7 * share, 0), drawn < share)


def places(*numbers):
    return Known(torch.tensor(numbers))


CAUSAL = torch.zeros(4, 4, dtype=torch.float64).masked_fill(torch.ones(4, 4).triu(1).bool(), -INF)
HIDDEN = CAUSAL.masked_fill(torch.tensor([[True], [False], [False], [False]]), -INF)
ROWS = Known(real(3, 4).masked_fill(real(3, 4, seed=1) > 0.3, -INF), real(3, 4, seed=1) > 0.3)
INDEX = torch.tensor([[2, 0, 2], [1, 1, 0]])


LOWER = Known(
    real(2, 3, 3) * torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1]]),
    torch.tensor([[0, 1, 1], [0, 0, 1], [1, 0, 0]]).bool(),
)
QKV = [Known(real(12, 4)), Known(real(12)), Known(real(4, 4)), zeroed(4)]
NORMS = [Known(real(4) + 2) for _ in range(4)]
INNER = [Known(real(3, 4)), zeroed(3), Known(real(4, 3)), Known(real(4))]
SEEN = CAUSAL.masked_fill(torch.arange(4) == 0, 0).masked_fill(torch.arange(4) == 1, 0)
MIXED = torch.stack([SEEN, SEEN.flip(0)])[None, :, None] == 0
EXACT = {
    "attention to all, of zeros": (
        aten._scaled_dot_product_attention_math.default,
        [zeroed(1, 2, 3, 2), zeroed(1, 2, 4, 2, seed=1), zeroed(1, 2, 4, 2, seed=2)],
    ),
    "attention without heads": (
        aten._scaled_dot_product_attention_math.default,
        [real(2, 3, 2), real(2, 4, 2), real(2, 4, 2), Known(torch.stack([SEEN, HIDDEN.roll(1, 0)])[:, 1:])],
    ),
    "attention by truths, other ones for each": (
        aten.scaled_dot_product_attention.default,
        [*[real(1, 2, 1, 4, 2, seed=seed) for seed in range(3)], Known(MIXED)],
    ),
    "attention, truths added": (
        aten._scaled_dot_product_attention_math.default,
        [*[real(1, 1, 2, 2, seed=seed) for seed in range(3)], Known(MIXED[0, 0, :, 1:3, 1:3])],
    ),
    "attention in which each sees two": (
        aten._scaled_dot_product_flash_attention_for_cpu.default,
        [real(1, 2, 4, 2), real(1, 1, 4, 2).expand(1, 2, 4, 2), real(1, 2, 4, 2)],
        {"attn_mask": Known(SEEN)},
    ),
    "encoder layer that only normalises": (
        aten._transformer_encoder_layer_fwd.default,
        [
            *(real(2, 2, 4), 4, 2, *QKV[:2], Known(torch.zeros(4, 4).double()), QKV[3], True, False, 1e-5, *NORMS),
            *(*INNER[:2], Known(torch.zeros(4, 3).double()), INNER[3]),
        ],
    ),
    "mm": (aten.mm.default, [zeroed(2, 3), zeroed(3, 2)]),
    "mm of a fixed NaN": (aten.mm.default, [Known(torch.full((2, 3), math.nan)), torch.randn(3, 2)]),
    "mm with a fixed NaN": (aten.mm.default, [real(3, 2), Known(torch.tensor([[math.nan, 1], [1, 1]]).double())]),
    "bmm": (aten.bmm.default, [zeroed(2, 2, 3), zeroed(2, 3, 2)]),
    "bmm of one matrix": (aten.bmm.default, [zeroed(2, 2, 3), Known(real(3, 2)).value.expand(2, 3, 2)]),
    "addmm": (aten.addmm.default, [real(2), zeroed(2, 3), zeroed(3, 2)]),
    "addmm without what is added": (aten.addmm.default, [real(2), zeroed(2, 3), real(3, 2)], {"beta": 0}),
    "baddbmm with a mask": (aten.baddbmm.default, [Known(CAUSAL[:2, :2]), real(2, 2, 3), real(2, 3, 2)]),
    "addbmm": (aten.addbmm.default, [real(2, 2), zeroed(2, 2, 3), zeroed(2, 3, 2)]),
    "mv": (aten.mv.default, [zeroed(3, 2), zeroed(2)]),
    "addmv": (aten.addmv.default, [real(3), zeroed(3, 2), zeroed(2)]),
    "dot": (aten.dot.default, [zeroed(4), zeroed(4, seed=1)]),
    "addr": (aten.addr.default, [real(3, 2), zeroed(3), zeroed(2)]),
    "linear": (aten.linear.default, [real(2, 3), zeroed(2, 3), real(2)]),
    "linear of a vector": (aten.linear.default, [real(3), zeroed(2, 3), real(2)]),
    "linear to a number": (aten.linear.default, [zeroed(2, 3), zeroed(3)]),
    "bilinear": (aten._trilinear.default, [real(2, 3), zeroed(2, 3, 2), zeroed(2, 2), [1, 3], [0], [1, 2], [2, 3]]),
    "conv1d": (aten.convolution.default, [real(1, 2, 5), zeroed(2, 2, 3), real(2), [1], [2], [2], False, [0], 1]),
    "conv2d of groups": (
        aten.convolution.default,
        [real(1, 4, 3, 3), zeroed(2, 2, 2, 2), None, [2, 1], [1, 0], [1, 1], False, [0, 0], 2],
    ),
    "conv1d of zeros": (
        aten.convolution.default,
        [zeroed(2, 2, 4), zeroed(3, 2, 2), None, [1], [0], [1], False, [0], 1],
    ),
    "conv3d": (
        aten.convolution.default,
        [real(1, 1, 2, 2, 2), zeroed(1, 1, 2, 1, 2), None, [1] * 3, [0] * 3, [1] * 3, False, [0] * 3, 1],
    ),
    "transposed conv1d": (
        aten.convolution.default,
        [real(1, 2, 3), zeroed(2, 1, 3), real(2), [2], [1], [2], True, [1], 2],
    ),
    "transposed conv2d": (
        aten.convolution.default,
        [real(1, 2, 2, 2), zeroed(2, 2, 2, 3), None, [2, 1], [0, 1], [1, 1], True, [0, 0], 1],
    ),
    "conv2d of one filter": (
        aten.convolution.default,
        [real(1, 2, 3, 5), zeroed(1, 2, 2, 2), real(1), [1, 1], [0, 1], [1, 3], False, [0, 0], 1],
    ),
    "conv1d of images alike": (
        aten.convolution.default,
        [Known(real(1, 1, 4)).value.expand(2, 2, 4), zeroed(2, 2, 2), None, [1], [0], [1], False, [0], 1],
    ),
    "conv_tbc": (aten.conv_tbc.default, [real(3, 1, 2), zeroed(2, 2, 2), real(2), 1]),
    "softmax": (aten._softmax.default, [ROWS, 1, False]),
    "log_softmax": (aten._log_softmax.default, [ROWS, 1, False]),
    "softmax of rows of which one is fixed": (
        aten._softmax.default,
        [Known(real(2, 3), torch.tensor([[True], [False]]).expand(2, 3)), 1, False],
    ),
    "masked softmax of all": (
        aten._masked_softmax.default,
        [real(2, 3), Known(torch.tensor([[False] * 3, [True, False, False]]))],
    ),
    "masked softmax of a batch": (
        aten._masked_softmax.default,
        [real(2, 2, 3, 3), Known(torch.tensor([[False] * 3, [True, False, False]])), 3, 1],
    ),
    "safe_softmax": (aten._safe_softmax.default, [ROWS, 1]),
    "logsumexp": (aten.logsumexp.default, [ROWS, [0]]),
    "sum": (aten.sum.dim_IntList, [real(2, 3, 2), [0, 2]]),
    "mean": (aten.mean.default, [zeroed(2, 3)]),
    "var": (aten.var.correction, [real(2, 3), [1]]),
    "norm": (aten.linalg_vector_norm.default, [real(2, 3), 2, [0], True]),
    "prod": (aten.prod.dim_int, [zeroed(3, 4, share=0.3), 1]),
    "cumsum": (aten.cumsum.default, [real(2, 4), 1]),
    "cumprod": (aten.cumprod.default, [zeroed(4, 3, share=0.3), 0]),
    "logcumsumexp": (aten.logcumsumexp.default, [real(2, 4), 1]),
    "trace": (aten.trace.default, [real(3, 3)]),
    "sum of none": (aten.sum.dim_IntList, [real(2, 0, 3), [1]]),
    "maximum of none": (aten.cumsum.default, [real(0, 3), 0]),
    "weight_norm along the last": (aten._weight_norm_interface.default, [zeroed(2, 3), real(1, 3), 1]),
    "weight_norm": (aten._weight_norm_interface.default, [real(2, 3), real(2, 1), 0]),
    "layer_norm": (aten.native_layer_norm.default, [real(2, 3), [3], zeroed(3), real(3), 1e-5]),
    "group_norm": (aten.native_group_norm.default, [real(1, 6, 2), zeroed(6), real(6), 1, 6, 2, 2, 1e-5]),
    "batch_norm": (aten.native_batch_norm.default, [real(2, 3, 2), zeroed(3), real(3), None, None, True, 0.1, 1e-5]),
    "batch_norm, eval": (
        aten._native_batch_norm_legit_no_training.default,
        [real(2, 3, 2), zeroed(3), real(3), real(3), Known(real(3).abs() + 1), 0.1, 1e-5],
    ),
    "batch_norm without statistics": (
        aten._native_batch_norm_legit.no_stats,
        [real(2, 3, 2), zeroed(3), real(3), True, 0.1, 1e-5],
    ),
    "batch_norm, told to update": (
        aten._batch_norm_with_update_functional.default,
        [real(2, 3, 2), zeroed(3), real(3), Known(real(3)), Known(real(3).abs() + 1), 0.1, 1e-5],
        {},
        4,
    ),
    "batch_norm, told not to": (
        aten._batch_norm_no_update.default,
        [real(2, 3, 2), zeroed(3), real(3), real(3), Known(real(3).abs() + 1), 0.1, 1e-5],
        {},
        1,
    ),
    "cat": (aten.cat.default, [[real(2, 2), zeroed(1, 2)], 0]),
    "stack": (aten.stack.default, [[real(2), zeroed(2)], 1]),
    "pad": (aten.constant_pad_nd.default, [real(2, 2), [1, -1, 0, 2], 3.0]),
    "reflect": (aten.reflection_pad1d.default, [real(1, 1, 4), [2, 1]]),
    "replicate": (aten.replication_pad2d.default, [real(1, 1, 2, 2), [1, 0, 2, 1]]),
    "flip": (aten.flip.default, [real(2, 3), [1]]),
    "roll": (aten.roll.default, [real(2, 3), [1], [1]]),
    "triu": (aten.triu.default, [real(3, 3), 1]),
    "repeat_interleave": (aten.repeat_interleave.self_int, [real(2, 2), 2, 1]),
    "repeat": (aten.repeat.default, [real(2), [2, 2]]),
    "pixel_shuffle": (aten.pixel_shuffle.default, [real(1, 4, 2, 2), 2]),
    "im2col": (aten.im2col.default, [real(1, 2, 3, 3), [2, 2], [1, 1], [1, 0], [1, 2]]),
    "col2im": (aten.col2im.default, [real(1, 8, 4), [3, 3], [2, 2], [1, 1], [0, 0], [1, 1]]),
    "nearest": (aten.upsample_nearest2d.default, [real(1, 1, 2, 3), [4, 4]]),
    "nearest of 64 bits": (aten._upsample_nearest_exact1d.default, [real(1, 1, 4), [41]]),
    "nearest of 32 bits": (aten._upsample_nearest_exact1d.default, [real(1, 1, 4).float(), [41]]),
    "linear upsampling": (aten.upsample_linear1d.default, [real(1, 1, 3), [5], False]),
    "bilinear upsampling": (aten.upsample_bilinear2d.default, [zeroed(1, 2, 3, 2), [5, 4], True]),
    "trilinear upsampling": (aten.upsample_trilinear3d.default, [real(1, 1, 2, 1, 3), [3, 1, 2], False]),
    "bicubic upsampling": (aten.upsample_bicubic2d.default, [real(1, 1, 3, 2), [4, 3], False]),
    "antialiased": (aten._upsample_bilinear2d_aa.default, [real(1, 1, 5, 4), [2, 3], False]),
    "affine_grid": (aten.affine_grid_generator.default, [real(1, 2, 3), [1, 1, 2, 4], False]),
    "avg_pool": (aten.avg_pool2d.default, [real(1, 2, 3, 4), [2, 2], [1, 2], [1, 0], True]),
    "adaptive_avg_pool": (aten._adaptive_avg_pool2d.default, [real(1, 1, 5, 4), [2, 3]]),
    "index": (aten.index.Tensor, [real(3, 4), [None, places(0, 2, 2)]]),
    "index with a mask": (aten.index.Tensor, [real(2, 3), [None, places(True, False, True)]]),
    "index, apart": (aten.index.Tensor, [real(2, 2, 3), [places(0, 1, 1), None, places(2, 0, 1)]]),
    "gather": (aten.gather.default, [real(3, 2), 0, Known(INDEX[:, :2])]),
    "index_select": (aten.index_select.default, [real(2, 3), 1, places(2, 0)]),
    "take": (aten.take.default, [real(2, 3), places(5, 0)]),
    "embedding": (aten.embedding.default, [real(3, 2), Known(INDEX)]),
    "masked_select": (aten.masked_select.default, [real(2, 3), Known(INDEX > 0)]),
    "index_select from a number": (aten.index_select.default, [real(1)[0], 0, places(0)]),
    "searchsorted, sorted by a table": (
        aten.searchsorted.Tensor,
        [Known(real(2, 3)), real(2, 2)],
        {"sorter": Known(real(2, 3).argsort(1))},
    ),
    "index_put": (aten.index_put.default, [real(3, 2), [places(0, 2)], real(2, 2)]),
    "index_put, added": (aten.index_put.default, [real(3, 2), [places(2, 2), places(0, 0)], real(2), True]),
    "scatter": (aten.scatter.src, [real(3, 3), 0, Known(INDEX), real(2, 3)]),
    "scatter of numbers": (aten.scatter.src, [real(1)[0], 0, Known(torch.tensor(0)), real(2)[0]]),
    "scatter of a value": (aten.scatter.value, [real(3, 3), 0, Known(INDEX), 0.0]),
    "scatter_add": (aten.scatter_add.default, [real(3, 3), 0, Known(INDEX), real(2, 3)]),
    "scatter_reduce": (
        aten.scatter_reduce.two,
        [real(3, 3), 0, Known(INDEX), real(2, 3), "mean"],
        {"include_self": False},
    ),
    "index_add": (aten.index_add.default, [real(2, 3), 1, places(2, 2), real(2, 2)]),
    "index_add to a number": (aten.index_add.default, [real(1)[0], 0, places(0), real(1)[0]]),
    "index_copy": (aten.index_copy.default, [real(2, 3), 1, places(2, 0), real(2, 2)]),
    "index_fill": (aten.index_fill.int_Scalar, [real(2, 3), 1, places(2, 0), 1.0]),
    "put": (aten.put.default, [real(2, 3), places(1, 4), real(2)]),
    "masked_scatter": (aten.masked_scatter.default, [real(2, 3), Known(INDEX > 0), real(6)]),
    "packed": (aten._pack_padded_sequence.default, [real(3, 2, 1), places(3, 1), False]),
    "cdist of batches": (aten._cdist_forward.default, [real(2, 2, 3), real(2, 1, 3), 2.0, None]),
    "cdist": (aten._cdist_forward.default, [real(2, 3), real(4, 3), 2.0, None]),
    "mse_loss": (aten.mse_loss.default, [real(2, 2), real(2, 2), 0]),
    "substitution in a batch": (
        aten.linalg_solve_triangular.default,
        [real(2, 3, 3), real(1, 3, 1)],
        {"upper": True},
    ),
    "substitution": (aten.linalg_solve_triangular.default, [LOWER, real(1, 3, 2)], {"upper": False}),
    "substitution from below": (
        aten.linalg_solve_triangular.default,
        [real(3, 3), real(3, 2)],
        {"upper": True, "unitriangular": True},
    ),
    "substitution from the right": (
        aten.linalg_solve_triangular.default,
        [real(2, 2), real(3, 2)],
        {"upper": True, "left": False},
    ),
    "fft": (aten._fft_r2c.default, [real(2, 3), [1], 0, False]),
}
