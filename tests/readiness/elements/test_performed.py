"""Two runs that do the same are told from two that only give the same."""

import pytest
import torch
from torch import nn

from pixkit.readiness.elements import performed as module_runs
from pixkit.readiness.elements.performed import NOWHERE, Performed, Performing, names_of, parted, parting
from pixkit.readiness.elements.tape import Line, line_here

pytestmark = pytest.mark.quick


class Net(nn.Module):
    """Two parameters of the same values, and a buffer."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4))
        self.register_buffer("kept", torch.zeros(4))


def steps_of(net, does):
    performed = Performed(names_of(net), lambda: line_here({}, None))
    x, y = (performed.named(torch.arange(4.0)) for _ in range(2))
    with torch.no_grad(), Performing(performed):
        given = does(net, x, y)
    return performed.gave(given)


def into(x, where):
    out = torch.zeros(4)
    out[where] = x[where]
    return out


def exp_of(which, x, y):
    both = x + 1, y + 1
    return *both, both[which].exp()


def sorted_by(which, x, y):
    return torch.searchsorted(x, x, sorter=((x * 0).long(), (y * 0).long())[which])


def noise():
    return torch.rand(4, generator=torch.Generator().manual_seed(0))


NOISE = noise()
ALIKE = {
    "the same": (lambda n, x, y: x + n.one, lambda n, x, y: x + n.one),
    "a view of a view": (lambda n, x, y: x.view(2, 2).t() * 1, lambda n, x, y: x.view(1, 2, 2)[0].T.detach() * 1),
    "what nobody reads": (lambda n, x, y: x + 1, lambda n, x, y: (x * n.kept, x + 1)[1]),
    "a constant made anew": (lambda n, x, y: x + torch.tensor([1.0]), lambda n, x, y: x + torch.tensor([2.0, 1.0])[1:]),
    "a constant made otherwise": (
        lambda n, x, y: x + into(torch.ones(4), slice(2)) * 2,
        lambda n, x, y: x + torch.tensor([2.0, 2, 0, 0]),
    ),
    "a slice with its ends": (lambda n, x, y: into(x, slice(0, 4)), lambda n, x, y: into(x, slice(None))),
    "turned in place": (lambda n, x, y: (x + y).view(2, 2).t_() * 1, lambda n, x, y: (x + y).view(2, 2).t() * 1),
}
APART = {
    "another operation": ("sub", lambda n, x, y: x * 0 + y, lambda n, x, y: x * 0 - y),
    "another number": ("mul", lambda n, x, y: x * 0 * 2, lambda n, x, y: x * 0 * 3),
    "another input": ("add", lambda n, x, y: x + 1, lambda n, x, y: y + 1),
    "another parameter": ("add", lambda n, x, y: x + n.one, lambda n, x, y: x + n.two),
    "a buffer made otherwise": ("add", lambda n, x, y: x + (n.kept + 1), lambda n, x, y: x + torch.ones(4)),
    "memory": ("empty", lambda n, x, y: torch.zeros(4).copy_(x), lambda n, x, y: torch.empty(4).copy_(x)),
    "another constant": ("mul", lambda n, x, y: x * torch.tensor([1.0]), lambda n, x, y: x * torch.tensor([2.0])),
    "another result of the same values": ("exp", lambda n, x, y: exp_of(0, x, y), lambda n, x, y: exp_of(1, x, y)),
    "another place": ("mul", lambda n, x, y: (x + 1)[:2] * 1, lambda n, x, y: (x + 1)[2:] * 1),
    "another place to write": ("copy_", lambda n, x, y: into(x, slice(2)), lambda n, x, y: into(x, slice(3))),
    "another axis": ("sum", lambda n, x, y: x.view(2, 2).sum(0), lambda n, x, y: x.view(2, 2).sum(1)),
    "one more": ("abs", lambda n, x, y: x + 1, lambda n, x, y: (x + 1).abs()),
    "one fewer": ("what is given", lambda n, x, y: (x + 1).abs(), lambda n, x, y: x + 1),
    "what is kept": ("add_", lambda n, x, y: x + 1, lambda n, x, y: (n.kept.add_(1), x + 1)[1]),
    "what is given first": ("what is given", lambda n, x, y: (x + 1, x + 2), lambda n, x, y: (x + 1, x + 2)[::-1]),
    "another factor": (
        "add",
        lambda n, x, y: torch.add(x * 0, y, alpha=2),
        lambda n, x, y: torch.add(x * 0, y, alpha=3),
    ),
    "another tensor by name": ("mul", lambda n, x, y: sorted_by(0, x, y), lambda n, x, y: sorted_by(1, x, y)),
    "noise of the same values": ("add", lambda n, x, y: x + noise(), lambda n, x, y: x + NOISE),
    "a zero's sign": ("mul", lambda n, x, y: x * torch.tensor([0.0]), lambda n, x, y: x * torch.tensor([-0.0])),
    "what was written to a constant": (
        "copy_",
        lambda n, x, y: torch.tensor([0.0, 1, 2, 3]).copy_(x) * 1,
        lambda n, x, y: torch.tensor([0.0, 1, 2, 3]).copy_(y) * 1,
    ),
    "a constant that was written": (
        "exp",
        lambda n, x, y: exp_of(0, *(torch.tensor([0.0, 1, 2, 3]).copy_(x) for _ in range(2))),
        lambda n, x, y: exp_of(1, *(torch.tensor([0.0, 1, 2, 3]).copy_(x) for _ in range(2))),
    ),
}


@pytest.mark.parametrize("name", ALIKE)
def test_runs_that_do_the_same_are_alike(name):
    net = Net()
    one, other = (steps_of(net, does) for does in ALIKE[name])
    assert len(one) > 1 and parting(one, other) is None


@pytest.mark.parametrize("name", APART)
def test_runs_part_where_one_does_something_else(name):
    net, (op, *runs) = Net(), APART[name]
    _, step = parting(*(steps_of(net, does) for does in runs))
    assert step.op.removeprefix("aten.").partition(".")[0] == op


def test_the_line_is_known_at_which_they_part():
    one, other = (steps_of(Net(), does) for does in APART["one more"][1:])
    given, more = parting(one, other)
    assert given.op == "what is given" and (more.op, more.line.file) == ("aten.abs.default", __file__)


class Adds(nn.Module):
    """Adds to its first input, in place, and counts its calls."""

    def __init__(self):
        super().__init__()
        self.one, self.calls = nn.Parameter(torch.ones(4)), 0
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x, y):
        self.calls += 1
        self.seen += 1
        return x.add_(self.one) * 2


def test_where_the_call_of_a_module_parts_from_others_is_told_with_its_line():
    module, inputs = Adds(), [torch.arange(4.0), torch.arange(4.0)]
    number = Adds.forward.__code__.co_firstlineno + 3

    def others(which, factor):
        def does(*given):
            module.seen += 1
            return given[which].add_(module.one) * factor

        return module_runs.steps_of(module, does, inputs)

    assert parted(module, inputs, others(0, 2)) is None
    ours, theirs = parted(module, inputs, others(0, 3))
    assert (ours.op, ours.args[0][1], theirs.args[0][1]) == ("aten.mul.Tensor", "2", "3")
    assert (ours.line.file, ours.line.number, ours.line.module) == (__file__, number, "Adds")
    assert theirs.line == NOWHERE == Line("", 0, "", "")
    ours, theirs = parted(module, inputs, others(1, 2))
    assert ours.op == theirs.op == "aten.add_.Tensor" and ours.line.number == number
    assert all(step.line == NOWHERE for step in module_runs.steps_of(module, module, inputs))
    assert module.calls == 0 and module.seen.eq(0).all() and all(each.equal(torch.arange(4.0)) for each in inputs)


def test_storages_that_are_gone_are_not_taken_for_new_ones():
    performed = Performed({})
    assert len({performed._storage(torch.ones(2)) for _ in range(20)}) == 20
