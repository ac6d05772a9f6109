"""Which taps and keys lie side by side, by small worked examples, and that each product reads no more than it needs."""

import numpy as np
import pytest
import torch
from torch import nn

from pixkit.execution import runs

pytestmark = pytest.mark.quick
READ = {
    (-1, -1, -1): [],
    (0, 1, 2): [(0, 3, 0)],
    (0, 1, -1): [(0, 2, 0)],
    (-1, 1, 2): [(1, 3, 1)],
    (4, -1, -1): [(0, 1, 4)],
    (0, 2, 3): [(0, 1, 0), (1, 3, 2)],
    (0, -1, 1): [(0, 1, 0), (2, 3, 1)],
    (0, 2, 4): [(0, 1, 0), (1, 2, 2), (2, 3, 4)],
    (1, 3, 5): [(0, 1, 1), (1, 2, 3), (2, 3, 5)],
    (4, 2, 0): [(0, 1, 4), (1, 2, 2), (2, 3, 0)],
    (3, 3, 3): [(0, 1, 3), (1, 2, 3), (2, 3, 3)],
}
"""The sites that three taps read, -1 for none, and the taps' runs: first, last + 1, and the first one's site."""
SITES = 6


def test_taps_of_consecutive_sites_are_together():
    assert runs._runs(np.array([*READ])) == [*READ.values()]


def test_keys_that_a_query_sees_are_a_range_unless_there_is_a_gap():
    seen = ["0000", "1100", "0110", "0001", "1111", "1010", "1001"]
    visible = torch.tensor([[mark == "1" for mark in row] for row in seen])
    assert runs.spans(visible) == [(0, 0), (0, 2), (1, 3), (3, 4), (0, 4), None, None]


def test_taps_at_equal_distances():
    rows = [[0, 2, 4], [1, 2, 3], [0, 1, 3], [3, 2, 1], [5, 5, 5]]
    assert runs._apart(torch.tensor(rows)) == [2, 1, 0, 0, 0]
    assert runs._apart(torch.tensor([[1], [2]])) == [0, 0]
    memory = torch.arange(12.0).view(1, 6, 2)
    windows = runs._windows(memory, 3, 2)
    assert windows.shape == (1, 2, 3, 2), "those that end within the memory"
    assert all(torch.equal(windows[:, site], memory[:, [site, site + 2, site + 4]]) for site in range(2))


@pytest.mark.parametrize("given", [False, True])
def test_sums_over_taps_gather_what_is_in_more_than_two_runs_only(given):
    """Where `given` a place, the result is written there."""
    random = torch.Generator().manual_seed(0)
    memory, weight, bias = (torch.randn(size, generator=random) for size in ((2, SITES + 1, 2), (3, 2, 4), (4,)))
    memory[:, SITES] = 0
    sources = torch.tensor([*READ])
    padded = torch.where(sources < 0, SITES, sources)
    table = runs.Linear([weight], [bias], [[*READ.values()]], [[]], padded, own=False)
    together = torch.full((2, 3, 2), torch.nan)
    value = runs.window(memory, table, together)
    for site, parts in enumerate(READ.values()):
        together.fill_(torch.nan)
        out = torch.full((2, 4), torch.nan) if given else None
        found = value(site, out)
        if given:
            assert found is out
        torch.testing.assert_close(found, bias + torch.einsum("btm,tmo->bo", memory[:, padded[site]], weight))
        if len(parts) > 2:
            assert torch.equal(together, memory[:, padded[site]])
        else:
            assert together.isnan().all()


@pytest.mark.parametrize("biased", [False, True])
def test_a_map_of_one_site(biased):
    module, x, out = nn.Conv2d(3, 2, 1, bias=biased), torch.randn(4, 5, 3), torch.empty(4, 2)
    weight, bias = runs.dense(module)
    assert weight.is_contiguous() and weight.shape == (3, 2) and (bias is not None) == biased
    assert not weight.requires_grad
    value = runs.product(lambda site: x[:, site], weight, bias)
    expected = module(x[:, 3, :, None, None])[..., 0, 0]
    assert value(3, out) is out
    torch.testing.assert_close(value(3), expected)
    torch.testing.assert_close(out, expected)
