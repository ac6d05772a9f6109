"""Operations that the native kernel does while sums are in registers, against the same ones on their own."""

import pytest
import torch
import torch.nn.functional as F
from nets import net_of
from teacher import COLOUR, GREY, backbone

from pixkit.execution.native import executor as native
from pixkit.execution.native.threads import Threaded
from pixkit.execution.plan import make_plan
from pixkit.layers import MaskedConv2d, Shift
from pixkit.readiness.trace import Trace

pytestmark = pytest.mark.needs_compiler


class Apart(Threaded):
    """Each operation by itself."""

    def _leads(self, number):
        return False


def work(h, tools):
    """Sums that are the first operand and the second; results that others read, too; parts of a result; other steps."""
    first, second, third, wide, above, down, fourth = tools
    a = F.relu(h - first(h))
    b = (second(a) - a) * h + h
    c = F.relu(third(b) * 2)
    d = c * b + F.relu(wide(c).chunk(2, 1)[0])
    e = d + above(down(d))
    f = fourth(e)
    g = F.relu(f)
    i = g + f * g
    j = above(i)
    return i + j * j


CHAINS = {
    "SUB+RELU": [True, True, False],
    "SUB+MUL+ADD": [True, True, True, False],
    "MUL+RELU+MUL": [True, True, False, False],
    "": [False],
    "RELU+MUL+ADD": [False, False, True, False],
}
"""What follows linear layers, and of each of the chain's operations whether its results are left out."""


def makers(maps):
    return [
        lambda spec: MaskedConv2d(maps, maps, 3, "B", spec.ordering),
        lambda spec: MaskedConv2d(maps, maps, 1, "B", spec.ordering),
        lambda spec: MaskedConv2d(maps, maps, 3, "B", spec.ordering, bias=False),
        lambda spec: MaskedConv2d(maps, 2 * maps, 1, "B", spec.ordering),
        lambda spec: MaskedConv2d(maps, maps, 1, "B", spec.ordering),
        lambda _: Shift(1, 0),
        lambda spec: MaskedConv2d(maps, maps, 1, "B", spec.ordering),
    ]


def chains(packed):
    """What follows each linear layer, and whether its own results and those of what follows are left out."""
    kinds, found = [part.kind for _, part in packed._parts], {}
    for head in packed._heads():
        if kinds[head] == "LINEAR":
            last = head + 1 + packed._fused[head]
            found["+".join(kinds[head + 1 : last])] = [bool(op.unread) for op in packed.ops[head:last]]
    return found


@pytest.mark.parametrize(
    ("spec", "maps", "batch", "dtype"),
    [(GREY, 80, 9, torch.float64), (COLOUR, 96, 7, torch.float32), (GREY, 19, 2, torch.float64)],
    ids=str,
)
def test_sums_that_stay_in_registers_are_the_same_bit_for_bit(spec, maps, batch, dtype, monkeypatch):
    net = net_of(backbone(work, maps, None, makers(maps)), spec).to(dtype)
    plan, found = make_plan(Trace(net)), []
    for packed in (Apart, Threaded):
        monkeypatch.setattr(native, "Threaded", packed)
        executor = native.NativeExecutor(plan, batch)
        executor.pixels.copy_(torch.arange(executor.pixels.numel()).view(executor.pixels.shape) % 7 % spec.levels)
        for step in range(net.ordering.count):
            executor.advance(step)
        found.append(executor.params(torch.arange(spec.sites)))
    assert torch.equal(*found) and found[0].isfinite().all()
    assert chains(executor.packed) == (CHAINS if maps % 16 == 0 else {"": [False]})
