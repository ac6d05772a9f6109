"""The network: a base model on the decimated image, and one plain convolutional network for each group."""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

import pixkit
from pixkit.backbones import OrientedBackbone, check_multiple
from pixkit.components import BackboneRef
from pixkit.layers import AppendMaps, Decimate, Lattice, MaskedConv2d, Mosaic, Pointwise
from pixkit_plugins.multiscale.ordering import Group, MultiscaleOrdering
from pixkit_plugins.pixelcnn import PixelCNN, width_unit


class Multiscale(OrientedBackbone):
    """Any backbone on every 2^d-th site, then doublings by plain residual networks, each group in one call.

    Parallel multiscale PixelCNN (Reed et al., 2017, arXiv 1703.03664), which needs the ordering `multiscale`:

        base     features of the decimated image, by the backbone `base`
        group    features of the sites that one step draws, by an unmasked ResNet from all sites drawn before; the
                 sites of a group are independent given those, so that one call serves all of them
        colours  under sequential colours each site's earlier colours enter by 1x1 type A and type B layers, which is
                 cheap: the group's network is called once for all colours. Joint colours are coupled by the head.

    A network works on the grid of 2x2 blocks and reads their earlier sites as maps, with an additional map for each
    that says whether the block has that site; nothing is interpolated, and sites not drawn yet are not read at all.
    Every group of every doubling has its own network (the paper's simple one, figure 3A); with `shared` all doublings
    have the same three. The likelihood of the whole image is exact, the product of base and groups.

    Departures: in the paper, the sites of a group may be split into patches, each drawn by a shallow PixelCNN (figure
    3B), which is left out here; base and groups share the 1x1 layers in front of the head, after all features are put
    together. A context enters base and networks, at their own sites, by 1x1 maps.
    """

    conditional = True
    canonical = MultiscaleOrdering

    class Config(pixkit.ComponentConfig):
        """The base, and the sizes of the networks."""

        base: BackboneRef | None = None
        """The backbone of the decimated image; by default a pixelcnn with its defaults, its width rounded up to what
        the colours need."""
        width: int = Field(default=64, ge=1, le=4096)
        """Maps of the networks, and of the features."""
        layers: int = Field(default=4, ge=0, le=100)
        """Residual blocks of each network, of two convolutions."""
        kernel: Literal[3, 5, 7] = 3
        """Side of their kernels, in 2x2 blocks."""
        shared: bool = False
        """Use the same networks for every doubling."""
        dropout: float = Field(default=0.0, ge=0, lt=1)
        """Elementwise dropout in each residual block."""
        output_layers: int = Field(default=1, ge=0, le=16)
        """Layers of (activation, 1x1) after all features are put together."""

    config: Config

    def __init__(self, config: Config, spec: pixkit.BackboneSpec) -> None:
        check_parts(config, spec)
        check_multiple("width", config.width, spec.ordering.groups, "the number of colour groups", config)
        super().__init__(config, spec)
        self.width, image = config.width, self.scan.image
        ordering = cast(MultiscaleOrdering, self.scan.ordering)
        self.groups = ordering.groups_of(image.height, image.width)
        coarse = Lattice(0, 0, ordering.base_scale(image.height, image.width))
        self.base = Base(config, self.scan, ordering.base(), coarse)
        self.views = nn.ModuleList(View(group, self.scan) for group in self.groups)
        self.numbers, self.networks = _networks(config, self.scan, self.groups)
        self.mosaic = Mosaic([coarse, *(group.own for group in self.groups)], (image.height, image.width))
        several = ordering.groups > 1
        self.colours = MaskedConv2d(spec.inputs, self.width, 1, "A", ordering) if several else None
        self.out = nn.Sequential()
        for _ in range(config.output_layers):
            self.out.extend([nn.ReLU(), Pointwise(self.width, self.width, ordering)])
        self.out.append(nn.ReLU())

    def features(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """See Backbone."""
        parts = [self.base(x, context)]
        for number, view in zip(self.numbers, self.views, strict=True):
            parts.append(self.networks[number](*view(x, context)))
        h = self.mosaic(*parts)
        if self.colours is not None:
            h = h + self.colours(x)
        return self.out(h)


class Base(nn.Module):
    """The backbone of the decimated image, and a 1x1 map to the features' width."""

    def __init__(
        self, config: Multiscale.Config, spec: pixkit.BackboneSpec, ordering: pixkit.Ordering, coarse: Lattice
    ) -> None:
        super().__init__()
        self.decimate = Decimate([coarse])
        self.context = ContextAt([coarse]) if spec.context else None
        self.body = base_of(config, pixkit.BackboneSpec(ordering.spec, ordering, spec.inputs, spec.context))
        self.project = Pointwise(self.body.width, config.width, ordering)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """[B, inputs, H, W] to [B, width, h, w]."""
        seen = self.decimate(x)
        if self.context is None:
            return self.project(self.body(seen))
        return self.project(self.body(seen, self.context(context)))


class View(nn.Module):
    """The input of a group's network: the earlier sites of each 2x2 block, whether they exist, and the context."""

    def __init__(self, group: Group, spec: pixkit.BackboneSpec) -> None:
        super().__init__()
        inside = torch.ones(1, spec.image.height, spec.image.width)
        self.earlier = Decimate(group.earlier)
        self.mark = AppendMaps(torch.cat([lattice.take(inside) for lattice in group.earlier]))
        self.context = ContextAt([group.own]) if spec.context else None

    def forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """[B, inputs, H, W] to [B, n * (inputs + 1), h, w] for n earlier sites, and the context at its own site."""
        return self.mark(self.earlier(x)), None if self.context is None else self.context(context)


class ContextAt(Decimate):
    """A context at the sites of a lattice; one without spatial extent, [B, M, 1, 1], is left unchanged."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x if x.shape[2:] == (1, 1) else super().forward(x)


class Network(nn.Module):
    """A plain ResNet on the grid of blocks: it sees only sites that are drawn, and needs no mask."""

    def __init__(self, config: Multiscale.Config, inputs: int, context: int) -> None:
        super().__init__()
        self.stem = _convolution(inputs, config.width, config.kernel)
        self.condition = nn.Conv2d(context, config.width, 1) if context else None
        self.blocks = nn.Sequential(*(Residual(config) for _ in range(config.layers)))

    def forward(self, seen: Tensor, context: Tensor | None) -> Tensor:
        """[B, inputs, h, w] to [B, width, h, w]."""
        h = self.stem(seen)
        if self.condition is not None:
            h = h + self.condition(context)
        return self.blocks(h)


class Residual(nn.Module):
    """x + conv(dropout(relu(conv(relu(x)))))."""

    def __init__(self, config: Multiscale.Config) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            _convolution(config.width, config.width, config.kernel),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            _convolution(config.width, config.width, config.kernel),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, h, w] to the same shape."""
        return x + self.layers(x)


def check_parts(config: Multiscale.Config, spec: pixkit.BackboneSpec) -> None:
    """RecipeError unless the ordering is `multiscale`, and the base takes the context if there is one."""
    if not isinstance(spec.ordering, MultiscaleOrdering):
        raise pixkit.RecipeError(
            "the backbone 'multiscale' follows the ordering of the same name",
            where=spec.ordering.where(),
            found=type(spec.ordering).__name__,
            expected="multiscale",
            hint="ordering: {type: multiscale, base: 4}",
        )
    if config.base is not None and spec.context and not config.base.cls.conditional:
        raise pixkit.RecipeError(
            f"the base '{config.base.name}' takes no context",
            where=config.where("base"),
            found=config.base.name,
            expected="a backbone that can be conditioned on labels or features (`conditional`)",
        )


def base_of(config: Multiscale.Config, spec: pixkit.BackboneSpec) -> pixkit.Backbone:
    """The backbone of the decimated image."""
    if config.base is not None:
        chosen: pixkit.Backbone = config.base.build(spec)
        return chosen
    plain = PixelCNN.Config()
    unit = width_unit(plain, spec.ordering.groups)
    return PixelCNN(PixelCNN.Config(width=-(-plain.width // unit) * unit), spec)


def _networks(
    config: Multiscale.Config, spec: pixkit.BackboneSpec, groups: list[Group]
) -> tuple[list[int], nn.ModuleList]:
    """Which network each group calls, and the networks."""
    numbers: list[int] = []
    networks, known = nn.ModuleList(), dict[str, int]()
    for number, group in enumerate(groups):
        key = group.corner if config.shared else str(number)
        if key not in known:
            known[key] = len(networks)
            networks.append(Network(config, len(group.earlier) * (spec.inputs + 1), spec.context))
        numbers.append(known[key])
    return numbers, networks


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
