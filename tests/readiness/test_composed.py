"""What is quicker as a whole than as its layers is proved and planned as these."""

import torch
from torch import nn

from pixkit.layers import Composed, Shift
from pixkit.readiness.composed import taken_apart


class Down(Composed):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return nn.functional.pad(x, (0, 0, 1, -1))

    def parts(self):
        return Shift(1, 0)


def test_a_twin_holds_the_layers_that_something_is_composed_of():
    net = nn.Sequential(nn.ReLU(), nn.Sequential(Down(), nn.Identity()))
    twin, x = taken_apart(net), torch.randn(2, 3, 4, 4)
    assert type(twin[1][0]) is Shift and not twin[1][0].training
    assert type(net[1][0]) is Down and twin[0] is net[0] and twin[1][1] is net[1][1]
    assert torch.equal(twin(x), net(x))
    assert taken_apart(net[0]) is net[0]


def test_one_with_another_forward_stays():
    net = nn.Sequential(Down())
    assert taken_apart(net) is not net
    net[0].forward = lambda x: x
    assert taken_apart(net) is net
