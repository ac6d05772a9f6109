"""A module is as it was after a run, and it is known what training would write."""

import pytest
import torch
from torch import nn

from pixkit.readiness.elements.run import Given, Run
from pixkit.readiness.elements.untouched import untouched, written_in_training


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
