"""PixelCNN++ against its contract, the published code written out, its receptive field and its numbers."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from turned import TURNED

from pixkit.backbones.base import BackboneSpec
from pixkit.components.plugins import registry
from pixkit.errors import RecipeError
from pixkit.image import Batch, ImageSpec
from pixkit.layers import DataInitialised
from pixkit.recipe import load_recipe
from pixkit.testing import (
    check_backbone,
    check_causality,
    check_gradients,
    named,
    network,
    permitted,
    randomise,
)
from pixkit.testing.samplers import check_drawing
from pixkit.training.build import build

SMALL = {"filters": 3, "resnets": 1, "hierarchies": 2}


def plusplus(**config):
    return named("backbone", "pixelcnnpp", **{**SMALL, **config})


def raster(**keys):
    return named("ordering", "raster", colours="joint", **keys)


def backbone(spec, **config):
    ordering = raster().build(spec, "joint")
    return plusplus(**config).build(BackboneSpec(spec, ordering, spec.channels))


def test_contract():
    check_backbone(plusplus(), [raster()])


@pytest.mark.long
@pytest.mark.parametrize("turned", TURNED, ids=str)
def test_the_eight_rasters(turned):
    net = network(plusplus(), ImageSpec(1, 3, 5, 2), ordering=raster(**turned))
    check_gradients(net, check_causality(net))
    check_drawing(net)


@pytest.mark.parametrize(
    "options",
    [
        {"hierarchies": 1},
        {"hierarchies": 3},
        {"link": False},
        {"short_cuts": False},
        {"link": False, "short_cuts": False, "hierarchies": 1},
        {"activation": "elu"},
        {"activation": "relu"},
        {"resnets": 2, "dropout": 0.0},
    ],
    ids=str,
)
def test_every_option_is_causal(options):
    net = network(plusplus(**options), ImageSpec(2, 3, 5, 2), ordering=raster())
    check_gradients(net, check_causality(net))


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 5, 7), (1, 28, 28), (2, 6, 3), (5, 4, 1)], ids=str)
def test_any_size_and_number_of_channels(size):
    spec = ImageSpec(*size, 16)
    net = network(plusplus(hierarchies=3), spec, head=named("head", "logistic_mixture", components=2))
    x = torch.randint(16, (2, *size))
    assert net(x).shape[2:] == size[1:]
    assert net.log_prob(x).isfinite().all()
    assert torch.equal(net.ordering.steps.amax(), torch.tensor(size[1] * size[2] - 1)), "colours are drawn together"


def test_sequential_colours_are_refused_with_the_reason():
    with pytest.raises(RecipeError, match="colours of a pixel together") as error:
        network(plusplus(), ImageSpec(3, 4, 4, 4))
    assert "independent" in str(error.value)
    network(plusplus(), ImageSpec(3, 4, 4, 4), head=named("head", "softmax", independent=True))


# What is seen.


@pytest.mark.parametrize("options", [{"resnets": 2}, {"resnets": 1, "hierarchies": 3}], ids=str)
def test_every_earlier_pixel_is_seen(options):
    spec = ImageSpec(1, 5, 7, 2)
    net = network(plusplus(filters=8, **options), spec, ordering=raster())
    assert torch.equal(check_causality(net, images=2), permitted(net))


def test_the_first_layers_see_what_they_should():
    """u: two rows above, three columns. ul: three columns of the row above, and the pixel to the left."""
    net = backbone(ImageSpec(1, 5, 6, 2)).double()
    randomise(net, seed=0)
    x = torch.randn(1, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    seen = net.ones(x)
    upper, left = net.above(seen), net.above_left(seen) + net.left(seen)
    for row, column in itertools.product(range(5), range(6)):
        window = {(i, j) for i in range(5) for j in range(max(column - 1, 0), min(column + 2, 6))}
        two = {(i, j) for i, j in window if row - 2 <= i < row}
        three = {(i, j) for i, j in window if i == row - 1 or (i, j) == (row, column - 1)}
        for features, expected in ((upper, two), (left, three)):
            (gradient,) = torch.autograd.grad(features[0, :, row, column].square().sum(), x, retain_graph=True)
            assert {tuple(site) for site in gradient[0, 0].nonzero().tolist()} == expected


def test_blind_spot_without_the_link():
    """Above, no column beyond the next one is seen, however deep."""
    spec = ImageSpec(1, 4, 7, 2)
    net = network(plusplus(filters=8, link=False, hierarchies=1, resnets=3), spec, ordering=raster())
    seen = check_causality(net, images=4)[0, :, :, 0]
    for row, column in itertools.product(range(4), range(7)):
        expected = torch.zeros(4, 7, dtype=torch.bool)
        expected[:row, : column + 2] = True
        expected[row, :column] = True
        assert torch.equal(seen[row, column], expected)


# The published code, written out: github.com/openai/pixel-cnn, pixel_cnn_pp/model.py and nn.py.


def weight(layer, axes):
    v = layer.weight
    g = layer.gain.view([1 if axis in axes else -1 for axis in range(4)])
    return g * v / v.square().sum(axes, keepdim=True).sqrt()


def conv(layer, x, pads, stride=1):
    return F.conv2d(F.pad(x, pads), weight(layer, (1, 2, 3)), layer.bias, stride=stride)


def down_shifted_conv(layer, x, stride=1):
    kh, kw = layer.weight.shape[2:]
    return conv(layer, x, ((kw - 1) // 2, (kw - 1) // 2, kh - 1, 0), stride)


def down_right_shifted_conv(layer, x, stride=1):
    kh, kw = layer.weight.shape[2:]
    return conv(layer, x, (kw - 1, 0, kh - 1, 0), stride)


def deconv(layer, x):
    out = F.conv_transpose2d(x, weight(layer, (0, 2, 3)), stride=2, output_padding=1)
    return out[:, :, :, : 2 * x.shape[3] + layer.weight.shape[3] - 1] + layer.bias[:, None, None]


def down_shifted_deconv(layer, x):
    return deconv(layer, x)[:, :, :-1, 1:-1]


def down_right_shifted_deconv(layer, x):
    return deconv(layer, x)[:, :, :-1, :-1]


def concat_elu(x):
    return F.elu(torch.cat([x, -x], 1))


def gated_resnet(layer, x, a, conv):
    c1 = conv(layer.first, concat_elu(x))
    if a is not None:
        w = weight(layer.others, (1, 2, 3))
        if a.shape[1] > x.shape[1]:  # ours joins f(u) and f(s), published is f of u and s joined: [u, s, -u, -s]
            u, minus_u, s, minus_s = w.chunk(4, 1)
            w = torch.cat([u, s, minus_u, minus_s], 1)
        c1 = c1 + F.conv2d(concat_elu(a), w, layer.others.bias)
    a, b = conv(layer.second, concat_elu(c1)).chunk(2, 1)
    return x + a * torch.sigmoid(b)


def down_shift(x):
    return torch.cat([torch.zeros_like(x[:, :, :1]), x[:, :, :-1]], 2)


def right_shift(x):
    return torch.cat([torch.zeros_like(x[:, :, :, :1]), x[:, :, :, :-1]], 3)


def published(net, x, levels, resnets):
    upper, left = net.upper_stream, net.left_stream
    x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    u_list = [down_shift(down_shifted_conv(net.above[0], x))]
    ul_list = [
        down_shift(down_shifted_conv(net.above_left[0], x)) + right_shift(down_right_shifted_conv(net.left[0], x))
    ]
    for level in range(levels):
        if level:
            u_list.append(down_shifted_conv(upper.shrink[level - 1], u_list[-1], 2))
            ul_list.append(down_right_shifted_conv(left.shrink[level - 1], ul_list[-1], 2))
        for rep in range(resnets):
            u_list.append(gated_resnet(upper.falling[level][rep], u_list[-1], None, down_shifted_conv))
            ul_list.append(gated_resnet(left.falling[level][rep], ul_list[-1], u_list[-1], down_right_shifted_conv))
    u, ul = u_list.pop(), ul_list.pop()
    for level in reversed(range(levels)):
        coarsest = level == levels - 1
        if not coarsest:
            u, ul = down_shifted_deconv(upper.grow[level], u), down_right_shifted_deconv(left.grow[level], ul)
        for rep in range(resnets + (not coarsest)):
            u = gated_resnet(upper.rising[level][rep], u, u_list.pop(), down_shifted_conv)
            a = torch.cat([u, ul_list.pop()], 1)
            ul = gated_resnet(left.rising[level][rep], ul, a, down_right_shifted_conv)
    assert u_list == ul_list == []
    return F.elu(ul)


@pytest.mark.parametrize(("levels", "resnets"), [(1, 2), (2, 1), (3, 2)])
def test_it_computes_what_the_published_code_computes(levels, resnets):
    net = backbone(ImageSpec(3, 8, 12, 4), filters=5, hierarchies=levels, resnets=resnets).double().eval()
    randomise(net, seed=1, gain=1.0)
    with torch.no_grad():
        x = torch.randn(2, 3, 8, 12, dtype=torch.float64)
        expected = published(net, x, levels, resnets)
        assert torch.allclose(net(x), expected, rtol=1e-9, atol=1e-9)
        assert len({tuple(row) for row in expected[0, 0].round(decimals=6).tolist()}) == 8, "rows differ"


# Numbers of parameters, by hand.


def count(filters, resnets, levels, inputs):
    """v, g and b of every layer; f reads 2 F maps."""
    f, r = filters, resnets

    def layer(taps, read, out):
        return taps * read * out + 2 * out

    def resnet(taps, others):
        joined = layer(1, others * 2 * f, f) if others else 0
        return layer(taps, 2 * f, f) + joined + layer(taps, 2 * f, 2 * f)

    first = layer(6, inputs + 1, f) + layer(3, inputs + 1, f) + layer(2, inputs + 1, f)
    falling = levels * r * (resnet(6, 0) + resnet(4, 1))
    rising = (levels * (r + 1) - 1) * (resnet(6, 1) + resnet(4, 2))
    between = (levels - 1) * 2 * (layer(6, f, f) + layer(4, f, f))
    return first + falling + rising + between


@pytest.mark.parametrize(("filters", "resnets", "levels"), [(2, 1, 1), (3, 2, 2), (4, 1, 3), (160, 5, 3)])
def test_number_of_parameters(filters, resnets, levels):
    net = backbone(ImageSpec(3, 8, 8, 256), filters=filters, resnets=resnets, hierarchies=levels)
    assert sum(p.numel() for p in net.parameters()) == count(filters, resnets, levels, 3)


def test_the_published_size():
    """160 filters, 5 resnets, 3 resolutions: kernels by number of taps x maps read x maps written, then g and b."""
    falling = 15 * (6 * 320 * (160 + 320) + 4 * 320 * (160 + 320) + 320 * 160)
    rising = 17 * (6 * 320 * (160 + 320) + 320 * 160 + 4 * 320 * (160 + 320) + 640 * 160)
    between = 4 * (6 + 4) * 160 * 160
    first = (6 + 3 + 2) * 4 * 160
    gains_and_biases = 2 * (15 * (480 + 640) + 17 * (640 + 640) + 8 * 160 + 3 * 160)
    assert falling + rising + between + first + gains_and_biases == count(160, 5, 3, 3) == 53_642_880


def test_layers_in_the_papers_order():
    """5 resnets would be (5, 5, 5) going down, (5, 6, 6) going up; here 2: (2, 2, 2) and (2, 3, 3)."""
    net = backbone(ImageSpec(3, 8, 8, 256), filters=4, resnets=2, hierarchies=3)
    for stream, columns, reading in ((net.upper_stream, (-1, 1), 0), (net.left_stream, (-1, 0), 1)):
        assert [len(level) for level in stream.falling] == [2, 2, 2]
        assert [len(level) for level in reversed(stream.rising)] == [2, 3, 3]
        assert [(m.rows, m.columns, m.stride) for m in stream.shrink] == [((-1, 0), columns, 2)] * 2
        up = {(-1, 1): (-1, 1), (-1, 0): (0, 1)}[columns]
        assert [(m.rows, m.columns, m.stride) for m in stream.grow] == [((0, 1), up, 2)] * 2
        for levels, others in ((stream.falling, reading), (stream.rising, reading + 1)):
            for resnet in itertools.chain(*levels):
                shapes = [(m.in_maps, m.out_maps, m.rows, m.columns) for m in (resnet.first, resnet.second)]
                assert shapes == [(8, 4, (-1, 0), columns), (8, 8, (-1, 0), columns)]
                assert (resnet.others.in_maps if resnet.others is not None else 0) == others * 8
                assert resnet.second.init_scale == 0.1


def test_dropout_is_before_the_second_convolution_alone():
    """With the second convolutions silenced, training passes are all alike; with them, they differ."""
    net = backbone(ImageSpec(1, 5, 6, 4), dropout=0.5).train()
    x = torch.randn(2, 1, 5, 6)
    with torch.no_grad():
        assert not torch.equal(net(x), net(x))
        for module in net.modules():
            if hasattr(module, "second"):
                module.second.gain.zero_()
        assert torch.equal(net(x), net(x))


# The first batch.


def model(spec):
    entry = registry().get("model", "autoregressive")
    keys = {"backbone": {"type": "pixelcnnpp", **SMALL, "filters": 6}, "head": {"type": "logistic_mixture"}}
    return entry.cls(entry.cls.Config.model_validate(keys, context={"registry": registry()}), spec)


def test_the_first_batch_sets_every_layer():
    spec, x = ImageSpec(3, 9, 7, 256), torch.randint(256, (16, 3, 9, 7))
    torch.manual_seed(0)
    net = model(spec).double()
    seen = {}
    net.initialise(Batch(x, None, torch.arange(16)))
    for name, layer in net.named_modules():
        if isinstance(layer, DataInitialised):
            layer.register_forward_hook(lambda layer, args, out, name=name: seen.update({name: (layer, out)}))
    with torch.no_grad():
        net.eval().network(x)
    assert len(seen) == 3 + (2 * 2 + 3 * 3 + 2) + (5 * 3 + 2), "first layers, upper stream, left stream"
    for name, (layer, out) in seen.items():
        deviation, mean = torch.std_mean(out, (0, 2, 3), correction=0)
        assert mean.abs().max() < 1e-10, name
        assert (deviation / layer.init_scale - 1).abs().max() < 1e-6, name


RECIPE = """
pixkit: 1
name: tiny
data: {source: synthetic, height: 4, width: 4, train_images: 32, test_images: 4}
model:
  type: autoregressive
  backbone: {type: pixelcnnpp, filters: 4, resnets: 1, hierarchies: 1}
  head: {type: logistic_mixture, components: 2}
train: {steps: 4, batch_size: 16, ema: 0.9, optimizer: {type: adam, lr: 1e-3}, eval_every: 10, checkpoint_every: 2}
sample: {count: 1}
"""


def test_a_resumed_run_is_not_set_again(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    build(load_recipe(path), tmp_path / "whole", device="cpu")
    build(load_recipe(path, ["train.steps=2"]), tmp_path / "parts", device="cpu")
    build(load_recipe(path), tmp_path / "parts", device="cpu", resume=True)
    for weights in ("model", "ema"):
        whole, parts = (
            load_file(tmp_path / run / "checkpoints" / "step-4" / f"{weights}.safetensors")
            for run in ("whole", "parts")
        )
        assert whole.keys() == parts.keys()
        assert all(torch.equal(whole[name], parts[name]) for name in whole), weights
