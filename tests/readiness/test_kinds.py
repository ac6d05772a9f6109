"""What single operations may mix, and why those that are not known are taken to mix everything."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

from pixkit.layers import ColourLayerNorm, Elementwise, Shift
from pixkit.layers.site_function import Read, SiteFunction
from pixkit.readiness.operations import call_of, kind_of, row_of, why_all
from pixkit.readiness.plain import follows, plain, unsaid

pytestmark = pytest.mark.quick
INF = float("inf")
TABLE = "is not in the table of operations"
OTHER = "runs different code from the class in the table of operations"
MORE = "reads more than its own site of its own image"
COVERED = "is called in a way that its row in the table of operations does not cover"
SHAPE = "does not map images [B, maps, h, w] to an image of the same size"


class Doubled(nn.Tanh):
    def forward(self, x):
        return 2 * x


class Named(nn.Tanh):
    def extra_repr(self):
        return "a name"


class Wide(nn.Conv2d):
    def _conv_forward(self, *args):
        return super()._conv_forward(*args)


class Asked(nn.Tanh):
    def __getattribute__(self, name):
        return super().__getattribute__(name)


def assigned(module, name="forward"):
    setattr(module, name, lambda x: x)
    return module.eval()


def hooked(module):
    module.register_forward_hook(lambda *args: None)
    return module.eval()


def node(target, *args, **kwargs):
    """A node of a graph, with a node in place of each None."""
    graph = fx.Graph()
    given = [graph.placeholder(f"x{place}") if each is None else each for place, each in enumerate(args or (None,))]
    return SimpleNamespace(target=target, args=tuple(given), kwargs=kwargs)


MODULES = [
    (nn.Tanh(), "elementwise", SHAPE), (Named(), "elementwise", SHAPE), (Doubled(), "all", OTHER),
    (Asked(), "all", OTHER), (assigned(nn.Tanh()), "all", OTHER), (assigned(nn.Tanh(), "_call_impl"), "all", OTHER),
    (hooked(nn.Tanh()), "elementwise", "has a hook that changes its output"), (hooked(Doubled()), "all", OTHER),
    (nn.Dropout(), "elementwise", SHAPE), (nn.Flatten(), "all", TABLE),
    (nn.Conv2d(2, 2, 1), "channels", MORE), (nn.Conv2d(2, 2, 1, padding="same"), "channels", MORE),
    (nn.Conv2d(2, 2, 1, stride=2), "all", MORE), (nn.Conv2d(2, 2, (1, 3)), "all", MORE), (Wide(2, 2, 1), "all", OTHER),
    (nn.Conv2d(2, 2, 1, padding=1), "all", MORE), (nn.Conv2d(2, 2, 1, padding="valid"), "channels", MORE),
    (nn.BatchNorm2d(2), "elementwise", MORE), (nn.BatchNorm2d(2, track_running_stats=False), "all", MORE),
    (nn.Softmax(1), "channels", SHAPE), (nn.Softmax(2), "all", COVERED), (nn.Softmax(-3), "channels", SHAPE),
    (nn.GLU(1), "elementwise", SHAPE), (nn.GLU(-1), "all", COVERED), (nn.Linear(2, 2), "all", TABLE),
    (Shift(1, 0), "mixing", SHAPE), (ColourLayerNorm(4, 2), "elementwise", "does not give for each site"),
    (SiteFunction(torch.amax, [Read((2,), torch.float32), -1], axes=0), "channels", "does not give for each site"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "kind", "why"), MODULES)
def test_what_a_module_may_mix(module, kind, why):
    module.eval()
    asked = node("part")
    assert kind_of(asked, module) == kind
    if kind != "mixing":
        assert why_all(asked, module).startswith(why)
    assert (row_of(asked, module) is None) is (why in (TABLE, MORE, OTHER) or kind == "mixing" or "each site" in why)
    if kind not in ("mixing", "all"):
        assert kind_of(asked, module.train()) == "all"


FUNCTIONS = [
    *((node(target), "elementwise", "TANH") for target in (torch.tanh, "tanh", "tanh_")),
    (node(torch.flip), "all", None), (node(F.elu, None, 2.0), "elementwise", "ELU"),
    (node(F.elu_, None, 2.0), "elementwise", "ELU"), (node("elu_", None, 1.0, 2.0), "all", None),
    (node(torch.max, None, None), "elementwise", "MAXIMUM"), (node(torch.max, None, 1), "all", None),
    (node(torch.min, None, None), "elementwise", "MINIMUM"), (node(torch.min, None), "all", None),
    (node(torch.softmax, None, 1), "channels", None), (node(torch.softmax, None, 2), "all", None),
    (node(torch.add, None, None, out=None), "all", None), (node(torch.clamp, None, 0.5), "elementwise", "CLAMP"),
    (node(torch.pow, None, 2), "elementwise", "SQUARE"), (node(torch.pow, None, 0.5), "elementwise", "SQRT"),
    (node(torch.pow, None, -0.5), "elementwise", "RSQRT"), (node(torch.pow, None, -1), "elementwise", "RECIPROCAL"),
    (node(torch.pow, None, 3), "elementwise", "POW"), (node(torch.pow, None, None), "elementwise", "POW"),
    (node(torch.round, None), "elementwise", "ROUND"), (node("round", None, decimals=1), "elementwise", None),
    (node(F.dropout, None, 0.5, False), "elementwise", "VIEW"), (node(F.dropout, None, 0.5), "elementwise", None),
    (node(F.dropout, None, 0), "elementwise", "VIEW"), (node(F.rrelu, None), "elementwise", "LEAKY_RELU"),
    (node(torch.chunk, None, 2, 1), "split", "VIEW"), (node(torch.chunk, None, 2), "all", None),
    (node(torch.div, None, None, rounding_mode="floor"), "elementwise", "FLOOR_DIVIDE"),
    (node(torch.div, None, None, rounding_mode="other"), "elementwise", None),
    (node(torch.nan_to_num, None, posinf=float("nan")), "elementwise", None),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "kind", "instruction"), FUNCTIONS)
def test_what_a_function_may_mix_and_its_instruction(asked, kind, instruction):
    call = call_of(asked, None)
    assert kind_of(asked, None) == kind and (None if call is None or kind == "all" else call.instruction) == instruction


@pytest.mark.parametrize(("asked", "numbers"), [
    (node(F.leaky_relu), (0.01,)), (node(F.elu), (1.0,)), (node(F.softplus), (1.0, 20.0)),
    (node(F.hardtanh), (-1.0, 1.0)), (node(F.softshrink), (0.5,)),
    (node(F.hardshrink), (0.5,)), (node(F.relu6), (0, 6)), (node(F.celu), (1.0,)),
    (node(torch.add, None, None), (1,)), (node(torch.sub, None, None, alpha=3), (3,)),
    (node(torch.logit), (-INF,)), (node(torch.logit, None, 0.1), (0.1,)), (node(torch.logit, None, 0.0), (0.0,)),
    (node(torch.logit, None, -0.1), (-INF,)), (node(torch.addcmul, None, None, None), (1,)),
    (node(torch.clamp, None, None, max=2), None), (node(torch.clamp_min, None, 3), (3, INF)),
    (node(torch.clamp_max, None, 3), (-INF, 3)), (node(F.threshold, None, 1, 2), (1, 2)),
    (node(F.rrelu), ((1 / 8 + 1 / 3) / 2,)),
])  # fmt: skip
def test_numbers_that_are_left_out(asked, numbers):
    call = call_of(asked, None)
    assert call.numbers == numbers if numbers is not None else call is None


class Scaled(Elementwise):
    expression, numbers = "a * x", (2.0,)

    def forward(self, x):
        return 2 * x


class Unlike(Scaled):
    def forward(self, x):
        return 3 * x


def test_an_instruction_that_a_module_brings_is_about_its_own_forward():
    call = call_of(node("part"), Scaled())
    assert call.instruction == "a * x" and call.numbers == (2.0,) and len(call.operands) == 1
    assert call_of(node("part"), Unlike()) is None and call_of(node("part"), assigned(Scaled())) is None
    assert len(call_of(node("part", None, None, None), Scaled()).operands) == 3
    assert call_of(node("part", None, None, None, None), Scaled()) is None
    assert call_of(node("part", other=1), Scaled()) is None
    many = Scaled()
    many.numbers = (1.0, 2.0, 3.0)
    assert call_of(node("part"), many) is None
    assert follows(Scaled(), "expression", "forward") and not follows(Unlike(), "expression", "forward")
    assert not follows(nn.Tanh(), "expression", "forward")


def test_whose_forward_a_module_runs():
    assert plain(nn.Tanh(), nn.Tanh) and plain(Named(), nn.Tanh) and not plain(Doubled(), nn.Tanh)
    assert not plain(nn.ReLU(), nn.Tanh) and not plain(None, nn.Tanh) and not plain(assigned(nn.Tanh()), nn.Tanh)

    class Moved(Shift):
        def forward(self, x):
            return x

    class Ready(Moved):
        def ready(self, *inputs):
            return inputs[0]

    class Whole(Ready):
        def at(self, *given):
            return given[3][0]

    assert [unsaid(each(0, 0)) for each in (Shift, Moved, Ready, Whole)] == [None, "ready", "at", None]
    Ready.plannable = False
    assert unsaid(Ready(0, 0)) is None
