"""The contract of activations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pixkit.backbones.base import Backbone, BackboneSpec
from pixkit.components import ActivationRef
from pixkit.components.config import ComponentConfig
from pixkit.components.spec import ComponentSpec
from pixkit.layers import Activation, MaskedConv2d, Pointwise, activated_maps, activation
from pixkit.readiness.law import require_law
from pixkit.readiness.trace import Trace
from pixkit.testing.configs import check_config
from pixkit.testing.parts import COLOUR, component, network, randomise
from pixkit.testing.samplers import check_drawing

GROUPS = (1, 3)
ROUNDING = 2.0**-6
"""How far bfloat16, of 8 bits, may be from float64, in parts of the largest value."""


class ActivatedBackbone(Backbone):
    """Two masked layers under any ordering, each with an activation behind it."""

    class Config(ComponentConfig):
        """The activation."""

        activation: ActivationRef
        """Which activation."""

    def __init__(self, config: Any, spec: BackboneSpec) -> None:
        super().__init__(config, spec)
        chosen, width = config.activation, 2 * spec.ordering.groups * config.activation.cls.multiple
        read = activated_maps(chosen, width)
        self.body = nn.Sequential(
            MaskedConv2d(spec.inputs, width, 5, "A", spec.ordering),
            activation(chosen),
            Pointwise(read, width, spec.ordering),
            activation(chosen),
        )
        self.width = read

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, width, H, W]."""
        out: Tensor = self.body(x)
        return out


def check_activation(given: ComponentSpec) -> None:
    """Everything that pixkit promises of an activation, in evaluation mode, with random parameters.

    It gives as many maps as `maps` says, and each reads its own site, image and colour group only. It keeps the
    precision of its input, and in bfloat16 gives the same, rounded. Its gradient is that of its values. A network with
    it is proved causal, and cached sampling draws from it, by whichever executor runs it, what ancestral sampling does.
    """
    check_config(given)
    module = activation(given).double().eval()
    assert isinstance(module, Activation), f"{type(module).__name__} is not a pixkit.Activation"
    randomise(module, seed=0)
    with torch.no_grad():
        for groups in GROUPS:
            check_apart(module, groups)
    check_precision(module)
    x = _values(2 * module.multiple)[:1, :, :1, :2].requires_grad_()
    assert torch.autograd.gradcheck(module, (x,)), "the gradient is not that of the values"
    net = network(component("backbone", ActivatedBackbone, activation=given), COLOUR)
    trace = Trace(net)
    mixing = [each.label for each in trace.operations.values() if each.kind == "all"]
    assert not mixing, (
        f"readiness cannot follow {', '.join(mixing)}: make `forward` of operations in its table, or derive the class "
        "from pixkit.layers.PointwiseLayer as well, by which it says that sites and colours stay apart"
    )
    require_law(trace)
    check_drawing(net)


def check_apart(module: Activation, groups: int) -> None:
    """`maps` is true, and a change of one group of maps, at one site of one image, changes the same of the result."""
    x = _values(2 * groups * module.multiple)
    out, promised = module(x), module.maps(x.shape[1])
    expected = (2, promised, *x.shape[2:])
    assert tuple(out.shape) == expected, f"[2, {x.shape[1]}, 2, 3] becomes {list(out.shape)}, not {list(expected)}"
    assert promised % groups == 0, f"{promised} maps do not divide among {groups} colour groups"
    for group in range(groups):
        changed = x.clone()
        changed[1, group::groups, 0, 2] += 1.7
        moved = (module(changed) != out).unflatten(1, (-1, groups)).any(1)
        moved[1, group, 0, 2] = False
        found = moved.nonzero().tolist()
        assert not found, f"(image, colour group, row, column) = {found[0]} reads (1, {group}, 0, 2), which is another"
    part = module(x[:, :, 1:, 1:])
    assert torch.allclose(part, out[:, :, 1:, 1:], rtol=0, atol=1e-12), "of some of the sites it gives other values"


def check_precision(module: Activation) -> None:
    """The result has the precision of the input; in bfloat16 it is float64's, rounded."""
    x = _values(2 * module.multiple).bfloat16()
    with torch.no_grad():
        exact, found = module(x.double()), module.bfloat16()(x)
    module.double()
    for name, each in (("float64", exact), ("bfloat16", found)):
        assert str(each.dtype) == f"torch.{name}", f"of {name} it gives {each.dtype}"
    away = (found.double() - exact).abs().amax() / exact.abs().amax().clamp_min(1e-30)
    assert float(away) <= ROUNDING, f"in bfloat16 it is {float(away):.2g} of its largest value away from float64"


def _values(maps: int) -> Tensor:
    """Of both signs, [2, maps, 2, 3]."""
    generator = torch.Generator().manual_seed(maps)
    return 2 * torch.randn(2, maps, 2, 3, generator=generator, dtype=torch.float64)
