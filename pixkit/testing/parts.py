"""Objects for checks: components, small networks, all images of a tiny shape."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor, nn

from pixkit.backbones.base import Backbone, BackboneSpec
from pixkit.backbones.conditioners import Conditioner
from pixkit.backbones.encodings import InputConfig
from pixkit.components.config import ComponentConfig
from pixkit.components.plugins import registry
from pixkit.components.spec import ComponentSpec, Entry
from pixkit.context import flat_rows, shrunk
from pixkit.image import ImageSpec
from pixkit.layers import MaskedConv2d
from pixkit.network import Autoregressive, assemble
from pixkit.randomness import seed_torch

GREY = ImageSpec(1, 3, 5, 2)
COLOUR = ImageSpec(3, 2, 4, 3)
TINY = (ImageSpec(1, 2, 5, 2), ImageSpec(3, 1, 2, 3))
"""Small enough to enumerate all images; not square, and wider than a kernel's radius."""


def component(kind: str, cls: type, **config: object) -> ComponentSpec:
    """An unregistered component with its configuration, as in a recipe."""
    return _spec(Entry(kind, cls.__name__.lower(), cls, "test", "0"), config)


def named(kind: str, name: str, **config: object) -> ComponentSpec:
    """A registered component with its configuration.

    Raises:
        PluginError: if there is none with that name.
    """
    return _spec(registry().get(kind, name), config)


def _spec(entry: Entry, config: dict[str, object]) -> ComponentSpec:
    parsed: ComponentConfig = entry.cls.Config.model_validate(config, context={"registry": registry()})
    return ComponentSpec(entry, parsed, "source" if entry.kind == "data" else "type")


class PlainBackbone(Backbone):
    """Two masked layers under any ordering, for checks of other components that need a backbone."""

    def __init__(self, config: ComponentConfig, spec: BackboneSpec) -> None:
        super().__init__(config, spec)
        self.width = 6 * spec.ordering.groups
        self.body = nn.Sequential(
            MaskedConv2d(spec.inputs, self.width, 5, "A", spec.ordering),
            nn.ELU(),
            MaskedConv2d(self.width, self.width, 3, "B", spec.ordering),
            nn.ELU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, width, H, W]."""
        out: Tensor = self.body(x)
        return out


def plain_backbone() -> ComponentSpec:
    """PlainBackbone as a component."""
    return component("backbone", PlainBackbone)


def network(
    backbone: ComponentSpec,
    spec: ImageSpec,
    *,
    ordering: ComponentSpec | None = None,
    head: ComponentSpec | None = None,
    inputs: ComponentSpec | InputConfig | None = None,
    conditioner: Conditioner | None = None,
    seed: int = 0,
    gain: float = 2.0,
) -> Autoregressive:
    """A float64 network in eval mode with random weights, `gain` times the usual size.

    Defaults: raster, the softmax (independent under joint colours), levels as one number, no conditioner.

    Raises:
        RecipeError: if the backbone refuses the ordering.
    """
    ordering = ordering or named("ordering", "raster")
    joint = getattr(ordering.config, "colours", "auto") == "joint"
    head = head or named("head", "softmax", independent=joint)
    with torch.random.fork_rng(devices=[]):
        seed_torch(seed, torch.device("cpu"))
        parts = (spec, ordering, inputs or named("encoding", "scaled"), backbone, head)
        net = assemble(*parts, conditioner=copy.deepcopy(conditioner)).double().eval()
    randomise(net, seed, gain)
    return net


def randomise(module: nn.Module, seed: int, gain: float = 2.0) -> None:
    """Draw every parameter at random, so that layers which start at zero hide nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            scale = gain / max(parameter[0].numel() if parameter.ndim > 1 else 1, 1) ** 0.5
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))


def same_context(net: Autoregressive, count: int) -> Tensor | None:
    """One context for all of `count` images; None for a network without a context."""
    context = net.example_context(2)
    return None if context is None else context[-1:].expand(count, *context.shape[1:])


def built_context(net: Autoregressive, count: int) -> tuple[Tensor, ...]:
    """The backbone's arguments after the pixels: none, or the conditioner's result for `same_context`."""
    return () if net.conditioner is None else (net.conditioner(same_context(net, count)),)


def random_images(spec: ImageSpec, count: int, seed: int = 0) -> Tensor:
    """Uniformly random images, int64 [count, C, H, W]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(spec.levels, (count, *spec.shape), generator=generator)


def random_context(spec: ImageSpec, x: Tensor) -> Tensor | None:
    """Random arrays beside the images x, float32 [B, D], or smaller versions of them; None if the spec has none."""
    generator, found = torch.Generator().manual_seed(1), []
    for array in spec.context:
        size = (len(x), *array.shape)
        if array.shrink is not None:
            values = shrunk(x, array.shrink, array.by)
        elif array.levels is not None:
            values = torch.randint(array.levels, size, generator=generator)
        else:
            values = torch.randn(size, generator=generator)
        found.append(flat_rows(array, values, len(x)))
    return torch.cat(found, 1) if found else None


def every_image(spec: ImageSpec) -> Tensor:
    """All K ** (C * H * W) images of a tiny spec, int64 [N, C, H, W]."""
    levels = itertools.product(range(spec.levels), repeat=spec.dims)
    return torch.tensor(list(levels)).view(-1, *spec.shape)
