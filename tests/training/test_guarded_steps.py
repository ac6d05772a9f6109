"""The flag that holds updates back: what sets it, what it holds, and how a phase is begun anew."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pixkit.training.guard import Guard

CPU = torch.device("cpu")


@pytest.fixture
def model():
    return nn.BatchNorm1d(2, affine=False)


def buffers(model):
    return {name: value.tolist() for name, value in model.named_buffers()}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_sets_it_for_good(model, value):
    guard = Guard(model, CPU)
    for seen, flag in ((1e38, 0.0), (value, 1.0), (0.5, 1.0)):
        guard.see(torch.tensor([seen], requires_grad=True))
        assert float(guard.flag) == flag and guard.flag.dtype == torch.float32


@pytest.mark.parametrize(("own", "others", "flag"), [(0, [0, 0], 0), (1, [0, 0], 1), (0, [0, 1], 1), (1, [1, 1], 1)])
def test_it_is_set_where_it_is_set_on_any_rank_and_is_one_on_however_many(model, own, others, flag):
    guard = Guard(model, CPU)
    guard.flag.fill_(own)
    guard.unite(
        SimpleNamespace(joined=lambda row: torch.stack([row, *(torch.full((1,), float(one)) for one in others)]))
    )
    assert float(guard.flag) == flag


@pytest.mark.parametrize("before", [0.0, 1.0])
def test_a_phase_that_is_begun_anew_finds_buffers_and_flag_as_it_did_first(model, before):
    guard = Guard(model, CPU)
    for turn in range(2):
        guard.flag.fill_(before)
        guard.begin()
        found = buffers(model)
        model(torch.randn(4, 2) + turn)
        guard.flag.fill_(1.0)
        assert buffers(model) != found
        guard.rewind()
        assert buffers(model) == found and float(guard.flag) == before
        model(torch.randn(4, 2))  # and is begun from others the next time


@pytest.mark.parametrize("flag", [0.0, 1.0])
def test_an_update_that_is_held_back_takes_the_buffers_back_too(model, flag):
    guard, told = Guard(model, CPU), []
    guard.begin()
    found = buffers(model)
    model(torch.randn(4, 2))
    moved = buffers(model)
    guard.flag.fill_(flag)
    guard.update(SimpleNamespace(guarded_update=lambda flag: told.append(float(flag))))
    assert buffers(model) == (found if flag else moved) and told == [flag]
