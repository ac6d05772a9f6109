"""The transformer against its contract, its equations written as loops, and what its tokens are to carry."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixkit.backbones import BackboneSpec
from pixkit.backbones.conditioners import FeatureContext
from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.orderings import ORDERINGS
from pixkit.testing import (
    check_backbone,
    check_causality,
    check_gradients,
    check_reorders,
    component,
    named,
    network,
    random_images,
)
from pixkit.testing.backbones import check_context
from pixkit.testing.causality import permitted
from pixkit_plugins.transformer import Transformer, tokens

SPEC = ImageSpec(3, 2, 3, 3)


def backbone(**keys):
    return component("backbone", Transformer, **{"width": 4, "blocks": 1, "heads": 2, **keys})


def test_contract():
    check_backbone(backbone(), [named("ordering", "permutation")])


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_a_sub_pixel_sees_every_earlier_one_and_no_other(ordering):
    for spec, colours in ((ImageSpec(1, 3, 3, 3), "joint"), (SPEC, "joint"), (SPEC, "sequential")):
        nets = [
            network(backbone(mlp=mlp), spec, ordering=named("ordering", ordering, colours=colours), seed=seed)
            for seed, mlp in enumerate(("gelu", "swiglu"))
        ]
        seen = [check_causality(net) for net in nets]
        check_gradients(nets[1], seen[1])
        assert torch.equal(seen[0] | seen[1], permitted(nets[0]))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_every_sub_pixel_is_predicted_once_and_carried_to_the_next_step_once(sizes, random):
    steps = [step for step, size in enumerate(sizes) for _ in range(size)]
    random.shuffle(steps)
    carried, predicted, step = (part.tolist() for part in tokens(torch.tensor(steps)))
    none, last = len(steps), len(sizes) - 1
    assert sorted(unit for unit in predicted if unit != none) == list(range(none))
    assert sorted(unit for unit in carried if unit != none) == [u for u in range(none) if steps[u] != last]
    assert step == sorted(step)
    assert all(unit == none or steps[unit] == own for unit, own in zip(predicted, step, strict=True))
    assert all(unit == none or steps[unit] == own - 1 for unit, own in zip(carried, step, strict=True))
    assert len(step) == sum(map(max, sizes, [0, *sizes]))


def rms(x, norm):
    return [v * w / math.sqrt(sum(u * u for u in x) / len(x) + torch.finfo(torch.float64).eps)
            for v, w in zip(x, norm.weight.tolist(), strict=True)]  # fmt: skip


def linear(x, layer):
    bias = [0.0] * len(layer.weight) if layer.bias is None else layer.bias.tolist()
    return [sum(a * b for a, b in zip(row, x, strict=True)) + c
            for row, c in zip(layer.weight.tolist(), bias, strict=True)]  # fmt: skip


def added(*terms):
    return [sum(term) for term in zip(*terms, strict=True)]


def attended(rows, heads):
    """Of the last row, what each head mixes of the values of all rows; rows of queries, keys and values."""
    width = len(rows[0]) // 3
    size, mixed = width // heads, []
    for first in range(0, width, size):
        query, keys, values = ([row[part * width + first :][:size] for row in rows] for part in range(3))
        scores = [math.exp(sum(map(float.__mul__, query[-1], key)) / math.sqrt(size)) for key in keys]
        mixed += added(*([v * score / sum(scores) for v in value] for score, value in zip(scores, values, strict=True)))
    return mixed


def mlp(x, block):
    wide = linear(x, block.widen)
    if block.gated:
        half = len(wide) // 2
        return linear([g / (1 + math.exp(-g)) * v for g, v in zip(wide[:half], wide[half:], strict=True)], block.narrow)
    return linear([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in wide], block.narrow)


@pytest.mark.parametrize("kind", ["gelu", "swiglu"])
def test_it_is_its_equations_written_as_loops(kind):
    """Token by token, no tensor operation: any sequence, a context, two blocks."""
    net = network(
        backbone(mlp=kind, blocks=2, width=6, hidden=5), ImageSpec(1, 2, 3, 4), ordering=named("ordering", "spiral"),
        conditioner=FeatureContext(2, (2, 3)),
    )  # fmt: skip
    x, context = random_images(net.spec, 1), net.example_context(1)
    body, pixels = net.backbone, net.encoding(x).flatten().tolist()
    order = net.ordering.steps.flatten().argsort().tolist()
    rows, before = [], [([], []) for _ in body.blocks]
    for last, due in zip([None, *order], order, strict=False):
        here = (
            body.here[6].tolist()
            if last is None
            else added(linear([pixels[last]], body.content), body.here[last].tolist())
        )
        h = added(here, body.next[due].tolist(), linear(context[0].flatten(1)[:, due].tolist(), body.condition))
        for block, (read, _) in zip(body.blocks, before, strict=True):
            read.append(linear(rms(h, block.before_attention), block.read))
            h = added(h, linear(attended(read, 2), block.mix))
            h = added(h, mlp(rms(h, block.before_mlp), block))
        rows.append(rms(h, body.norm))
    with torch.no_grad():
        found = body(net.encoding(x), context)[0].flatten(1).T[order]
    assert torch.allclose(found, torch.tensor(rows, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("ordering", ["diagonal", "checkerboard"])
def test_weights_mean_the_same_whether_sub_pixels_are_drawn_one_by_one_or_together(ordering):
    check_reorders(backbone(), named("ordering", ordering))
    first, second = (network(backbone(), SPEC, ordering=named("ordering", name)) for name in ("raster", ordering))
    x = random_images(SPEC, 3)
    with torch.no_grad():
        assert torch.equal(first.under(second.ordering)(x), second(x))
        assert torch.equal(second.under(first.ordering)(x), first(x))


@pytest.mark.parametrize("ordering", ["diagonal", "checkerboard"])
def test_feature_maps_count_at_the_site_that_is_predicted(ordering):
    context = FeatureContext(2, (2, 3))
    check_context(
        [network(backbone(), SPEC, ordering=named("ordering", ordering), conditioner=context, seed=k) for k in (0, 1)]
    )


def test_only_weights_are_saved():
    net = backbone(width=6, heads=3, blocks=2).cls(
        backbone().config, BackboneSpec(SPEC, named("ordering", "diagonal").build(SPEC), 3)
    )
    assert set(net.state_dict()) == {name for name, _ in net.named_parameters()}


@pytest.mark.parametrize(("mlp", "shapes"), [("gelu", ([384, 96], [96, 384])), ("swiglu", ([512, 96], [96, 256]))])
def test_both_mlps_have_as_many_weights(mlp, shapes):
    net = network(backbone(mlp=mlp, width=96, heads=1), SPEC)
    assert [
        list(layer.weight.shape) for layer in (net.backbone.blocks[0].widen, net.backbone.blocks[0].narrow)
    ] == list(shapes)


def test_what_is_added_to_the_stream_starts_smaller_in_a_deeper_network():
    spec = BackboneSpec(SPEC, named("ordering", "raster").build(SPEC, "joint"), 3)
    for blocks, kind in itertools.product((1, 8), ("gelu", "swiglu")):
        built = backbone(width=64, blocks=blocks, mlp=kind).cls(
            backbone(width=64, blocks=blocks, mlp=kind).config, spec
        )
        for layer, scale in (("read", 1), ("widen", 1), ("mix", 2 * blocks), ("narrow", 2 * blocks)):
            weight = getattr(built.blocks[0], layer).weight.detach()
            assert float(weight.std()) == pytest.approx((scale * weight.shape[1]) ** -0.5, rel=0.05)


def test_heads_have_to_divide_the_width():
    with pytest.raises(RecipeError, match="a multiple of 3, the number of heads"):
        network(backbone(width=4, heads=3), SPEC)
