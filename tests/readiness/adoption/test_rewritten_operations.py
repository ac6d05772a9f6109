"""Single operations of torch's, rewritten site by site: each computes what torch does."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.fx.experimental.proxy_tensor import make_fx

from pixkit.layers.site_attention import SiteAttention
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.rewrite import Rewriter

pytestmark = pytest.mark.quick
KIND = {"dtype": torch.float64}
LATER = -math.inf


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), **KIND)


def rewritten(forward, *weights, whole=True):
    """What is made of a function of [2, 4, 4], sites by maps, and weights.

    Composite operations are left whole, as they are exported, or taken apart.
    """
    graph = make_fx(forward, tracing_mode="fake", pre_dispatch=whole)(drawn(2, 4, 4), *weights).graph
    builder = Builder(2, torch.float64)
    rewriter = Rewriter(builder, "Net")
    names = [node.name for node in graph.nodes if node.op == "placeholder"]
    given = [builder.placeholder("x", 4, (1, 4), groups=1).flatten(2).mT]
    given += [Known(weight, torch.zeros(weight.shape, dtype=torch.bool)) for weight in weights]
    (found,) = rewriter.read(graph, dict(zip(names, given, strict=True)))
    name = graph.output_node().args[0].name
    grid = (1, found.shape[1])
    rewriter.values = {node: found.flatten(2).mT.unflatten(2, grid) for node in graph.nodes if node.name == name}
    return rewriter.made(graph, name, grid)


def reads(images):
    """The layers, with the tables that say what they read."""
    tables = [(name, value.tolist()) for name, value in images.named_buffers() if not value.is_floating_point()]
    return [type(part) for part in images.children()], tables


def steps(*shape):
    return torch.arange(math.prod(shape), **KIND).view(shape).sin()


def earlier():
    return torch.ones(4, 4, **KIND).tril()


def pairs(x):
    return torch.view_as_complex(x.unflatten(2, (2, 2)))


def real(z):
    return torch.view_as_real(z).flatten(2)


def turns():
    return torch.complex(steps(4, 2), steps(4, 2).cos())


def heads(x):
    return x.unflatten(2, (2, 2)).transpose(1, 2)


def joined(x):
    return x.transpose(1, 2).flatten(2)


def attended(x, **options):
    return joined(F.scaled_dot_product_attention(heads(x), heads(x.flip(2)), heads(2 * x), **options))


def rows(x):
    """Two rows of three sites each."""
    return torch.cat([x, x[:, :2].flip(2)], 1).unflatten(1, (2, 3))


def lines(x):
    """The same by heads: images, heads, rows, sites, maps."""
    return rows(x).unflatten(3, (2, 2)).movedim(3, 1)


def by_rows(x, **options):
    """Three queries and two keys in each row, by heads."""
    query, key = lines(x), lines(x)[:, :, :, :2]
    found = F.scaled_dot_product_attention(query, key, key[..., 1:], **options)
    return found.movedim(1, 3).flatten(3).flatten(1, 2)


def scores(x):
    return x @ x.mT


def _summed(weights):
    return weights / weights.sum(-1, keepdim=True)


def _lowered(products):
    return products - products.amax(-1, keepdim=True)


def along(function):
    """The same of maps by sites."""
    if "w" in function.__code__.co_varnames:
        return lambda x, w: function(x.mT, w).mT
    return lambda x: function(x.mT).mT


MOVES = {
    "tril of maps": lambda x: x.unflatten(2, (2, 2)).tril(-1).flatten(2) + x,
    "triu of maps": lambda x: x.unflatten(2, (2, 2)).triu(1).flatten(2) + x,
    "unfolded": along(lambda x: F.unfold(F.pad(x, (2, -1))[:, :, None], (1, 2), dilation=(1, 2), stride=(1, 2))),
    "unfolded with edges": along(lambda x: F.unfold(x[:, :, None], (2, 3), padding=(1, 1))),
    "reflected": along(lambda x: F.pad(x, (2, 1), mode="reflect")),
    "replicated": along(lambda x: F.pad(x, (1, 2), mode="replicate")),
    "padded with a number": lambda x: F.pad(x, (0, 0, 1, -1), value=2.5),
    "cropped and padded": lambda x: F.pad(x, (1, -2, -1, 2)),
    "rolled": lambda x: x.roll((1, -1), (1, 2)),
    "flipped": lambda x: x.flip(1, 2),
    "larger": along(lambda x: F.interpolate(x, scale_factor=2)),
    "repeated": lambda x: x.repeat(1, 2, 1) + x.repeat_interleave(2, 1),
    "stacked": lambda x: torch.stack([x, 2 * x], 2).flatten(1, 2),
    "diagonal": lambda x: x.unflatten(2, (2, 2)).diagonal(0, 2, 3),
    "some maps": lambda x: x[..., 1:3] * 2 + x[..., 2:].tanh() * x[..., :2] + x[..., 1:2] * x[:, :1, 3:],
    "chosen": lambda x: torch.where(steps(4, 4) > 0, x, 1.5) + torch.where(steps(4, 1) > 0, -1.0, x),
    "filled": lambda x: x.masked_fill(steps(4, 4) > 0, 3.0),
    "places": lambda x: x[:, (3 - torch.arange(4) ** 2).remainder(4)] + x.index_select(2, torch.arange(4).flip(0)),
    "gathered": lambda x: x.gather(1, torch.arange(16).view(4, 4).remainder(3).expand(2, 4, 4)),
    "scattered": lambda x: x.scatter(2, torch.arange(2).flip(0).expand(2, 4, 2), 7.0),
    "put": lambda x: x.index_put((torch.arange(2)[:, None], torch.arange(1, 4, 2)), torch.ones(1, **KIND)),
    "nothing dropped": lambda x: (
        F.dropout(x, 0.5, False) + F.dropout(x, 0.0, True) + torch.feature_dropout(x, 0.5, False)
    ),
    "in their shape": lambda x: (
        x * torch.full_like(x, 2.5) + torch.ones_like(x[..., :1]) + x.new_full((4, 1), 3.0) - torch.zeros_like(x) * x
    ),
    "copied over": lambda x: x.slice_scatter(x[:, :2] * 2, 1, 2, 4).select_scatter(x[:, 0], 1, 1),
}
COMPLEX = {
    "turned": lambda x: real(pairs(x) * turns()),
    "turned with what is turned": lambda x: real(pairs(x) * pairs(x * 2)),
    "times a number": lambda x: real(pairs(x) * (2 + 3j) + (1 - 2j)),
    "times real numbers": lambda x: real(pairs(x) * 2.0 - 1.5) + real(pairs(x) * x[..., :2]),
    "negative": lambda x: real(-pairs(x) - pairs(x).conj()),
    "numbers less": lambda x: real(torch.sub(x[..., :2], pairs(x))) + real(torch.add(x[..., :2], pairs(x))),
    "constants less": lambda x: real(turns() - pairs(x)),
    "parts": lambda x: torch.cat([(pairs(x) * turns()).real, (pairs(x) * turns()).imag], 2),
    "made": lambda x: real(torch.complex(x[..., :2], steps(4, 2)) * turns()),
    "moved": lambda x: real(torch.cat([pairs(x)[:, 1:], pairs(2 * x).flip(1)[:, :1]], 1)),
    "moved beside constants": lambda x: real(torch.cat([turns()[:1].expand(2, 1, 2), pairs(x)[:, 1:]], 1)),
    "copied": lambda x: real(pairs(x).clone()),
}
SUMS = {
    "a sum": lambda x: x.sum(2, keepdim=True) + x.sum((1, 2), keepdim=True) * earlier()[:, :1],
    "a sum beside constants": lambda x: (
        x * torch.cat([x.sum((1, 2), keepdim=True).expand(2, 2, 4), steps(2, 4).expand(2, 2, 4)], 1)
    ),
    "a mean": lambda x: x.mean(-1, keepdim=True) * x + x.unflatten(2, (2, 2)).mean((2, 3)).unsqueeze(2),
    "running sums": lambda x: x.cumsum(1) + x.cumsum(2) + x.unflatten(2, (2, 2)).cumsum(1).flatten(2),
    "of constants": lambda x: x * steps(4, 4).sum(0) + steps(4, 3).mean(),
    "left of": lambda x: (steps(4, 4) * earlier()) @ x,
    "left of, strictly": lambda x: (
        (steps(4, 4) * earlier().tril(-1)) @ x + F.linear(x.mT, earlier().tril(-1), steps(4)).mT
    ),
    "left of, strictly, by rows": lambda x: (
        (steps(3, 3) + 1).tril(-1) @ rows(x) + F.linear(rows(x).mT, (steps(3, 3) + 1).tril(-1), steps(3)).mT
    ).flatten(1, 2),
    "means of pairs beside constants": lambda x: (
        torch.cat([x[..., :2], steps(4, 2).expand(2, 4, 2)], 2).unfold(1, 2, 1).mean(3)
    ),
    "notation of constants": lambda x: torch.einsum("tu,uc,btc->btc", earlier(), steps(4, 4), x),
    "of the type of another": lambda x: x + torch.ones(4).type_as(x) + steps(16).view_as(x[0]),
    "left of parameters": lambda x, w: F.pad(w, (0, 0, 1, 0)) @ x + (F.pad(w, (0, 0, 1, 0)) * earlier()) @ x,
    "left of parameters, beside others": lambda x, w: (F.pad(w, (0, 0, 1, 0)) @ x) * F.pad(w, (0, 0, 0, 1), value=2.0),
    "some sites twice": lambda x, w: (
        (F.pad(w, (0, 1, 0, 1), value=1.0) * (1 - torch.eye(4, 5, **KIND).flip(1))) @ torch.cat([x[:, 3:], x], 1)
    ),
    "notation of parameters": lambda x, w: torch.einsum("tu,buc->btc", F.pad(w, (0, 0, 0, 1)), x),
    "left of, a vector": lambda x: (steps(4) @ x)[:, None] + x,
    "right of": lambda x: x @ steps(4, 3),
    "right of, a vector": lambda x: (x @ steps(4))[..., None],
    "matrices by sites": lambda x: (x[:, :, None] @ steps(4, 4, 3))[:, :, 0],
    "matrices by heads": lambda x: joined(heads(x) @ steps(2, 2, 2)),
    "matrices alike": lambda x: joined(heads(x) @ steps(2, 3).expand(2, 2, 2, 3)),
    "outer": lambda x: (x[..., :2, None] @ x[..., None, 2:]).flatten(2),
    "added": lambda x, w: torch.baddbmm(w.mT, x, steps(4, 3).expand(2, 4, 3), beta=2, alpha=0.5),
    "added to nothing": lambda x, w: torch.baddbmm(w.mT, x, steps(4, 3).expand(2, 4, 3), beta=0, alpha=0.5),
    "notation": lambda x: torch.einsum("btc,cd->btd", x, steps(4, 3)) + torch.einsum("b t c -> b t", x)[..., None],
    "notation without a result": lambda x: torch.einsum("btc,cd", x, steps(4, 3)).mT,
    "notation with dots": lambda x: torch.einsum("...tc,ud,tu->...uc", x, steps(4, 2), earlier()),
    "notation of sums": lambda x: torch.einsum("btc,ud,t->btc", x, steps(3, 2), steps(4)),
    "notation, turned": lambda x: torch.einsum("btc,cd->bdt", x, steps(4, 4)).mT,
    "notation of three": lambda x: torch.einsum("bte,btd,edf->btf", x, 2 * x, steps(4, 4, 3)),
    "bilinear": lambda x, w: F.bilinear(x, 2 * x, w[..., None] * steps(3, 4, 4), steps(3)),
}
LAYERS = {
    "linear": lambda x, w: F.linear(x, w, steps(3)) + F.linear(x, w),
    "convolution": along(
        lambda x, w: F.conv1d(
            F.pad(x, (4, 0)), w.unflatten(1, (2, 2)).expand(3, 2, 2).repeat(1, 2, 1), steps(3), dilation=2, stride=1
        )
    ),
    "convolution with a stride": along(lambda x, w: F.conv1d(x, w[..., None], None, stride=2, padding=1)),
    "convolution, same": along(lambda x, w: F.conv1d(x, w[..., None].expand(3, 4, 4), steps(3), padding="same")),
    "convolution, valid": along(lambda x, w: F.conv1d(x, w[..., None].expand(3, 4, 2), padding="valid")),
    "convolution, same and dilated": along(
        lambda x, w: F.conv1d(x, w[..., None].expand(3, 4, 3) * steps(3, 4, 3), padding="same", dilation=2)
    ),
    "transposed, in two axes": lambda x, w: (
        F.conv_transpose2d(
            x.mT[:, :3, None],
            w.mT[:3, :, None, None].expand(3, 3, 2, 3) * steps(3, 3, 2, 3),
            stride=(2, 1),
            padding=(0, 1),
            output_padding=(1, 0),
        )
        .flatten(2)
        .mT
    ),
    "dense": lambda x, w: F.linear(x.flatten(1), torch.cat([w, w, w, w], 1), w[:, 0])[:, None],
    "masked and dense": lambda x, w: F.linear(
        F.linear(x, w).flatten(1),
        steps(5, 12) * (torch.arange(12) < 3 * (torch.arange(1, 6).remainder(3) + 1)[:, None]),
        steps(5),
    )[:, None],
    "convolution of groups": along(lambda x, w: F.conv1d(x, w[:2, :2, None].expand(2, 2, 2), groups=2, padding=1)),
    "convolution of many groups": along(
        lambda x, w: F.conv1d(x.repeat(1, 2, 1), w[:1, :1, None].expand(8, 1, 3) * steps(8, 1, 3), steps(8), groups=8)
    ),
    "convolution, in two axes": lambda x, w: (
        F.conv2d(
            x.mT[:, :, None],
            w[..., None, None].expand(3, 4, 2, 3),
            steps(3),
            padding=(1, 2),
            stride=(2, 1),
            dilation=(1, 2),
        )
        .flatten(2)
        .mT
    ),
    "transposed": along(
        lambda x, w: F.conv_transpose1d(
            x, w.mT[..., None].expand(4, 3, 3) * steps(3), steps(3), stride=2, padding=1, output_padding=1
        )
    ),
    "transposed, with groups": along(
        lambda x, w: F.conv_transpose1d(
            x, w[:1, :1, None].expand(4, 2, 2) * steps(4, 2, 2), steps(4), groups=2, dilation=2
        )
    ),
    "means of windows": along(lambda x: F.avg_pool1d(x, 3, 1, 1) + F.avg_pool1d(F.pad(x, (4, 0)), 2)),
    "means within": along(lambda x: F.avg_pool1d(x, 2, 2, count_include_pad=False)),
    "maxima of windows": along(lambda x: F.max_pool1d(-x.abs(), 3, 1, 1)),
    "maxima further apart": along(lambda x: F.max_pool1d(x, 2, 2, 1, 2)),
    "maxima of squares": lambda x: F.max_pool2d(x.mT[:, :, None], (1, 2), (1, 2)).flatten(2).mT,
    "layer norm": lambda x, w: F.layer_norm(x, (4,), w[0], steps(4), eps=0.1) + F.layer_norm(x, (4,)),
    "layer norm of three": lambda x, w: F.layer_norm(F.linear(x, w), (3,), w[:, 0], None, 0.1),
    "group norm": lambda x, w: F.group_norm(x.flatten(0, 1), 2, w[0], steps(4), eps=0.1).view(x.shape),
    "group norm of images": lambda x, w: (
        F.group_norm(x.reshape(8, 4, 1, 1), 2, w[0], steps(4), eps=0.1).view(x.shape)
        * F.group_norm(x.view(8, 4), 1).view(x.shape)
    ),
    "group norm, plain": lambda x: F.group_norm(x.flatten(0, 1), 2).view(x.shape),
    "convolution beside constants": along(
        lambda x, w: F.conv1d(torch.cat([x[:, :2], steps(2, 4).expand(2, 2, 4)], 1), w[..., None])
    ),
    "compared": lambda x: (
        torch.where(x > steps(2)[1], x, steps(4)[3]) + (x != 0).to(x.dtype) + (x >= steps(4)).double()
    ),
    "rms norm": lambda x, w: F.rms_norm(x, (4,), w[0], eps=0.1) + F.rms_norm(heads(x), (2,)).transpose(1, 2).flatten(2),
    "batch norm": along(lambda x, w: F.batch_norm(x, w[0], w[0].square() + 1, w[1], w[2], eps=0.1)),
    "batch norm, plain": along(lambda x, w: F.batch_norm(x, w[0], w[0].square() + 1)),
    "softmax": lambda x: x.softmax(-1) + x.log_softmax(2),
    "glu": lambda x: F.glu(x, 2),
    "prelu": along(lambda x, w: F.prelu(x, w[0]) + F.prelu(x, w[0, :1])),
    "maxima": lambda x: x.amax(-1, keepdim=True) + x.max(2, keepdim=True).values - x.var(2, keepdim=True),
    "maxima along several": lambda x: (
        x.unflatten(2, (2, 2, 1)).amax(2).flatten(2) * x.unflatten(2, (2, 2)).logsumexp((3, 2))[..., None]
    ),
    "largest": lambda x: x.topk(2, -1).values.flip(2) + x.argmax(2)[..., None].to(x.dtype),
    "running maxima": lambda x: x.cummax(1).values + x.sigmoid().cumprod(1) + x.logcumsumexp(1) + x.cummin(2).values,
}
CELLS = {
    "gru": lambda x, w: torch.gru_cell(x[:, 0], x[:, 1], steps(12, 4), w.repeat(4, 1), steps(12), None)[:, None],
    "lstm": lambda x, w: torch.stack(
        torch.lstm_cell(x[:, 0], (x[:, 1], x[:, 2]), steps(16, 4), steps(16, 4).cos(), steps(16), None), 1) * w[0],
    "tanh": lambda x, w: torch.rnn_tanh_cell(x[:, 0], x[:, 1], steps(4, 4), steps(4, 4).cos(), w[0], steps(4))[:, None],
    "relu": lambda x, w: torch.rnn_relu_cell(
        x[:, 0], steps(4).expand(2, 4), steps(4, 4), steps(4, 4).cos(), w[0], steps(4))[:, None],
    "lstm both ways": lambda x, w: torch.lstm(
        x, [steps(4, 1, 2).expand(4, 2, 2), steps(4, 1, 2).cos().expand(4, 2, 2)],
        [each for _ in range(4) for each in (steps(8, 4), steps(8, 2).cos())],
        False, 2, 0.0, False, True, True)[0] * w[0],
    "gru of rows": lambda x: torch.gru(
        rows(x).flatten(0, 1), steps(1, 1, 2).expand(1, 4, 2),
        [steps(6, 4), steps(6, 2).cos(), steps(6), steps(6).cos()],
        True, 1, 0.0, False, False, True)[0].unflatten(0, (2, 2)).flatten(1, 2),
    "gru that pixels start": lambda x: torch.gru(
        x, x[:, :1, :2].transpose(0, 1).contiguous(), [steps(6, 4), steps(6, 2).cos(), steps(6), steps(6).cos()],
        True, 1, 0.0, False, False, True)[0],
    "lstm that pixels start": lambda x: torch.lstm(
        x, [each.transpose(0, 1).contiguous() for each in (x[:, :2, :2], x[:, 2:, 2:].tanh())],
        [each for width in (4, 2) for each in (steps(8, width), steps(8, 2).cos())],
        False, 2, 0.0, False, False, True)[0],
    "running maxima of rows": lambda x: (rows(x).cummax(2).values * rows(x).logcumsumexp(1)).flatten(1, 2),
    "relu of sequences": lambda x, w: torch.rnn_relu(
        x.transpose(0, 1), steps(1, 1, 3).expand(1, 2, 3), [w * 2, steps(3, 3), w[:, 0], w[:, 1]],
        True, 1, 0.0, False, False, False)[0].transpose(0, 1),
}  # fmt: skip
CHOSEN = {
    "a table": lambda x: F.embedding((3 * x[..., 0]).abs().long().clamp(0, 4), steps(5, 3)),
    "one of a few": lambda x: F.one_hot(x.argmax(2), 4).to(x.dtype) + steps(4, 4)[x.argmin(2)],
    "along maps": lambda x: x.gather(2, x.argsort(2)) + x.gather(2, x.argmax(2, keepdim=True)),
    "along one of three axes of maps": lambda x: (
        x.unflatten(2, (2, 2, 1)).gather(2, x.unflatten(2, (2, 2, 1)).argsort(2)).flatten(2)
    ),
    "put along maps": lambda x: x.scatter(2, x.argsort(2), 2 * x) - x.scatter_add(2, x.argmin(2, keepdim=True), x),
    "put where they are low": lambda x: x.index_put((x < 0,), steps(2)[1]),
    "the lower": lambda x: torch.where(x < 0.5, x, 2 * x).masked_fill(x > 1, 0.25),
}
ATTENTION = {
    "plain": attended,
    "causal": lambda x: attended(x, is_causal=True, scale=0.5),
    "with truths": lambda x: attended(x, attn_mask=earlier() > 0),
    "with truths for each head": lambda x: attended(x, attn_mask=torch.stack([earlier(), earlier().mT]) > 0),
    "with parameters": lambda x, w: attended(x, attn_mask=F.pad(w, (0, 0, 0, 1)).masked_fill(earlier() == 0, LATER)),
    "by hand with parameters": lambda x, w: (
        ((scores(x) * w[0, 0] + F.pad(w, (0, 0, 0, 1))) / (w[1, 1] + 9) + earlier().log()).softmax(-1) @ x
    ),
    "times parameters": lambda x, w: (
        (scores(x) * F.pad(w, (0, 0, 1, 0))).tanh() @ x + (scores(x) * earlier()) @ x * F.pad(w, (0, 0, 1, 0))
    ),
    "with numbers": lambda x: attended(x, attn_mask=steps(4, 4).masked_fill(earlier() == 0, LATER)),
    "in groups": lambda x: joined(F.scaled_dot_product_attention(
        x.unflatten(2, (4, 1)).transpose(1, 2), heads(x)[..., :1], heads(x)[..., 1:], enable_gqa=True, is_causal=True)),
    "to fewer": lambda x: joined(F.scaled_dot_product_attention(heads(x), heads(x)[:, :, :3], heads(x)[:, :, :3],
                                                                is_causal=True)),
    "by hand": lambda x: ((scores(x) / 3 * 2 - 1).masked_fill(earlier() == 0, LATER) + steps(4, 4)).softmax(-1) @ x,
    "divided by what hides": lambda x: torch.where(earlier() > 0, -scores(x), LATER).div(2.0).softmax(2) @ x,
    "where it hides": lambda x: torch.where(earlier() == 0, LATER, scores(x) - steps(4, 4)).softmax(-1) @ x,
    "by queries": lambda x: (scores(x) * steps(4, 1) / (x[..., :1] + 9)).softmax(-1) @ x,
    "twice scaled with a bias": lambda x: ((scores(x) + steps(4, 4)) * 2 + steps(4, 4)).softmax(-1) @ x,
    "with constants added": lambda x: torch.baddbmm(steps(4, 4), x, x.mT, beta=2, alpha=0.5).softmax(-1) @ x,
    "times a tensor of one number": lambda x: (scores(x) * steps(2)[1] / steps(2)[1:]).softmax(-1) @ x,
    "bounded by a tensor": lambda x: (torch.tanh(scores(x) * steps(2)[1]) * steps(3)[2:]).softmax(-1) @ x,
    "turned twice": lambda x: scores(x).softmax(-1).mT.mT @ x + scores(x).softmax(-1).permute(0, 1, 2) @ x,
    "of heads with biases": lambda x: joined(
        ((heads(x) @ heads(x).mT + steps(2, 4, 4)).flatten(0, 1).softmax(-1) @ heads(x).flatten(0, 1)).view(2, 2, 4, 2)
    ),
    "a bias by queries": lambda x: ((scores(x) + steps(4, 4)) * steps(4, 1)).softmax(-1) @ x,
    "weights right of values": lambda x: (x.mT @ scores(x).softmax(-1).mT).mT,
    "bounded": lambda x: (2 * torch.tanh(scores(x) / 2)).softmax(-1) @ x,
    "kept where earlier": lambda x: scores(x).tril(-1) @ x + scores(x).triu(1) @ x,
    "by its sums": lambda x: _summed(scores(x).exp() * earlier()) @ x,
    "along the third axis": lambda x: (
        torch.tanh(scores(x)).softmax(2) @ x + torch.tanh(scores(x)).sum(2, keepdim=True) * x
    ),
    "less than numbers": lambda x: (steps(4, 4) - scores(x)).softmax(-1) @ x,
    "times numbers": lambda x: (scores(x) * steps(4, 4)).softmax(-1) @ x,
    "of other heads together": lambda x: joined(
        (heads(x) @ heads(2 * x.flip(2)).mT).flatten(0, 1).softmax(-1).unflatten(0, (2, 2)) @ heads(x)
    ),
    "of fewer keys": lambda x: (x @ x[:, :3].mT).relu() @ x[:, :3, :2],
    "kept by heads": lambda x: joined(
        ((heads(x) @ heads(x).mT) * torch.stack([earlier(), earlier().mT])).tanh() @ heads(x)
    ),
    "its sums beside pixels": lambda x: (
        (scores(x).sum(-1, keepdim=True) + x[..., :1]) * x + scores(x).tril().mean(-1)[..., None].cumsum(1)
    ),
    "its largest without their axis": lambda x: scores(x).amax(-1, keepdim=True).squeeze(-1)[..., None] * x,
    "less its largest": lambda x: _lowered(scores(x)).exp().mT.mT @ x,
    "by notation": lambda x: torch.einsum("btu,bud->btd", torch.einsum("btd,bud->btu", x, x).softmax(-1), x),
    "by rows": by_rows,
    "by rows, causal": lambda x: by_rows(x, is_causal=True),
    "by rows with numbers": lambda x: by_rows(x, attn_mask=2 + steps(3, 2)),
    "by rows with numbers for each": lambda x: by_rows(x, attn_mask=2 + steps(2, 2, 3, 2)),
    "by rows with truths for each row": lambda x: by_rows(x, attn_mask=steps(2, 3, 2).abs() < 0.9),
    "by rows and by hand": lambda x: (
        (rows(x) @ rows(x)[:, :, :2].mT * 0.5 + steps(3, 2)).softmax(-1) @ rows(x)[:, :, :2, :3]).flatten(1, 2),
    "by rows with weights": lambda x: ((rows(x) @ rows(x)[:, :, :2].mT).relu() @ rows(x)[:, :, :2, :3]).flatten(1, 2),
    "numbers that are not 0": lambda x: attended(x, attn_mask=2 + steps(4, 4)),
    "of heads apart": lambda x: joined((heads(x) @ heads(x).mT).softmax(-1) @ heads(x)),
    "of heads together": lambda x: joined((heads(x) @ heads(x).mT).flatten(0, 1).softmax(-1).unflatten(0, (2, 2))
                                          @ heads(x)),
}  # fmt: skip
APART = {name for name in (*LAYERS, *MOVES) if name.startswith(("convolution", "transposed", "re", "padded"))}
"""Those that are exported in another form once a forward writes to something."""
FAMILIES = {"moves": MOVES, "complex": COMPLEX, "sums": SUMS, "layers": LAYERS, "attention": ATTENTION}
FAMILIES |= {"cells": CELLS, "chosen": CHOSEN}


def weights_of(forward, weight):
    return [weight] * forward.__code__.co_varnames.count("w")


@pytest.mark.parametrize(("family", "name"), [(family, name) for family, each in FAMILIES.items() for name in each])
def test_an_operation_gives_what_torch_gives(family, name):
    forward, x = FAMILIES[family][name], drawn(2, 4, 4)
    weights = weights_of(forward, drawn(3, 4))
    for whole in (True, False) if name in APART else (True,):
        found = rewritten(forward, *weights, whole=whole)(x.mT.unflatten(2, (1, 4))).flatten(2).mT
        assert torch.allclose(found, forward(x, *weights).flatten(2), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "adds"), [("causal", False), ("with truths", False), ("with numbers", True)])
def test_a_mask_that_only_hides_adds_nothing(name, adds):
    (layer,) = (part for part in rewritten(ATTENTION[name]).children() if isinstance(part, SiteAttention))
    assert (layer.bias is not None) is adds


WEIGHED = ["left of parameters", "some sites twice", "notation of parameters", "added", "linear", "dense", "prelu"]
WEIGHED += [
    "convolution of groups",
    "convolution of many groups",
    "transposed, with groups",
    "layer norm",
    "batch norm",
]
WEIGHED += [
    "left of parameters, beside others",
    "with parameters",
    "by hand with parameters",
    "times parameters",
    "gru",
]


@pytest.mark.parametrize("name", WEIGHED)
def test_parameters_that_are_zero_hide_nothing(name):
    """What is read is the same as with other values, which they may have later."""
    forward = next(each[name] for each in FAMILIES.values() if name in each)
    plain, zero = (weights_of(forward, weight) for weight in (drawn(3, 4), torch.zeros(3, 4, **KIND)))
    assert reads(rewritten(forward, *zero)) == reads(rewritten(forward, *plain))
