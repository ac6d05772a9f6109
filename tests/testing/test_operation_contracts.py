"""Operations that bring an instruction: their contract, and what becomes of them without a compiler and in codecs."""

import functools

import pytest
import torch
from torch import nn

from pixkit.codec.freezing import freeze
from pixkit.errors import UsageError
from pixkit.execution.choose import choose
from pixkit.execution.native.team import apart
from pixkit.execution.native.threads import Threaded
from pixkit.execution.plan import make_plan
from pixkit.layers import Elementwise
from pixkit.readiness.trace import Trace
from pixkit.testing import COLOUR, PlainBackbone, check_operation, component, network


class Gate(Elementwise):
    """x z above 1/2, and a tenth of each map's own multiple of x below."""

    expression = """x > b
        ? x * z : a * (w * x)"""
    numbers = (0.25, 0.5)

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.ones(6))

    def values(self):
        return (self.slope,)

    def forward(self, x, z):
        return torch.where(x > 0.5, x * z, 0.25 * (self.slope[:, None, None] * x))


class Decay(Elementwise):
    """exp(-x^2), by functions that are another library's than torch's."""

    expression = "exp_(-x * x)"

    def forward(self, x):
        return torch.exp(-x * x)


@pytest.mark.needs_compiler
@pytest.mark.usefixtures("quickly_compiled")
def test_operations_keep_their_contract():
    check_operation(Gate())


class Other(Gate):
    """Apart from its expression by a rounding; as that of `Gate`, it is compiled once."""

    expression = Gate.expression

    def forward(self, x, z):
        return super().forward(x, z) * (1 + 1e-15)


class Misspelt(Gate):
    expression = "x > b ? x * zz : a * (w * x)"


class Lost(Gate):
    """Its expression would lose a NaN."""

    expression = Gate.expression

    def forward(self, x, z):
        return torch.where(x == 30, torch.nan, super().forward(x, z))


class Inherited(Gate):
    def forward(self, x, z):
        return 2 * super().forward(x, z)


class Four(Gate):
    def forward(self, x, z, w):
        return super().forward(x, z) + w


class Centred(Gate):
    def forward(self, x, z):
        return x - x.mean((2, 3), keepdim=True)


class Shifted(Gate):
    def forward(self, x, z):
        return x + z.roll(1, 1)


class Halved(Gate):
    def forward(self, x, z):
        return x[:, ::2]


class Rounded(Gate):
    def forward(self, x, z):
        return super().forward(x, z).float()


class Detached(Gate):
    def forward(self, x, z):
        return super().forward(x, z).detach()


class Slope(Gate):
    """Its gradient is another function's."""

    def forward(self, x, z):
        value = super().forward(x, z)
        return value.detach() + x - x.detach()


@pytest.mark.needs_compiler
@pytest.mark.usefixtures("quickly_compiled")
@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (Other, r"the expression gives .* in torch.float64, `forward` .* differ by .*, and 0 is allowed"),
        (Lost, r"for \[30.0, 0.0\] the expression gives 0 in torch.float64, `forward` nan"),
        (Misspelt, "the expression is not valid C: .*zz"),
        (Inherited, "the expression of Inherited is not used: a subclass that overrides `forward` states its own"),
        (Four, "the expression of Four is not used"),
        (Centred, "reads more than its element"),
        (Shifted, r"input 1 at \[0, 2, 1, 1\] has an effect at \[0, 3, 1, 1\]"),
        (Halved, "returns .2, 3, 3, 4. for .2, 6, 3, 4."),
        (Rounded, "returns torch.float32 for torch.float64"),
        (Detached, "has no gradient"),
        (Slope, "the gradient of `forward` differs from finite differences"),
    ],
)
def test_what_is_wrong_with_an_operation_is_said(operation, said):
    with pytest.raises(AssertionError, match=said):
        check_operation(operation())


class Decayed(PlainBackbone):
    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.body.append(Decay())


@functools.cache
def decayed():
    return network(component("backbone", Decayed), COLOUR)


def test_without_a_compiler_another_executor_says_which_instruction_it_was_for(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    plan = make_plan(Trace(decayed()))
    with pytest.warns(RuntimeWarning, match="images are drawn without compiled code"):
        chosen = choose("auto", plan, 2)
    assert chosen.name == "eager"
    (reason,) = chosen.reasons
    assert "no C compiler to compile the instruction of a plugin, exp_(-x * x)" in reason


def test_threads_share_an_instruction_of_a_plugin_as_they_share_those_of_the_table():
    packed = Threaded(make_plan(Trace(decayed())), 2)
    assert packed.added == ("exp_(-x * x)",) and apart(packed.added[0]) and apart("RELU") and not apart("NORM")


def test_codecs_refuse_an_instruction_of_a_plugin():
    with pytest.raises(UsageError, match=r"an instruction of a plugin, exp_\(-x \* x\)"):
        freeze(network(component("backbone", Decayed), COLOUR).float())
