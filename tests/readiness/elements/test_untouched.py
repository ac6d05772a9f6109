"""A module is as it was after a run, and it is known what training would write."""

import pytest
import torch
from torch import nn

from pixkit.readiness.elements.run import Given, Run
from pixkit.readiness.elements.untouched import untouched, values_kept, written_in_training


def replaced(module):
    module.name = "other"


def listed(module):
    module.seen.append(3)


def nested(module):
    module.kept["by name"][0] = 2


def added(module):
    module.more = None


@pytest.mark.parametrize("change", [replaced, listed, nested, added])
def test_an_attribute_that_is_another_one_is_noticed_and_put_back(change):
    module = nn.Linear(1, 1)
    module.name, module.seen, module.kept = "own", [1, 2], {"by name": [1], "itself": module.__dict__}
    with untouched(nn.Sequential(nn.Identity(), module)) as changed:
        assert not changed()
        change(module)
        assert changed()
    assert (module.name, module.seen, module.kept["by name"]) == ("own", [1, 2], [1])
    assert not hasattr(module, "more")


def test_buffers_that_training_writes_are_named_and_left_as_they_were():
    norm, x = nn.BatchNorm1d(2).eval(), torch.randn(3, 2)
    norm.register_buffer("scale", torch.ones(2))
    assert written_in_training(norm, (x,), {}) == {"running_mean", "running_var", "num_batches_tracked"}
    assert norm.running_mean.eq(0).all() and not norm.training
    assert written_in_training(nn.BatchNorm1d(2, track_running_stats=False), (x,), {}) == frozenset()


def test_constants_are_named_by_what_holds_them():
    masks = {"a": torch.tensor([0.0, 1, 1, 0]), "b": torch.ones(4)}
    run = Run.of(lambda x: x * masks["b"] * masks["a"], [Given(torch.ones(2, 4), torch.arange(4).expand(2, 4))])
    where = f"of {test_constants_are_named_by_what_holds_them.__qualname__}.<locals>.<lambda>"
    assert run.relies_on == {f"masks['a'] {where}"}
    assert [*run.constants] == [f"masks['b'] {where}", f"masks['a'] {where}"]


def another(module):
    module.kept = module.kept + 1


def same_values(module):
    module.kept.copy_(module.kept.clone())


def unseen(module):
    module.kept.numpy()[0] = 5


def then_fails(module):
    module.kept.add_(1)
    raise ValueError


class Writes(nn.Module):
    """Changes one of two buffers, in training only."""

    def __init__(self, change):
        super().__init__()
        self.change, self.part, self.table = change, nn.ReLU(), torch.zeros(2)
        self.register_buffer("kept", torch.zeros(2))
        self.register_buffer("other", torch.zeros(2))

    def forward(self, x):
        if self.training and self.part.training:
            self.table.add_(1)
            self.change(self)
        return x + self.kept


@pytest.mark.parametrize("change", [another, same_values, unseen, then_fails])
def test_however_training_writes_a_buffer_it_is_named_and_left_as_it_was(change):
    module = Writes(change).eval()
    kept = module.kept
    assert written_in_training(module, (torch.zeros(2),), {}) == {"kept"}
    assert module.kept is kept and kept.tolist() == [0, 0] and module.table.tolist() == [0, 0]
    assert not module.training and not module.part.training


@pytest.mark.parametrize("there", [torch.full((2, 3), 7.0), None])
def test_parameters_lie_where_they_lay_and_hold_what_they_held(there):
    module = nn.Linear(3, 2)
    weight, place, held = module.weight, module.weight.data_ptr(), module.weight.detach().clone()
    with untouched(module), values_kept(module):
        weight.detach().fill_(9)
        weight.data = weight.data[:1] if there is None else there
    assert (module.weight is weight, weight.data_ptr()) == (True, place) and weight.equal(held)
    with values_kept(len), untouched(len) as changed:
        assert not changed()


def test_a_module_without_buffers_is_not_called():
    module, called = nn.ReLU(), []
    module.register_forward_pre_hook(lambda *call: called.append(call))
    assert written_in_training(module, (torch.zeros(2),), {}) == frozenset() and not called


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_a_compiled_module_whose_mode_is_no_attribute_gets_it_back():
    module = torch.jit.script(nn.Sequential(nn.BatchNorm1d(2), nn.Dropout())).eval()
    names = {f"0.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert written_in_training(module, (torch.randn(3, 2),), {}) == names
    assert [part.training for part in module.modules()] == [False] * 3
