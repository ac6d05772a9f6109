"""PixelSNAIL against its contract, its receptive field, and its attention written as loops."""

import itertools
import math

import pytest
import torch

from pixkit.backbones.base import BackboneSpec
from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.layers import CausalAttention, WeightNormConv2d, positions
from pixkit.testing import check_backbone, check_causality, check_gradients, named, network

SMALL = {"width": 4, "blocks": 1, "residuals": 1, "key_width": 2, "value_width": 3}
JOINT = {"colours": "joint"}
TURNS = list(itertools.product([False, True], repeat=3))


def backbone(**keys):
    return named("backbone", "pixelsnail", **{**SMALL, **keys})


def raster(horizontal=False, vertical=False, transpose=False):
    turn = {"flip_horizontal": horizontal, "flip_vertical": vertical, "transpose": transpose}
    return named("ordering", "raster", **turn, **JOINT)


@pytest.mark.parametrize("turn", [TURNS[-1]])
def test_contract(turn):
    check_backbone(backbone(), [raster(*turn)])


@pytest.mark.parametrize("turn", TURNS)
def test_causal_under_the_eight_rasters(turn):
    net = network(backbone(blocks=2, residuals=0, heads=1), ImageSpec(3, 3, 4, 3), ordering=raster(*turn))
    check_gradients(net, check_causality(net, images=8))


@pytest.mark.parametrize("spec", [ImageSpec(1, 5, 6, 2), ImageSpec(3, 4, 5, 2)], ids=str)
@pytest.mark.parametrize("turn", [TURNS[0], TURNS[5]])
def test_one_block_sees_the_whole_causal_set(spec, turn):
    """Union over seeds: softmaxes of random weights may leave next to nothing to a site."""
    nets = [network(backbone(residuals=0), spec, ordering=raster(*turn), seed=seed, gain=1.0) for seed in range(2)]
    ordering = nets[0].ordering
    seen = sum(check_causality(net, images=8) for net in nets) > 0
    assert torch.equal(seen, ordering.steps[None, None, None] < ordering.group_steps[..., None, None, None])


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_is_its_equation_written_as_loops(heads):
    """sum over earlier sites j of softmax_j(q_i k_j / sqrt(d)) v_j, head by head; nothing at the first site."""
    spec, (d, e) = ImageSpec(1, 3, 4, 2), (3, 5)
    layer = CausalAttention(raster(transpose=True).build(spec, "joint"), heads=heads)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads * n, 3, 4, generator=generator, dtype=torch.float64) for n in (d, d, e))
    found = layer(q, k, v)
    sites = [(r, c) for c in range(4) for r in range(3)]
    for image, head, (number, (r, c)) in itertools.product(range(2), range(heads), enumerate(sites)):
        query = q[image, head * d : (head + 1) * d, r, c]
        scores = [
            math.exp(float(query @ k[image, head * d : (head + 1) * d, i, j]) / math.sqrt(d)) for i, j in sites[:number]
        ]
        values = [v[image, head * e : (head + 1) * e, i, j] for i, j in sites[:number]]
        mixed = torch.zeros(e, dtype=torch.float64)
        for score, value in zip(scores, values, strict=True):
            mixed = mixed + value * score / sum(scores)
        assert torch.allclose(found[image, head * e : (head + 1) * e, r, c], mixed, rtol=0, atol=1e-12)


def test_the_first_site_has_no_key_and_gets_zeros():
    spec = ImageSpec(3, 2, 3, 2)
    net = network(backbone(), spec, ordering=raster(True))
    mixed = []
    net.backbone.blocks[0].attention.register_forward_hook(lambda module, inputs, out: mixed.append(out))
    net(torch.randint(2, (4, *spec.shape)))
    zero = (mixed[0] == 0).all(1)
    assert zero[:, 0, 0].all(), "the scan starts here once the image is turned"
    assert not zero.flatten(1)[:, 1:].any()


def test_the_papers_layers():
    """12 blocks of 4 residual 2x2 convolutions; keys of 16 maps, values of 128."""
    spec = ImageSpec(3, 2, 2, 256)
    blocks = named("backbone", "pixelsnail").build(BackboneSpec(spec, raster().build(spec, "joint"), 3)).blocks
    assert len(blocks) == 12 and all(len(block.residuals) == 4 for block in blocks)
    kernels = [m for block in blocks for m in block.residuals.modules() if isinstance(m, WeightNormConv2d)]
    assert len(kernels) == 12 * 4 * 2
    assert {(m.rows, m.columns) for m in kernels} == {((-1, 0), (-1, 0))}
    assert {tuple(m.weight.shape) for m in kernels} == {(256, 512, 2, 2), (512, 512, 2, 2)}
    for block in blocks:
        assert (block.query.in_maps, block.query.out_maps) == (256 + 2, 16)
        assert (block.key_value.in_maps, block.key_value.out_maps) == (256 + 3 + 2, 16 + 128)


def test_positions():
    rows, columns = positions((4, 5))
    assert rows[:, 0].tolist() == [-0.5, -0.25, 0, 0.25] and columns[0].tolist() == pytest.approx(
        [-0.5, -0.3, -0.1, 0.1, 0.3]
    )
    assert (rows == rows[:, :1]).all() and (columns == columns[:1]).all()


@pytest.mark.parametrize("ordering", ["hilbert", "diagonal"])
def test_other_scans_are_refused(ordering):
    with pytest.raises(RecipeError, match="follows one scan"):
        network(backbone(), ImageSpec(1, 4, 4, 2), ordering=named("ordering", ordering))


def test_sequential_colours_and_uneven_heads_are_refused():
    with pytest.raises(RecipeError, match="attention works on sites"):
        network(backbone(), ImageSpec(2, 4, 4, 2), ordering=named("ordering", "raster"), head=named("head", "softmax"))
    with pytest.raises(RecipeError, match="share the maps evenly") as error:
        network(backbone(heads=2), ImageSpec(1, 4, 4, 2))
    assert "value_width" in str(error.value)
