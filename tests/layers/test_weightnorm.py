"""Weight-normalised layers, the map of ones, and what the first batch sets."""

import pytest
import torch
from torch import nn

from pixkit.layers import (
    AppendMaps,
    DataInitialised,
    ShiftedConv2d,
    ShiftedConvTranspose2d,
    WeightNormConv2d,
    WeightNormConvTranspose2d,
    initialise_from_data,
)
from pixkit.testing import check_layer, randomise

LAYERS = {
    "2x3": (lambda: WeightNormConv2d(3, 4, (-1, 0), (-1, 1)), (3, 5, 6)),
    "1x1": (lambda: WeightNormConv2d(3, 4, (0, 0), (0, 0)), (3, 5, 6)),
    "strided": (lambda: WeightNormConv2d(3, 4, (-1, 0), (-1, 0), stride=2), (3, 5, 6)),
    "transposed": (lambda: WeightNormConvTranspose2d(3, 4, (0, 1), (-1, 1), (5, 6)), (3, 3, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_contract(name):
    make, shape = LAYERS[name]
    check_layer(make(), [shape])


@pytest.mark.parametrize("grid", [(5, 6), (1, 1), (1, 4)])
def test_a_map_of_ones_comes_last(grid):
    check_layer(AppendMaps(torch.ones(1, *grid)), [(2, *grid)])
    x = torch.randn(3, 2, *grid)
    assert torch.equal(AppendMaps(torch.ones(1, *grid))(x), torch.cat([x, torch.ones(3, 1, *grid)], 1))


@pytest.mark.parametrize("name", LAYERS)
def test_the_weight_is_g_v_over_the_norm_of_v(name):
    make, shape = LAYERS[name]
    layer = make().double()
    randomise(layer, seed=3)
    plain = {WeightNormConv2d: ShiftedConv2d, WeightNormConvTranspose2d: ShiftedConvTranspose2d}[type(layer)]
    sizes = (layer.size,) if plain is ShiftedConvTranspose2d else ()
    twin = plain(3, 4, layer.rows, layer.columns, *sizes, stride=layer.stride).double()
    with torch.no_grad():
        v = layer.weight if plain is ShiftedConv2d else layer.weight.transpose(0, 1)
        w = torch.stack([g * part / part.square().sum().sqrt() for g, part in zip(layer.gain, v, strict=True)])
        twin.weight.copy_(w if plain is ShiftedConv2d else w.transpose(0, 1))
        twin.bias.copy_(layer.bias)
        x = torch.randn(2, *shape, dtype=torch.float64)
        assert torch.allclose(layer(x), twin(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_the_scale_of_v_has_no_effect_and_no_gradient(name):
    make, shape = LAYERS[name]
    layer, x = make().double(), torch.randn(2, *shape, dtype=torch.float64)
    before = layer(x)
    before.square().sum().backward()
    assert layer.weight.grad.abs().max() > 0
    assert (layer.weight.grad * layer.weight.detach()).sum().abs() < 1e-9
    with torch.no_grad():
        layer.weight.mul_(7)
    assert torch.allclose(layer(x), before, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_the_first_batch_gives_mean_0_and_the_given_deviation(scale):
    torch.manual_seed(0)
    layer = WeightNormConv2d(3, 16, (-1, 0), (-1, 1), init_scale=scale).double()
    assert layer.gain.tolist() == pytest.approx([scale] * 16)
    assert not layer.bias.any()
    x = 3 * torch.randn(8, 3, 5, 6, dtype=torch.float64) + 2
    layer.initialise_from(x)
    deviation, mean = torch.std_mean(layer(x), (0, 2, 3), correction=0)
    assert torch.allclose(mean, torch.zeros_like(mean), atol=1e-12)
    assert torch.allclose(deviation, torch.full_like(deviation, scale), rtol=1e-12)


def test_maps_that_do_not_vary_keep_their_gain():
    layer = WeightNormConv2d(2, 3, (0, 0), (0, 0))
    layer.initialise_from(torch.full((4, 2, 3, 3), 0.7))
    assert (layer.gain == 1).all()
    assert layer(torch.full((4, 2, 3, 3), 0.7)).abs().max() < 1e-6


def test_the_scale_of_a_map_is_set_if_it_varies_by_more_than_a_hundred_thousandth():
    layer = WeightNormConv2d(1, 1, (0, 0), (0, 0)).double()
    found = []
    for deviation in (0.9e-5, 1.1e-5):
        layer.gain.data.fill_(1.0)
        layer.initialise_from(deviation * torch.tensor([-1.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1))
        found.append(layer.gain.detach().item())
    assert found == pytest.approx([1.0, 1 / 1.1e-5])


def chain():
    torch.manual_seed(0)
    first, second = WeightNormConv2d(1, 8, (-1, 0), (-1, 1)), WeightNormConv2d(8, 8, (-1, 0), (-1, 0))
    return nn.Sequential(first, nn.ELU(), nn.Dropout(0.5), second).double()


def test_layers_are_set_one_after_the_other_without_dropout():
    """The second layer's statistics hold for what the first gives once it is set."""
    net, x = chain(), torch.randn(16, 1, 5, 6, dtype=torch.float64) * 5 + 3
    net[1].eval()
    state = torch.random.get_rng_state()
    initialise_from_data(net, lambda: net(x))
    assert torch.equal(state, torch.random.get_rng_state())
    assert [part.training for part in net] == [True, False, True, True], "every part is back in its own mode"
    net.eval()
    for out in (net[0](x), net(x)):
        deviation, mean = torch.std_mean(out, (0, 2, 3), correction=0)
        assert mean.abs().max() < 1e-12
        assert (deviation - 1).abs().max() < 1e-12
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net(10 * x)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items()), "once, and no more"


def test_a_layer_that_is_called_twice_is_set_by_its_first_input():
    class Counting(DataInitialised):
        def __init__(self):
            super().__init__()
            self.seen = []

        def initialise_from(self, x):
            self.seen.append(float(x))

        def forward(self, x):
            return x + 1

    layer, unused = Counting(), Counting()
    initialise_from_data(nn.ModuleList([layer, unused]), lambda: layer(layer(torch.tensor(5.0))))
    assert layer.seen == [5.0]
    layer(torch.tensor(1.0))
    unused(torch.tensor(1.0))
    assert layer.seen == [5.0]
    assert unused.seen == [], "a layer that the pass did not reach is left alone, then and later"
