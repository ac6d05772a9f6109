"""What is quicker as a whole than as its layers is proved and planned as these."""

import pytest
import torch
from torch import nn

from pixkit.layers import Composed, Shift
from pixkit.readiness.composed import taken_apart


class Down(Composed):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.moved(x)

    def moved(self, x):
        return nn.functional.pad(x, (0, 0, 1, -1))

    def parts(self):
        return Shift(1, 0)


class Forward(Down):
    def forward(self, x):
        return super().forward(x) + x


class Helper(Down):
    def moved(self, x):
        return super().moved(x) + x


def test_a_twin_holds_the_layers_that_something_is_composed_of():
    net = nn.Sequential(nn.ReLU(), nn.Sequential(Down(), nn.Identity()))
    twin, x = taken_apart(net), torch.randn(2, 3, 4, 4)
    assert type(twin[1][0]) is Shift and not twin[1][0].training
    assert type(net[1][0]) is Down and twin[0] is net[0] and twin[1][1] is net[1][1]
    assert torch.equal(twin(x), net(x))
    assert taken_apart(net[0]) is net[0]


def from_elsewhere(layer):
    layer.inner = type("Elsewhere", (nn.Identity,), {"__module__": "elsewhere"})()


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: setattr(layer, "forward", lambda x: x),
        lambda layer: setattr(layer, "moved", lambda x: x),
        lambda layer: setattr(layer, "__class__", Forward),
        lambda layer: setattr(layer, "__class__", Helper),
        lambda layer: layer.register_forward_hook(lambda module, args, out: out + args[0]),
        lambda layer: layer.inner.register_forward_pre_hook(lambda module, args: (args[0] + 1,)),
        lambda layer: nn.modules.module.register_module_forward_hook(lambda module, args, out: out + 1),
        from_elsewhere,
    ],
    ids=["forward", "helper", "its class's forward", "its class's helper", "hook", "pre-hook", "all's hook", "a part"],
)
def test_one_whose_parts_do_not_speak_for_its_call_stays(change):
    net = nn.Sequential(Down())
    net[0].inner = nn.Identity()
    assert type(taken_apart(net)[0]) is Shift
    undo = change(net[0])
    try:
        assert taken_apart(net) is net
    finally:
        if undo is not None:
            undo.remove()


def test_parts_are_as_they_are_proved():
    """Where the module lies, in evaluation, without gradients."""

    class Mapped(Down):
        def parts(self):
            return nn.Sequential(nn.Linear(1, 1), nn.Dropout())

    (part,) = taken_apart(nn.Sequential(Mapped()).to("meta"))
    assert not any(each.training for each in part.modules())
    assert all(each.device.type == "meta" and not each.requires_grad for each in part.parameters())


def test_a_subclass_may_say_it_again():
    class Again(Helper):
        def parts(self):
            return nn.Identity()

    assert type(taken_apart(nn.Sequential(Again()))[0]) is nn.Identity
