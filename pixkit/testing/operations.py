"""The contract of pointwise operations with their own instruction."""

from __future__ import annotations

import copy
import inspect

import torch
from torch import Tensor, nn

from pixkit.backbones.base import BackboneSpec
from pixkit.components.config import ComponentConfig
from pixkit.execution.native.alone import evaluate
from pixkit.execution.native.compile import NoCompiler
from pixkit.execution.plan import make_plan
from pixkit.layers import Elementwise
from pixkit.readiness.operations import Expression, call_of
from pixkit.readiness.trace import Trace
from pixkit.testing.parts import COLOUR, PlainBackbone, component, named, network, randomise
from pixkit.testing.samplers import check_agreement

SPECIAL = (0.0, -0.0, 1.0, -1.0, 30.0, -30.0, 1e3, -1e3, float("nan"))
"""Operands that random numbers do not cover."""


def check_operation(operation: Elementwise, *, tolerance: float = 0.0, single: float = 1e-5) -> None:
    """Check everything that pixkit requires of a pointwise operation with its own instruction.

    `forward` computes each element from the same element of its inputs, at any number of sites, and has a gradient. A
    native executor accepts its expression, whose results are those of `forward` in float64, and draws from a network
    with the operation the same as ancestral sampling. Without a C compiler the expression is not checked.

    Args:
        operation: the operation, with 6 maps if it has values for each map. Its parameters are randomised.
        tolerance: largest difference of an element in float64, relative to 1 + its size; 0 asks for the same bits.
        single: the same in float32, compared with `forward` in float64.

    Raises:
        AssertionError: saying which promise fails.
    """
    twin = copy.deepcopy(operation).double().eval()
    randomise(twin, seed=0)
    count = sum(
        kind.kind is not kind.VAR_POSITIONAL for kind in inspect.signature(operation.forward).parameters.values()
    )
    generator = torch.Generator().manual_seed(1)
    x = [3 * torch.randn(2, 6, 3, 4, generator=generator, dtype=torch.float64) for _ in range(count)]
    _check_elements(twin, x)
    _check_gradient(twin, x)
    net = network(component("backbone", _Holder), COLOUR)
    net.backbone.operation, net.backbone.inputs = twin, count  # type: ignore[assignment]
    _check_instruction(twin, net, count, tolerance, single)
    check_agreement(named("sampler", "cached"), net)


class _Holder(PlainBackbone):
    """A plain backbone whose features go through an operation."""

    def __init__(self, config: ComponentConfig, spec: BackboneSpec) -> None:
        super().__init__(config, spec)
        self.width = 6
        self.operation: nn.Module = nn.Identity()
        self.inputs = 1

    def forward(self, x: Tensor) -> Tensor:
        first, second, third = super().forward(x).chunk(3, 1)
        out: Tensor = self.operation(*(first, second, third)[: self.inputs])
        return out


def _check_elements(operation: Elementwise, x: list[Tensor]) -> None:
    """Each element depends only on the same element, wherever it is and however many there are."""
    with torch.no_grad():
        whole = operation(*x)
        assert whole.shape == x[0].shape, f"`forward` returns {tuple(whole.shape)} for {tuple(x[0].shape)}"
        assert whole.dtype == torch.float64, f"`forward` returns {whole.dtype} for torch.float64"
        some = operation(*(each.flatten(2)[:, :, 3:8, None] for each in x))
        same = torch.equal(some[..., 0], whole.flatten(2)[:, :, 3:8])
        assert same, "`forward` returns other values for a subset of the sites: it reads more than its element"
        for number in range(len(x)):
            changed = [each.clone() for each in x]
            changed[number][0, 2, 1, 1] += 1.7
            moved = (operation(*changed) != whole).nonzero().tolist()
            others = [place for place in moved if place != [0, 2, 1, 1]]
            assert not others, f"input {number} at [0, 2, 1, 1] has an effect at {others[0]}"


def _check_gradient(operation: Elementwise, x: list[Tensor]) -> None:
    """The gradient matches finite differences."""
    few = [each[:1, :, :1, :2].clone().requires_grad_() for each in x]
    assert operation(*few).requires_grad, "`forward` has no gradient: nothing before it would be trained"
    right = torch.autograd.gradcheck(operation, few, raise_exception=False)
    assert right, "the gradient of `forward` differs from finite differences"


def _check_instruction(operation: Elementwise, net: nn.Module, count: int, tolerance: float, single: float) -> None:
    """The instruction is used, and computes the values of `forward`."""
    trace = Trace(net)  # type: ignore[arg-type]
    (found,) = [one for one in trace.operations.values() if one.module is operation]
    assert found.kind == "elementwise", f"the operation is treated as mixing '{found.kind}'"
    call = call_of(found.node, operation)
    taken = call is not None and isinstance(call.instruction, Expression)
    assert call is not None and taken, (
        f"the expression of {type(operation).__name__} is not used: a subclass that overrides `forward` states its "
        "own, with at most three operands and two numbers"
    )
    make_plan(trace)
    generator = torch.Generator().manual_seed(2)
    values = [each.detach().reshape(-1) for each in operation.values()]
    for dtype, allowed in ((torch.float64, tolerance), (torch.float32, single)):
        chance = 3 * torch.randn(count, 600, generator=generator, dtype=torch.float64)
        special = torch.tensor(SPECIAL, dtype=torch.float64)
        places = torch.cartesian_prod(*[special] * count).view(-1, count).T
        # As forward's maps: element m of a row belongs to map m.
        rows = torch.cat([chance, places, chance[:, : -places.shape[1] % 6]], 1).to(dtype)
        image = [row.view(-1, 6).T[None, :, :, None].double() for row in rows]
        with torch.no_grad():
            expected = operation(*image)[0, :, :, 0].T.flatten()
        wide = [each.to(dtype).repeat(rows.shape[1] // len(each)) for each in values]
        try:
            ours = evaluate(call.instruction, [*rows, *wide], call.numbers).double()
        except NoCompiler as error:
            assert "could not build" not in error.message, f"the expression is not valid C: {error.found}"
            return
        _compare(ours, expected, allowed, dtype, rows)


def _compare(ours: Tensor, expected: Tensor, allowed: float, dtype: torch.dtype, rows: Tensor) -> None:
    unlike = ours.isnan() != expected.isnan()
    apart = (ours - expected).abs() / (1 + expected.abs())
    wrong = unlike | (apart > allowed) | (ours.isinf() != expected.isinf())
    first = int(wrong.nonzero()[0]) if wrong.any() else 0
    assert not wrong.any(), (
        f"for {rows[:, first].tolist()} the expression gives {ours[first]:.17g} in {dtype}, `forward` "
        f"{expected[first]:.17g}: they differ by {apart[first]:.1e}, and {allowed:g} is allowed"
    )
