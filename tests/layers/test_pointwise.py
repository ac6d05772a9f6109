"""Activations and norms: what they compute, and that they keep colours apart."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pixkit.layers import ColourLayerNorm, ConcatenatedELU, Maxout, activated_maps, activation, norm


def features(maps, groups=3, seed=0):
    shape = (2, maps, 4, 5)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reached(module, maps, groups):
    """bool [groups in, groups out]: which colour's maps move when one colour's maps are changed."""
    x = features(maps)
    before = module(x)
    table = torch.zeros(groups, groups, dtype=torch.bool)
    for colour in range(groups):
        moved = x.clone()
        moved[:, colour::groups] = moved[:, colour::groups] * -1.5 + 0.3
        table[colour] = (module(moved) != before).unflatten(1, (-1, groups)).transpose(0, 2).flatten(1).any(1)
    return table


@pytest.mark.parametrize("name", ["relu", "elu", "concatenated_elu", "maxout"])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_activations_keep_colours_and_sites_apart(name, groups):
    module, maps = activation(name), 4 * groups
    assert torch.equal(reached(module, maps, groups), torch.eye(groups, dtype=torch.bool))
    x = features(maps)
    out = module(x)
    assert out.shape == (2, activated_maps(name, maps), 4, 5)
    alone = module(x[:, :, 2:3, 3:4])
    assert torch.allclose(out[:, :, 2:3, 3:4], alone, rtol=1e-14, atol=0)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_colour_layer_norm_keeps_colours_and_sites_apart(groups):
    module, maps = ColourLayerNorm(4 * groups, groups).double(), 4 * groups
    assert torch.equal(reached(module, maps, groups), torch.eye(groups, dtype=torch.bool))
    x = features(maps)
    moved = x.clone()
    moved[:, :, 0, 0] += torch.arange(maps)
    different = (module(moved) != module(x)).any(1).any(0)
    assert different.nonzero().tolist() == [[0, 0]]


def test_colour_layer_norm_is_a_layer_norm_of_each_colour():
    module = ColourLayerNorm(12, 3, eps=1e-3).double()
    with torch.no_grad():
        module.weight.copy_(torch.linspace(0.5, 2, 12))
        module.bias.copy_(torch.linspace(-1, 1, 12))
    x = features(12)
    out = module(x)
    for colour in range(3):
        part = x[:, colour::3].movedim(1, -1)
        weight, bias = module.weight[colour::3], module.bias[colour::3]
        expected = F.layer_norm(part, (4,), weight, bias, eps=1e-3).movedim(-1, 1)
        assert torch.allclose(out[:, colour::3], expected, rtol=0, atol=1e-12)


def test_an_ordinary_layer_norm_would_leak():
    """The test above can fail: a norm over all maps does let colours see each other."""

    class Dense(nn.Module):
        def forward(self, x):
            return F.layer_norm(x.movedim(1, -1), (x.shape[1],)).movedim(-1, 1)

    assert reached(Dense(), 12, 3).all()


def test_concatenated_elu_and_maxout_by_hand():
    x = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1)
    low = float(torch.expm1(torch.tensor(-1.0)))
    assert ConcatenatedELU()(x).flatten().tolist() == pytest.approx([1, low, low, 1])
    x = torch.tensor([1.0, -1.0, 0.5, 2.0]).view(1, 4, 1, 1)
    assert Maxout()(x).flatten().tolist() == [1.0, 2.0]


def test_norms_by_name():
    assert isinstance(norm("none", 6, 3), nn.Identity)
    assert isinstance(norm("batch", 6, 3), nn.BatchNorm2d)
    layer = norm("layer", 6, 3)
    assert isinstance(layer, ColourLayerNorm) and layer.groups == 3
