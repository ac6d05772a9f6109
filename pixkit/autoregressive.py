"""The one module that samplers take and that is proved causal: levels in, distribution parameters out."""

from __future__ import annotations

from torch import Tensor, nn

from pixkit.backbone import Backbone, BackboneSpec, InputConfig
from pixkit.component import ComponentSpec
from pixkit.errors import RecipeError
from pixkit.heads.base import Head, PixelDistribution
from pixkit.image import ImageSpec
from pixkit.ordering import Colours, Ordering


class Autoregressive(nn.Module):
    """Encoding of levels, backbone, and the head's projection, in this order.

    p(x) = prod over steps t of p(x at step t | x at steps < t), each factor given by the head.
    """

    def __init__(self, encoding: nn.Module, backbone: Backbone, head: Head) -> None:
        super().__init__()
        self.encoding = encoding
        self.backbone = backbone
        self.head = head
        self.projection = head.projection(backbone.width)

    @property
    def ordering(self) -> Ordering:
        """The ordering that the network respects."""
        return self.head.ordering

    @property
    def spec(self) -> ImageSpec:
        """The images that it is about."""
        return self.head.spec

    def forward(self, x: Tensor) -> Tensor:
        """int64 [B, C, H, W] to the head's parameters [B, P, H, W]."""
        return self.projection(self.backbone(self.encoding(x)))

    def distribution(self, x: Tensor) -> PixelDistribution:
        """The distribution of every sub-pixel given the true earlier ones (teacher forcing)."""
        return self.head.distribution(self(x))

    def log_prob(self, x: Tensor) -> Tensor:
        """Nats of each image, [B]."""
        return self.distribution(x).log_prob(x)


def assemble(
    spec: ImageSpec, ordering: ComponentSpec, inputs: InputConfig, backbone: ComponentSpec, head: ComponentSpec
) -> Autoregressive:
    """Build the network that a recipe describes.

    Raises:
        RecipeError: if the head cannot draw colours as the ordering asks, or a component refuses.
    """
    resolved = ordering.build(spec, resolve_colours(ordering, head, spec))
    encoding = inputs.build(spec)
    body = backbone.build(BackboneSpec(spec, resolved, encoding.maps))
    return Autoregressive(encoding, body, head.build(spec, resolved))


def resolve_colours(ordering: ComponentSpec, head: ComponentSpec, spec: ImageSpec) -> Colours:
    """What `ordering.colours` comes to: `auto` is the head's preference, a conflict a RecipeError."""
    supported: tuple[Colours, ...] = head.cls.colours(head.config, spec)
    asked: Colours | str = getattr(ordering.config, "colours", "auto")
    if asked == "auto":
        return supported[0]
    for colours in supported:
        if asked == colours or spec.channels == 1:
            return colours
    raise RecipeError(
        f"the head '{head.name}' cannot draw colours this way",
        where="model.ordering.colours",
        found=str(asked),
        expected=" or ".join(supported),
        hint="set ordering.colours to auto, or head.independent to true to ignore colour dependence"
        if "independent" in type(head.config).model_fields
        else "set ordering.colours to auto",
    )
