"""Calls of operations that sum or move, each with what is fixed of its arguments: the rules' table of samples.

`EXACT` are those whose results depend, for generic values, on all that the rule says; of `BOUNDED` the values decide
which element is read, or single rows are constant.
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
    """Numbers of which a share is fixed, at 0; the others are free."""
    fixed = torch.rand(*shape, generator=torch.Generator().manual_seed(seed + 7)) < share
    return Known(real(*shape, seed=seed).masked_fill(fixed, 0), fixed)


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
QKV = [real(12, 4), real(12), real(4, 4), real(4)]
NORMS = [real(4) + 2 for _ in range(4)]
INNER = [real(3, 4), real(3), real(4, 3), real(4)]
SEEN = CAUSAL.masked_fill(torch.arange(4) == 0, 0).masked_fill(torch.arange(4) == 1, 0)
EXACT = {
    "attention in which each sees two": (
        aten._scaled_dot_product_flash_attention_for_cpu.default,
        [real(1, 2, 4, 2), real(1, 1, 4, 2).expand(1, 2, 4, 2), real(1, 2, 4, 2)],
        {"attn_mask": Known(SEEN)},
    ),
    "mm": (aten.mm.default, [zeroed(2, 3), zeroed(3, 2)]),
    "mm of a fixed NaN": (aten.mm.default, [Known(torch.full((2, 3), math.nan)), torch.randn(3, 2)]),
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
    "conv_tbc": (aten.conv_tbc.default, [real(3, 1, 2), zeroed(2, 2, 2), real(2), 1]),
    "softmax": (aten._softmax.default, [ROWS, 1, False]),
    "log_softmax": (aten._log_softmax.default, [ROWS, 1, False]),
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
    "weight_norm": (aten._weight_norm_interface.default, [real(2, 3), real(2, 1), 0]),
    "layer_norm": (aten.native_layer_norm.default, [real(2, 3), [3], zeroed(3), real(3), 1e-5]),
    "group_norm": (aten.native_group_norm.default, [real(2, 4, 2), zeroed(4), real(4), 2, 4, 2, 2, 1e-5]),
    "batch_norm": (aten.native_batch_norm.default, [real(2, 3, 2), zeroed(3), real(3), None, None, True, 0.1, 1e-5]),
    "batch_norm, eval": (
        aten._native_batch_norm_legit_no_training.default,
        [real(2, 3, 2), zeroed(3), real(3), real(3), real(3).abs() + 1, 0.1, 1e-5],
    ),
    "cat": (aten.cat.default, [[real(2, 2), zeroed(1, 2)], 0]),
    "stack": (aten.stack.default, [[real(2), zeroed(2)], 1]),
    "pad": (aten.constant_pad_nd.default, [real(2, 2), [1, -1, 0, 2], 3.0]),
    "reflect": (aten.reflection_pad1d.default, [real(1, 1, 4), [2, 1]]),
    "replicate": (aten.replication_pad2d.default, [real(1, 1, 2, 2), [1, 0, 2, 1]]),
    "flip": (aten.flip.default, [real(2, 3), [1]]),
    "roll": (aten.roll.default, [real(2, 3), [1], [1]]),
    "triu": (aten.triu.default, [real(3, 3), 1]),
    "repeat": (aten.repeat.default, [real(2), [2, 2]]),
    "pixel_shuffle": (aten.pixel_shuffle.default, [real(1, 4, 2, 2), 2]),
    "im2col": (aten.im2col.default, [real(1, 2, 3, 3), [2, 2], [1, 1], [1, 0], [1, 2]]),
    "col2im": (aten.col2im.default, [real(1, 8, 4), [3, 3], [2, 2], [1, 1], [0, 0], [1, 1]]),
    "nearest": (aten.upsample_nearest2d.default, [real(1, 1, 2, 3), [4, 4]]),
    "bilinear upsampling": (aten.upsample_bilinear2d.default, [real(1, 2, 3, 2), [5, 4], True]),
    "bicubic upsampling": (aten.upsample_bicubic2d.default, [real(1, 1, 3, 2), [4, 3], False]),
    "antialiased": (aten._upsample_bilinear2d_aa.default, [real(1, 1, 5, 4), [2, 3], False]),
    "affine_grid": (aten.affine_grid_generator.default, [real(1, 2, 3), [1, 1, 2, 3], False]),
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
    "index_put": (aten.index_put.default, [real(3, 2), [places(0, 2)], real(2, 2)]),
    "index_put, added": (aten.index_put.default, [real(3, 2), [places(2, 2), places(0, 0)], real(2), True]),
    "scatter": (aten.scatter.src, [real(3, 3), 0, Known(INDEX), real(2, 3)]),
    "scatter of a value": (aten.scatter.value, [real(3, 3), 0, Known(INDEX), 0.0]),
    "scatter_add": (aten.scatter_add.default, [real(3, 3), 0, Known(INDEX), real(2, 3)]),
    "scatter_reduce": (
        aten.scatter_reduce.two,
        [real(3, 3), 0, Known(INDEX), real(2, 3), "mean"],
        {"include_self": False},
    ),
    "index_add": (aten.index_add.default, [real(2, 3), 1, places(2, 2), real(2, 2)]),
    "index_copy": (aten.index_copy.default, [real(2, 3), 1, places(2, 0), real(2, 2)]),
    "index_fill": (aten.index_fill.int_Scalar, [real(2, 3), 1, places(2, 0), 1.0]),
    "put": (aten.put.default, [real(2, 3), places(1, 4), real(2)]),
    "masked_scatter": (aten.masked_scatter.default, [real(2, 3), Known(INDEX > 0), real(6)]),
    "packed": (aten._pack_padded_sequence.default, [real(3, 2, 1), places(3, 1), False]),
    "cdist": (aten._cdist_forward.default, [real(2, 3), real(4, 3), 2.0, None]),
    "mse_loss": (aten.mse_loss.default, [real(2, 2), real(2, 2), 0]),
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
BOUNDED = {
    "attention": (
        aten._scaled_dot_product_flash_attention_for_cpu.default,
        [real(1, 1, 4, 2), real(1, 1, 4, 2), real(1, 1, 4, 2)],
        {"attn_mask": Known(CAUSAL)},
    ),
    "attention, causal": (
        aten._scaled_dot_product_flash_attention_for_cpu.default,
        [real(1, 2, 3, 2), real(1, 2, 3, 2), real(1, 2, 3, 2), 0.0, True],
    ),
    "attention, grouped": (
        aten._scaled_dot_product_attention_math.default,
        [real(1, 2, 3, 2), real(1, 1, 3, 2), real(1, 1, 3, 2)],
        {"is_causal": True, "enable_gqa": True},
    ),
    "index_put by a free mask": (aten.index_put.default, [real(2, 3), [INDEX > 0], real(1)]),
    "an infinity plus what may be one": (
        aten.addmm.default,
        [Known(torch.full((2,), -INF).double()), real(2, 3), Known(torch.full((3, 2), INF).double())],
    ),
    "glu": (aten.glu.default, [zeroed(2, 4), 1]),
    "prelu": (aten._prelu_kernel.default, [real(2, 2), real(1, 2)]),
    "segments": (aten.segment_reduce.default, [real(4, 2), "sum"], {"lengths": Known(torch.tensor([1, 3]))}),
    "norms of rows looked up": (aten.embedding_renorm.default, [real(3, 2) * 3, INDEX, 1.0, 2.0]),
    "repeated by numbers": (aten.repeat_interleave.Tensor, [Known(torch.tensor([1, 2]))]),
    "repeated": (aten.repeat_interleave.self_Tensor, [real(2, 2), Known(torch.tensor([1, 2])), 0]),
    "masked softmax": (aten._masked_softmax.default, [real(1, 1, 3, 3), Known(CAUSAL[:3, :3] < 0), 3, 0]),
    "unpacked": (aten._pad_packed_sequence.default, [real(3, 2), places(2, 1), True, 0.0, 3]),
    "dot products in matrices": (aten.matmul.default, [real(3), zeroed(3, 2)]),
    "grid known": (aten.grid_sampler_2d.default, [real(1, 1, 3, 2), Known(real(1, 2, 2, 2).tanh()), 0, 0, False]),
    "fractional": (
        aten.fractional_max_pool2d.default,
        [real(1, 1, 4, 4), [2, 2], [2, 2], Known(torch.full((1, 1, 2), 0.4).double())],
    ),
    "distances within": (aten._pdist_forward.default, [real(3, 2)]),
    "isin": (aten.isin.Tensor_Tensor, [torch.arange(4), torch.tensor([1, 2])]),
    "histogram": (aten.histc.default, [real(5), 3]),
    "unique": (aten._unique2.default, [real(4)]),
    "solve": (aten._linalg_solve_ex.default, [real(2, 2), real(2, 1)]),
    "max": (aten.max.dim, [real(2, 3), 1]),
    "argmax": (aten.argmax.default, [real(2, 3), 1]),
    "amax": (aten.amax.default, [ROWS, [0]]),
    "median": (aten.median.dim, [real(2, 3), 0]),
    "any": (aten.any.dim, [Known(INDEX > 0, INDEX > 1), 1]),
    "all": (aten.all.dim, [Known(INDEX > 0, INDEX < 1), 0]),
    "cummax": (aten.cummax.default, [real(2, 4), 1]),
    "sort": (aten.sort.default, [real(2, 3), 1]),
    "topk": (aten.topk.default, [real(2, 3), 2]),
    "max_pool": (aten.max_pool2d_with_indices.default, [real(1, 2, 3, 4), [2, 2], [1, 1], [1, 1], [1, 2], True]),
    "adaptive_max_pool": (aten.adaptive_max_pool2d.default, [real(1, 1, 5, 4), [2, 3]]),
    "max_unpool": (aten.max_unpool2d.default, [real(1, 1, 2, 1), torch.tensor([1, 2]).view(1, 1, 2, 1), [2, 2]]),
    "grid_sample": (aten.grid_sampler_2d.default, [real(1, 1, 3, 2), real(1, 2, 2, 2).tanh(), 0, 0, False]),
    "index, free": (aten.index.Tensor, [real(3, 2), [torch.tensor([0, 2])]]),
    "index, half free": (
        aten.index.Tensor,
        [real(3, 2, 2), [Known(torch.tensor([0, 2]), torch.tensor([True, False])), None, torch.tensor([1, 0])]],
    ),
    "gather, free": (aten.gather.default, [real(3, 2), 0, INDEX[:, :2]]),
    "index_select, free": (aten.index_select.default, [real(2, 3), 1, torch.tensor([2, 0])]),
    "take, free": (aten.take.default, [real(2, 3), torch.tensor([5, 0])]),
    "embedding, free": (aten.embedding.default, [real(3, 2), INDEX]),
    "embedding_bag": (aten._embedding_bag_forward_only.default, [real(3, 2), places(0, 2, 1, 1), places(0, 1)]),
    "index_put, free": (aten.index_put.default, [real(3, 2), [torch.tensor([0, 2])], real(2, 2)]),
    "scatter, free": (aten.scatter.src, [real(4, 3), 0, INDEX, real(2, 3)]),
    "index_add, free": (aten.index_add.default, [real(2, 3), 1, torch.tensor([2, 0]), real(2, 2)]),
    "put, free": (aten.put.default, [real(2, 3), torch.tensor([1, 4]), real(2)]),
    "masked_scatter, free": (aten.masked_scatter.default, [real(2, 3), INDEX > 0, real(6)]),
    "searchsorted": (aten.searchsorted.Tensor, [real(2, 3).sort().values, real(2, 2)]),
    "renorm": (aten.renorm.default, [real(2, 3), 2, 0, 0.5]),
    "cross": (aten.linalg_cross.default, [real(2, 3), real(2, 3, seed=1)]),
    "nll_loss": (aten.nll_loss_forward.default, [real(2, 3), torch.tensor([0, 2]), real(3), 0, -100]),
    "qr": (aten.linalg_qr.default, [real(2, 2)]),
    "lstm": (
        aten.mkldnn_rnn_layer.default,
        [*single((3, 2, 2), (8, 2), (8, 2), (8,), (8,), (2, 2), (2, 2)), True, [], 2, 2, 1, True, False, False, False],
    ),
    "native attention": (
        aten._native_multi_head_attention.default,
        [*[real(1, 3, 4)] * 3, 4, 2, *QKV, Known(CAUSAL[:3, :3] < 0), True, True, 0],
    ),
    "encoder layer": (
        aten._transformer_encoder_layer_fwd.default,
        [real(1, 3, 4), 4, 2, *QKV, True, False, 1e-5, *NORMS, *INNER, Known(CAUSAL[:3, :3] < 0), 0],
    ),
    "attention, a row hidden": (
        aten._scaled_dot_product_flash_attention_for_cpu.default,
        [real(1, 1, 4, 2), real(1, 1, 4, 2), real(1, 1, 4, 2)],
        {"attn_mask": Known(HIDDEN)},
    ),
}
