"""Sets of input elements: rules run on many at once say what they say of each element by itself."""

import pytest
import torch
from needs import run_of
from torch import nn
from torch.nn import functional as F

from pixkit.readiness import prove
from pixkit.readiness.elements.replay import replayed
from pixkit.readiness.elements.unions import BITS, _amax, _cummax, _maximum, _scatter, in_any, united

T, WIDTH = 6, 4
X = torch.randn(1, T, WIDTH, generator=torch.Generator().manual_seed(0))
STEPS = torch.arange(T)[:, None].expand(1, T, WIDTH)
ZEROED = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
PLACES = torch.tensor([0, 3, 3, 1, 0, 5])
PAIRS = torch.tensor([[0, 1, 1, 0], [1, 1, 0, 0]])[None].repeat(1, 3, 1)
GATES = nn.GRU(WIDTH, WIDTH, batch_first=True)

DONE = {
    "a sum": lambda x: x + x.flip(1),
    "products with zeros": lambda x: x @ ZEROED.mT,
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "a padded convolution": lambda x: F.conv1d(F.pad(x.mT, (2, 0)), torch.ones(4, 2, 2), groups=2),
    "prefixes": lambda x: x.cumsum(1),
    "a prefix of nothing": lambda x: torch.cumprod(F.pad(x, (0, 0, 2, 0)), 1),
    "rows added": lambda x: torch.zeros(1, T, WIDTH).index_add(1, PLACES, x),
    "elements added to what is there": lambda x: x.scatter_add(1, PAIRS, x.flip(2)),
    "elements in place of what is there": lambda x: x.scatter(1, PAIRS[:, :3], x.flip(1)),
    "a norm": lambda x: F.layer_norm(x, (WIDTH,)),
    "pools, by ranks": lambda x: F.avg_pool1d(F.max_pool1d(x.mT, 2), 2, 1),
    "reflection, by ranks": lambda x: F.pad(x.mT, (1, 2), mode="reflect"),
    "everything": lambda x: x[0, :, 0] * torch.dist(x[0, 2:4], x[0, 1:3]),
    "an operation without a rule": lambda x: torch.linalg.svdvals(x[:, 1:4]),
    "a recurrence": lambda x: GATES(x)[0],
}


@pytest.mark.quick
@pytest.mark.parametrize("done", DONE.values(), ids=DONE)
def test_a_rule_says_of_sets_what_it_says_of_each_element(done):
    """Of any sets, of which the highest bit there can be is one."""
    bits = [0, 1, 2, 30, BITS - 1]
    tape = run_of(done, X, STEPS).tape
    assert tape
    for number, record in enumerate(tape):
        generator = torch.Generator().manual_seed(number)
        shapes = [held.place.shape for held in record.inputs]
        alone = [[torch.randint(2, shape, generator=generator) for _ in bits] for shape in shapes]
        sets = [sum(plane << bit for plane, bit in zip(planes, bits, strict=True)) for planes in alone]
        found = united(record, sets)
        assert len(found) == len(record.results)
        for place, bit in enumerate(bits):
            given = replayed(record, [planes[place] for planes in alone])
            for all_at_once, one in zip(found, given, strict=True):
                assert torch.equal(all_at_once >> bit & 1, one), (record.op, bit)
        assert not any(bool((plane & ~sum(1 << bit for bit in bits)).any()) for plane in found)


@pytest.mark.quick
def test_sets_beside_nothing():
    """Of which -1 is told from the empty set."""
    one, other = torch.tensor([-1, -1, 0, 5, 5, 0]), torch.tensor([-1, 3, -1, -1, 2, 0])
    assert _maximum(one, other).tolist() == [-1, 3, 0, 5, 7, 0] == _maximum(other, one).tolist()
    plane = torch.tensor([[-1, 1, 2], [-1, -1, 4]])
    assert _amax(plane, (0,)).tolist() == [-1, 1, 6] and _amax(plane, (-1,), True).tolist() == [[3], [4]]
    assert int(_amax(plane)) == 7 and _cummax(plane, 1)[0].tolist() == [[-1, 1, 3], [-1, -1, 4]]
    given = torch.tensor([1, -1, 4]), 0, torch.tensor([0, 1, 1]), torch.tensor([2, -1, 8])
    assert _scatter(*given, "amax").tolist() == [3, 8, 4]
    assert _scatter(*given, "amax", include_self=False).tolist() == [2, 8, 4]
    assert _scatter(*given, "sum").tolist() == [3, 6, 4]
    assert in_any([plane[:, 1:].clamp(min=0), torch.tensor(8)]) == 15 and in_any([]) == 0


def test_a_field_of_more_elements_than_a_run_has_bits_for():
    """Every third element before, of 200: groups of several, some of whose elements are read."""
    sites = 200
    reads = torch.ones(sites, sites).tril(-1) * (torch.arange(sites) % 3 == 1)
    proof = prove(lambda x: x @ reads.mT, torch.zeros(1, sites), torch.arange(sites)[None])
    assert torch.equal(proof.receptive_field((0, 150))[0], reads[150].bool())
    assert not proof.receptive_field((0, 0)).any()
    several = proof.receptive_field((0, slice(5, 90, 40)))[0]
    assert torch.equal(several, reads[85].bool())
