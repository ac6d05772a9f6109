"""Modules in another mode for a while: whatever happens meanwhile, they are as they were."""

import pytest
import torch
from torch import nn

from pixkit.layers.modes import evaluating, parts_of, persistent_buffers, rehearsing


def net():
    """Parts of both modes, one of which counts batches and averages what it is given."""
    made = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.BatchNorm1d(2))
    made.register_buffer("table", torch.ones(2), persistent=False)
    made[1].eval()
    return made


class Stop(Exception):
    """Ends it."""


def test_all_parts_are_found_once():
    model = nn.Sequential(net(), nn.ModuleDict({"one": (shared := nn.ReLU()), "other": shared}), shared)
    model.register_module("none", None)
    model[1]["outer"] = nn.Sequential(model[0], nn.Sequential(nn.Tanh()))
    found = parts_of(model)
    assert found[0] is model and len(found) == 10 and {*found} == {*model.modules()}


@pytest.mark.parametrize("stopped", [False, True])
def test_each_part_is_in_its_own_mode_again(stopped):
    model = net()
    try:
        with evaluating(model):
            assert not any(part.training for part in model.modules())
            model[2].train()
            if stopped:
                raise Stop
    except Stop:
        assert stopped
    assert [part.training for part in model.modules()] == [True, True, False, True]


@pytest.mark.parametrize("stopped", [False, True])
def test_a_rehearsal_leaves_modes_buffers_and_generators(stopped):
    model, x = net().eval(), torch.randn(5, 2)
    before = {name: value.clone() for name, value in model.named_buffers()}
    state = torch.random.get_rng_state()
    try:
        with rehearsing(model, torch.device("cpu")):
            assert all(part.training for part in model.modules())
            model(x)
            model.table.add_(1)
            assert not torch.equal(model[2].running_mean, before["2.running_mean"])
            assert not torch.equal(state, torch.random.get_rng_state())
            if stopped:
                raise Stop
    except Stop:
        assert stopped
    assert not any(part.training for part in model.modules())
    assert set(before) == {name for name, _ in model.named_buffers()} and "table" in before
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert torch.equal(state, torch.random.get_rng_state())


def test_buffers_that_follow_from_how_a_module_is_made_are_no_state():
    model = net()
    found = persistent_buffers(model)
    assert set(found) == {"2.running_mean", "2.running_var", "2.num_batches_tracked"}
    assert found["2.running_mean"] is model[2].running_mean
