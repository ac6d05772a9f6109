"""Attention as a whole: scaled dot products under a mask, and the fast paths of torch's own layers."""

import math

import torch
from torch import Tensor

from pixkit.readiness.elements.marks import Marks
from pixkit.readiness.elements.rules import codes, softmax
from pixkit.readiness.elements.rules.codes import NOTHING, Code, Given
from pixkit.readiness.elements.rules.contraction import contract
from pixkit.readiness.elements.rules.merging import merge


def attend(q: Code, k: Code, v: Code, mask: Code | None) -> tuple[Code, Code]:
    """The codes of attention's output and weights, from queries [..., L, E], keys [..., S, E] and values [..., S, D].

    In the mask, [L, S] or broadcastable to the weights, NOTHING is a score of -inf. Equal heads and batch elements are
    computed once.
    """
    batch = codes.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2], () if mask is None else mask.shape[:-2])
    flat = [t.expand(*batch, *t.shape[-2:]).reshape(batch.numel(), *t.shape[-2:]) for t in (q, k, v)]
    told = [t.flatten(1) for t in flat]
    masks = None
    if mask is not None:
        common = all(n == 1 for n in mask.shape[:-2])
        masks = mask.reshape(1, *mask.shape[-2:]) if common else mask.expand(*batch, *mask.shape[-2:]).flatten(0, -3)
        told += [] if common else [masks.flatten(1)]
        masks = masks.expand(batch.numel(), *mask.shape[-2:])
    first, of = merge(torch.cat(told, 1))
    found = [_attend(flat[0][i], flat[1][i], flat[2][i], None if masks is None else masks[i]) for i in first.tolist()]
    out, weights = (torch.stack(part)[of] for part in zip(*found, strict=True))
    return out.view(*batch, *out.shape[1:]), weights.view(*batch, *weights.shape[1:])


def _attend(q: Code, k: Code, v: Code, mask: Code | None) -> tuple[Code, Code]:
    scores = contract(q, k.mT).clamp_min(0)
    if mask is not None:
        scores = torch.where(mask < 0, NOTHING, torch.maximum(scores, mask))
    weights = softmax.weights(scores)
    return contract(weights, v), weights


def causal(rows: int, columns: int, like: Tensor) -> Code:
    """The mask of `is_causal`: row i sees columns up to i."""
    return torch.ones(rows, columns, dtype=torch.int64, device=like.device).tril() - 1


def additive(given: Given, mask: Marks) -> Code:
    """A mask added to scores or, if boolean, hiding them where False; inner functions add boolean masks as well."""
    hides = mask.value.dtype is torch.bool and given.call.func.__name__.startswith("scaled")
    return codes.of(mask, 0 if hides else -math.inf)


def _dot_products(given: Given) -> list[Code]:
    """Output, then the log-sum-exp of the scores or, in the plain form, the weights; the rest is the kernel's."""
    q, k, v = given.code("query", 0), given.code("key", 0), given.code("value", 0)
    if q.dim() > 2 and q.shape[-3] != k.shape[-3]:
        k, v = (t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
    given_mask = given.arguments.get("attn_mask", given.arguments.get("attn_bias"))
    mask = None if given_mask is None else additive(given, given_mask)
    if given["is_causal"]:
        below = causal(q.shape[-2], k.shape[-2], q).clamp_min(given.nothing)
        mask = below if mask is None else torch.where(below < 0, below, mask)
    out, weights = attend(q, k, v, mask)
    second = weights if "dropout_mask" in given else codes.latest(weights, [-1])[..., 0]
    rest = [second if result.shape == second.shape else out.amax() for result in given.call.results[1:]]
    return [out, *rest]


def _affine(x: Code, weight: Code, bias: Code) -> Code:
    return codes.join(contract(x, weight.mT), bias)


def _native_attention(given: Given) -> list[Code]:
    """`nn.MultiheadAttention` on its fast path; its mask, of any type, hides where it is not 0."""
    x = [given.code(name, 0) for name in ("query", "key", "value")]
    return _multi_head(given, x, given["num_head"])


def _multi_head(given: Given, x: list[Code], heads: int) -> list[Code]:
    weight, bias = given.code("qkv_weight", 0), given.code("qkv_bias")
    q, k, v = (
        _affine(t, w, b).unflatten(-1, (heads, -1)).transpose(1, 2)
        for t, w, b in zip(x, weight.chunk(3), bias.chunk(3), strict=True)
    )
    out, weights = attend(q, k, v, _hidden(given["mask"], given["mask_type"]))
    out = out.clamp_min(0).transpose(1, 2).flatten(-2)
    out = _affine(out, given.code("proj_weight", 0), given.code("proj_bias"))
    if not given.arguments.get("need_weights"):
        return [out, out.new_zeros(())][: len(given.call.results)]
    return [out, codes.latest(weights, [1])[:, 0] if given["average_attn_weights"] else weights]


def _hidden(mask: Marks | None, kind: int | None) -> Code | None:
    """The mask as it is added: [L, S] (kind 0), [B, S] (1) or [B, heads, L, S]."""
    if mask is None:
        return None
    code = torch.where(mask.fixed & mask.value.bool(), NOTHING, codes.of(mask))
    return code[:, None, None].expand(-1, 1, 1, -1) if kind == 1 else code


def _encoder_layer(given: Given) -> Code:
    """`nn.TransformerEncoderLayer` on its fast path."""
    x = given.code("src")

    def normal(x: Code, which: int) -> Code:
        scaled = codes.product(codes.latest(x, [-1]).expand_as(x), given.code(f"norm_weight_{which}", 0))
        return codes.join(scaled, given.code(f"norm_bias_{which}"))

    def attention(x: Code) -> Code:
        return _multi_head(given, [x, x, x], given["num_heads"])[0]

    def feed_forward(x: Code) -> Code:
        inner = _affine(x, given.code("ffn_weight_1", 0), given.code("ffn_bias_1"))
        return _affine(inner.clamp_min(0), given.code("ffn_weight_2", 0), given.code("ffn_bias_2"))

    if given["norm_first"]:
        x = codes.join(x, attention(normal(x, 1)))
        return codes.join(x, feed_forward(normal(x, 2)))
    x = normal(codes.join(x, attention(x)), 1)
    return normal(codes.join(x, feed_forward(x)), 2)


DOT_PRODUCTS = (
    "flash_attention_for_cpu",
    "attention_math",
    "efficient_attention",
    "flash_attention",
    "cudnn_attention",
)
RULES = codes.table(
    {
        **{f"_scaled_dot_product_{name}": _dot_products for name in (*DOT_PRODUCTS, "fused_attention_overrideable")},
        "scaled_dot_product_attention": _dot_products,
        "_native_multi_head_attention": _native_attention,
        "_transformer_encoder_layer_fwd": _encoder_layer,
    }
)
