"""Layers that are given as tables: what foreign networks are rewritten into."""

import pytest
import torch
import torch.nn.functional as F

from pixkit.layers.contraction import SiteLinear, SiteSum
from pixkit.layers.rearrange import Rearrange
from pixkit.layers.sequence import RunningScan
from pixkit.layers.site_attention import SiteAttention
from pixkit.layers.site_products import Kept, Products, Row, SiteProducts
from pixkit.layers.window import Window
from pixkit.testing import check_layer


def test_values_go_where_the_table_says():
    table = torch.tensor([[3, -1, 7, 0], [2, 9, -1, 1]])
    layer = Rearrange([(1, 2, 2), (3, 1, 2)], table, (2, 2), torch.tensor([[0.0, 5.0, 0, 0], [0, 0, 6.0, 0]]))
    first, second = torch.arange(4.0).view(1, 1, 2, 2), torch.arange(4.0, 10).view(1, 3, 1, 2)
    assert layer(first, second).tolist() == [[[[3, 5], [7, 0]], [[2, 9], [6, 1]]]]
    assert Rearrange(layer.sizes, table, (1, 4))(first, second).tolist() == [[[[3, 0, 7, 0]], [[2, 9, 0, 1]]]]


def test_a_rearrangement_says_what_it_reads():
    generator = torch.Generator().manual_seed(0)
    one = torch.randint(-1, 12, (4, 6), generator=generator)
    check_layer(Rearrange([(2, 2, 3)], one, (2, 3), torch.randn(4, 6, generator=generator)), [(2, 2, 3)])
    two = torch.randint(-1, 12 + 12, (3, 4), generator=generator)
    check_layer(Rearrange([(2, 2, 3), (3, 2, 2)], two, (1, 4)), [(2, 2, 3), (3, 2, 2)])
    check_layer(Rearrange([(2, 2, 3)], one, (2, 3), together=True), [(2, 2, 3)], groups=2, tight=False)
    three = torch.randint(-1, 12 + 18, (6, 4), generator=generator)
    check_layer(Rearrange([(3, 2, 2), (3, 2, 3)], three, (2, 2)), [(3, 2, 2), (3, 2, 3)], groups=3)


def test_attention_by_a_table_says_what_it_reads():
    visible = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)) < 0.6
    visible[2] = False
    sizes = [(4, 2, 3), (4, 2, 2), (6, 2, 2)]
    check_layer(SiteAttention(visible, heads=2), sizes, tight=False)
    check_layer(SiteAttention(visible, heads=2), sizes, groups=2, tight=False)
    bias = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1))
    check_layer(SiteAttention(visible, heads=2, scale=0.3, bias=bias), sizes, tight=False)


@pytest.mark.parametrize("name", RunningScan.STEPS)
def test_what_there_is_so_far_is_torchs(name):
    x = torch.randn(2, 3, 1, 4, generator=torch.Generator().manual_seed(0))
    expected = getattr(torch, name)(x, 3)
    found = RunningScan(name)(x)
    assert torch.allclose(found, expected if isinstance(expected, torch.Tensor) else expected.values)
    check_layer(RunningScan(name), [(4, 1, 4)], groups=2, tight=False)


def test_rows_of_products_say_what_they_read():
    generator = torch.Generator().manual_seed(0)
    visible = torch.rand(2, 3, 2, generator=generator) < 0.6
    visible[1, 2] = False
    constants = torch.randn(2, 2, 3, 2, generator=generator), torch.randn(1, 2, 3, 1, generator=generator)
    decayed = Row(torch.mul, (Products(), Kept(0)), {})
    row = Row(torch.add, (decayed, Row(torch.sum, (decayed, -1, True), {})), {})
    layer = SiteProducts(Row(torch.mul, (row, Kept(1)), {}), visible, constants, heads=2)
    sizes = [(4, 2, 3), (4, 2, 2), (6, 2, 2)]
    check_layer(layer, sizes, tight=False)
    check_layer(layer, sizes, groups=2, tight=False)
    query, key = (torch.randn(2, *size, generator=generator) for size in sizes[:2])
    split = (x.view(2, 2, 2, 2, -1).permute(0, 1, 3, 4, 2) for x in (query, key))
    products = torch.einsum("bhrtd,bhrud->bhrtu", *split).masked_fill(~visible, 0)
    found = SiteProducts(Row(torch.sum, (decayed, -1, True), {}), visible, constants, heads=2)
    assert torch.allclose(found(query, key), (products * constants[0]).sum(-1).view(2, 2, 2, 3), atol=1e-5)
    one = SiteProducts(decayed, visible[:1], [constants[0][:, :1]], heads=2)
    check_layer(one, [(4, 1, 3), (4, 1, 2), (6, 1, 2)], tight=False)


def test_attention_by_a_table_is_torchs():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 6, 1, 5, generator=generator, dtype=torch.float64) for _ in range(3))
    visible, bias = torch.ones(5, 5).tril().bool(), torch.randn(1, 5, 5, generator=generator, dtype=torch.float64)
    visible[3] = False
    found = SiteAttention(visible, heads=3, scale=0.7, bias=bias)(q, k, v)
    split = (x.view(2, 3, 2, 5).transpose(2, 3) for x in (q, k, v))
    mask = bias.masked_fill(~visible, -torch.inf)
    expected = F.scaled_dot_product_attention(*split, attn_mask=mask, scale=0.7).nan_to_num(0.0)
    assert found[..., 3].eq(0).all(), "a site that sees nothing"
    assert torch.allclose(found, expected.transpose(2, 3).reshape(2, 6, 1, 5), rtol=0, atol=1e-12)


def test_a_window_says_what_it_reads_and_is_a_convolution():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 4, 2, generator=generator)
    sources = torch.arange(5)[:, None] + torch.tensor([-2, -1, 0])
    x = torch.randn(3, 2, 5, generator=generator)
    for bias in (torch.randn(4, generator=generator), None):
        layer = Window(weight, bias, sources.where(sources >= 0, torch.tensor(5)), (1, 5))
        check_layer(layer, [(2, 1, 5)])
        expected = F.conv1d(F.pad(x, (2, 0)), weight.permute(1, 2, 0), bias)
        assert torch.allclose(layer(x[:, :, None])[:, :, 0], expected, atol=1e-5)


def test_a_window_reads_sites_anywhere_on_a_grid_and_none_beyond_it():
    generator = torch.Generator().manual_seed(0)
    sources = torch.tensor([[0, 5], [5, 6], [6, 6], [3, 4]])
    check_layer(Window(torch.randn(2, 2, 4, generator=generator), None, sources, (2, 2)), [(4, 2, 3)], groups=2)


def test_sums_over_sites_say_what_they_read():
    generator = torch.Generator().manual_seed(0)
    allowed = torch.rand(4, 6, generator=generator) < 0.5
    x, biases = torch.randn(2, 3, 2, 3, generator=generator), torch.randn(4, 2, generator=generator)
    for bias in (biases, None):
        summed = SiteSum(allowed.float(), None if bias is None else bias[:, 0], allowed, (2, 2))(x).flatten(2)
        expected = torch.stack([x.flatten(2)[:, :, own].sum(2) for own in allowed], 2)
        assert torch.allclose(summed, expected if bias is None else expected + bias[:, 0], atol=1e-5)
        weight = torch.ones(4, 2, 6, 3)
        linear = SiteLinear(weight, bias, allowed, (2, 2))(x).flatten(2)
        expected = expected.sum(1, keepdim=True).expand(-1, 2, -1)
        assert torch.allclose(linear, expected if bias is None else expected + bias.T, atol=1e-5)
    check_layer(SiteSum(torch.randn(4, 6), None, allowed, (2, 2)), [(3, 2, 3)])
    check_layer(SiteSum(torch.randn(4, 6), torch.zeros(4), allowed, (2, 2)), [(3, 2, 3)])
    check_layer(SiteSum(torch.randn(4, 6), torch.zeros(4), allowed, (2, 2)), [(4, 2, 3)], groups=2)
    check_layer(SiteLinear(torch.randn(4, 2, 6, 4), torch.zeros(4, 2), allowed, (2, 2)), [(4, 2, 3)], groups=2)
    check_layer(SiteLinear(torch.randn(4, 2, 6, 3), None, allowed, (2, 2)), [(3, 2, 3)])
    check_layer(SiteLinear(torch.randn(4, 2, 6, 3), torch.zeros(4, 2), allowed, (1, 4)), [(3, 2, 3)])
