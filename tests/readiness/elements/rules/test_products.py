"""Largest codes over products, beside the definition, however rows repeat and however few are looked at in one go."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pixkit.readiness.elements.rules import contraction
from pixkit.readiness.elements.rules.contraction import contract
from pixkit.readiness.elements.rules.merging import merge

SIZES = st.integers(1, 4)


def codes(draws, *shape, kinds):
    """Codes of which many rows and columns are alike."""
    few = torch.randint(-1, 4, (kinds, *shape[-2:]), generator=draws)
    rows = torch.randint(0, max(1, shape[-2]), (shape[-2],), generator=draws)
    chosen = few[torch.randint(0, kinds, shape[:-2], generator=draws)]
    return chosen[..., rows, :] if shape[-2] else chosen


def defined(a, b):
    both = torch.maximum(a[..., :, :, None], b[..., None, :, :])
    nothing = (a[..., :, :, None] < 0) | (b[..., None, :, :] < 0)
    none = both.new_full((*both.shape[:-2], 1, both.shape[-1]), -1)
    return torch.cat([none, both.masked_fill(nothing, -1)], -2).amax(-2)


@pytest.mark.parametrize("cells", [1, 1 << 22])
@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.tuples(SIZES, SIZES, SIZES, st.integers(1, 3), st.integers(1, 3)), st.integers(0, 9), st.sampled_from("ab-"))
@example((0, 2, 3, 2, 1), 0, "-")
@example((2, 0, 3, 2, 1), 0, "-")
@example((2, 3, 0, 2, 1), 0, "-")
def test_a_product_has_the_largest_code_of_what_is_not_nothing(cells, sizes, seed, alone):
    i, k, j, batch, kinds = sizes
    draws = torch.Generator().manual_seed(seed)
    a, b = codes(draws, batch, 2, i, k, kinds=kinds), codes(draws, batch, 2, k, j, kinds=kinds)
    a, b = a[:1, 0] if alone == "a" else a, b[:1, :1].expand(batch, 2, k, j) if alone == "b" else b
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contraction, "CELLS", cells)
        assert torch.equal(contract(a, b), defined(a, b).expand(batch, 2, i, j))
        one, others = a.flatten(0, -3)[0], b[:, 0]
        assert torch.equal(contract(one, others), defined(one, others)), "along a single axis of batches"


def test_no_more_cells_than_allowed_are_compared_at_a_time(monkeypatch):
    maximum, sizes = torch.maximum, []

    def noted(*both):
        found = maximum(*both)
        sizes.append(found.numel())
        return found

    a, b = torch.arange(20).view(10, 2) - 1, torch.arange(6).view(2, 3)
    expected = defined(a, b)
    monkeypatch.setattr(torch, "maximum", noted)
    for cells, parts in ((5, [6] * 10), (11, [6] * 10), (13, [12] * 5)):
        sizes.clear()
        monkeypatch.setattr(contraction, "CELLS", cells)
        assert torch.equal(contraction._largest(a, b), expected) and sizes == parts


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(0, 6), st.integers(0, 3), st.integers(0, 99))
def test_equal_rows_are_of_one_kind(n, k, seed):
    rows = torch.randint(-1, 1, (n, k), generator=torch.Generator().manual_seed(seed))
    first, of = merge(rows)
    assert torch.equal(rows[first][of], rows)
    assert len(first) == len({tuple(row) for row in rows.tolist()})


def test_rows_that_only_their_hashes_make_equal_stay_apart(monkeypatch):
    monkeypatch.setattr(
        "pixkit.readiness.elements.rules.merging._multipliers", lambda k: torch.ones(k, dtype=torch.int64)
    )
    rows = torch.tensor([[1, 2], [2, 1], [1, 2]])
    first, of = merge(rows)
    assert torch.equal(rows[first][of], rows)
