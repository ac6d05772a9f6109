"""The module that samplers run and that is proved causal: levels in, distribution parameters out."""

from __future__ import annotations

import copy
from itertools import chain
from numbers import Integral
from typing import Any, get_args

import torch
from torch import Tensor, nn

from pixkit.backbones.base import Backbone, BackboneSpec
from pixkit.backbones.conditioners import Conditioner
from pixkit.backbones.encodings import Encoding, InputConfig, check_entered, encoding
from pixkit.backbones.held import features_of
from pixkit.components.faults import Blamed, built
from pixkit.components.spec import ComponentSpec
from pixkit.errors import PluginError, RecipeError, UsageError
from pixkit.heads.base import Head, PixelDistribution
from pixkit.heads.held import hold
from pixkit.image import ImageSpec, numbers_refused
from pixkit.layers.modes import evaluating, rehearsing
from pixkit.memory.keep import Keep
from pixkit.noise import Noise
from pixkit.orderings.base import Colours, Ordering

__all__ = ["Autoregressive", "assemble"]


class Autoregressive(nn.Module):
    """Encoding of levels, backbone, and the head's projection, in this order.

    p(x) = prod over steps t of p(x at step t | x at steps < t), each factor given by the head. With a conditioner, each
    factor also depends on the image's context, and every method requires one.
    """

    def __init__(
        self, encoding: nn.Module, backbone: Backbone, head: Head, conditioner: Conditioner | None = None
    ) -> None:
        super().__init__()
        self.encoding = encoding
        self.conditioner = conditioner
        self.backbone = backbone
        self.head = head
        self.projection = head.projection(backbone.width)
        self.kept = Keep()  # plans, also for `under`

    @property
    def ordering(self) -> Ordering:
        """The ordering that the network respects."""
        return self.head.ordering

    @property
    def spec(self) -> ImageSpec:
        """The images that it models."""
        return self.head.spec

    @property
    def reference(self) -> Tensor:
        """A parameter with the number type and device in which the network computes.

        It is the projection's: a backbone may have complex ones, before all others.
        """
        return next(chain(self.projection.parameters(), self.parameters()))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map levels, int64 [B, C, H, W], and the conditioner's input to the head's parameters [B, P, H, W]."""
        encoded = self.encoding(x)
        if self.conditioner is None:
            features = self.backbone(encoded)
        else:
            features = self.backbone(encoded, self.conditioner(context))
        out: Tensor = self.projection(features)
        return out

    def distribution(self, x: Tensor, context: Tensor | None = None) -> PixelDistribution:
        """The distribution of every sub-pixel given the true earlier ones (teacher forcing).

        Raises:
            DataError: if x is not a batch of such images. (The levels of a training step are the data's own: they are
                not checked on a device, which would have to be waited for.)
            UsageError: if a required context is missing, or one is given that is not used.
        """
        remote = isinstance(x, Tensor) and x.device.type != "cpu"
        trusted = self.training and torch.is_grad_enabled() and remote
        self.spec.check(x, values=not trusted)
        self.check_context(context, x.shape[0])
        return self.head.distribution(self(x.long(), context))

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) of each image, given its context, nats [B]: int64 [B, C, H, W], and the conditioner's input.

        Raises:
            DataError, UsageError: as for `distribution`.
        """
        return self.distribution(x, context).log_prob(x.long())

    def site_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The terms of `log_prob`, one per site: log p(colours there | earlier sites), nats [B, H, W].

        Raises:
            DataError, UsageError: as for `distribution`.
        """
        return self.distribution(x, context).site_log_prob(x.long())

    def uniforms(self, noise: Noise) -> Tensor:
        """The uniforms from which images of this noise are drawn, [B, draws, C, H, W], on the network's device.

        In the network's precision, but at least in float32: bfloat16 has 256 values below 1, and would round to 1.
        """
        dtype = torch.promote_types(self.reference.dtype, torch.float32)
        return noise.uniforms(self.head.draws, self.spec).to(self.reference.device, dtype)

    def fill(self, levels: Tensor, due: Tensor, params: Tensor, uniforms: Tensor, temperature: float) -> Tensor:
        """Draw the sub-pixels that are due at some sites and keep the others, int64 [B, C, *S].

        Args:
            levels: int64 [B, C, *S].
            due: bool [C, *S].
            params: the head's parameters, [B, P, *S].
            uniforms: those of these sites, [B, draws, C, *S].
            temperature: see `PixelDistribution.quantile`.
        """
        drawn = self.head.distribution(params).quantile(uniforms, temperature)
        return torch.where(due.to(drawn.device), drawn, levels)

    def example_context(self, batch: int) -> Tensor | None:
        """A context for `batch` images; None for an unconditional network."""
        return None if self.conditioner is None else self.conditioner.example(batch)

    def under(self, ordering: Ordering) -> Autoregressive:
        """The same network with another ordering of such images, with as many colour groups: it shares the parameters.

        Raises:
            RecipeError: unless the backbone `reorders`.
        """
        other = copy.copy(self)
        other._modules = {**self._modules, "backbone": self.backbone.under(ordering), "head": copy.copy(self.head)}
        other.head.ordering = ordering
        return other

    def check_width(self) -> None:
        """Raise PluginError, naming the culprit, unless encoding, backbone and head keep their promises."""
        with evaluating(self), torch.no_grad():
            x = torch.arange(3, device=self.reference.device).remainder(self.spec.levels)[:, None, None, None]
            x = x.expand(3, *self.spec.shape).contiguous()  # as data are
            context = () if self.conditioner is None else (self.conditioner(self.example_context(3)),)
            if isinstance(self.encoding, Encoding):
                check_entered(self.encoding, x)
            hold(self.head, self.projection, features_of(self.backbone, self.encoding(x), context))

    def check_trains(self) -> None:
        """Raise PluginError, naming backbone or head, if an image's nats give the backbone no gradient.

        In evaluation mode, and with nothing saved for the backward pass, this takes the memory of a pass without a
        gradient. A module that fails there may work in a training step, as with `torch.set_grad_enabled(self.training)`
        or gradients within its forward: it is to blame only if it fails in training mode, too.
        """
        if not any(each.requires_grad for each in self.backbone.parameters()):
            return
        device = self.reference.device
        nothing_kept = torch.autograd.graph.saved_tensors_hooks(lambda _: None, lambda _: torch.empty(0))
        with torch.inference_mode(False), torch.enable_grad():
            try:
                with evaluating(self), nothing_kept:
                    self._require_gradient(torch.zeros(1, *self.spec.shape, dtype=torch.int64, device=device))
            except PluginError:
                with rehearsing(self, device):  # of two images: BatchNorm takes no variance of one
                    self._require_gradient(torch.zeros(2, *self.spec.shape, dtype=torch.int64, device=device))

    def _require_gradient(self, x: Tensor) -> None:
        context = () if self.conditioner is None else (self.conditioner(self.example_context(len(x))),)
        backbone, head = Blamed.of("backbone", self.backbone), Blamed.of("head", self.head)
        with backbone.at("where a gradient is recorded", "a forward of torch's differentiable operations"):
            features = self.backbone(self.encoding(x), *context)
        with head.at("where a gradient is recorded", "a log_prob of torch's differentiable operations"):
            nats = self.head.distribution(self.projection(features)).log_prob(x)
        for blamed, what, given in ((backbone, "features", features), (head, "log_prob", nats)):
            if not given.requires_grad:
                hint = "no torch.no_grad(), .detach(), .data or numpy on the way"
                if given is features:
                    hint += "; or self.requires_grad_(False), if it is not to be trained"
                raise blamed.error("would not be trained", f"{what} without a gradient", "a gradient", hint)

    def check_context(self, context: Tensor | None, batch: int) -> None:
        """Raise UsageError unless the context is one for `batch` images."""
        if (context is None) != (self.conditioner is None):
            found, expected = ("no context", "one") if context is None else ("a context", "none")
            raise UsageError(
                "the network is conditional" if context is None else "the network is not conditional",
                where=type(self.backbone).__name__,
                found=found,
                expected=expected,
                hint="a label, say, for each image" if context is None else "leave it, a label say, out",
            )
        if context is not None and self.conditioner is not None:
            self.conditioner.check(context)
            if context.shape[0] != batch:
                raise UsageError(
                    "the context does not fit the number of images", found=str(len(context)), expected=str(batch)
                )


def assemble(
    spec: ImageSpec,
    ordering: ComponentSpec,
    inputs: ComponentSpec | InputConfig,
    backbone: ComponentSpec,
    head: ComponentSpec,
    *,
    conditioner: Conditioner | None = None,
) -> Autoregressive:
    """Build the network that a recipe describes.

    Raises:
        RecipeError: if the head cannot draw colours as the ordering asks, or a component refuses.
        PluginError: if the backbone does not say its width, or the head its maps or its colours, or if one fails.
    """
    if conditioner is not None and not backbone.cls.conditional:
        raise RecipeError(
            f"the backbone '{backbone.name}' takes no context",
            where=backbone.config.where("type"),
            found=backbone.name,
            expected="a backbone that can be conditioned on labels or features (`conditional`)",
        )
    if spec.palette is not None and head.cls.ordered:
        raise RecipeError(**numbers_refused(head.name), where=head.config.where("type"))
    resolved = built(ordering, spec, resolve_colours(ordering, head, spec))
    entering = encoding(inputs, spec)
    context = 0 if conditioner is None else conditioner.maps
    body = built(backbone, BackboneSpec(spec, resolved, entering.maps, context))
    _require_count(backbone, body, "width", "the number of maps that `forward` gives")
    drawn_by = built(head, spec, resolved)
    _require_count(head, drawn_by, "maps", "the number of its parameter maps")
    return Autoregressive(entering, body, drawn_by, conditioner)


def _require_count(component: ComponentSpec, made: Any, name: str, meaning: str) -> None:
    """Raise PluginError unless a constructed component has the attribute, a number of maps."""
    count = getattr(made, name, None)
    if not isinstance(count, Integral) or count < 1:
        raise PluginError(
            f"{component.entry} does not say its {name}",
            where=component.entry.distribution,
            found="no such attribute" if count is None else f"{name} = {count!r}",
            expected=f"self.{name}, set by the constructor: an int of at least 1, {meaning}",
        )


def resolve_colours(ordering: ComponentSpec, head: ComponentSpec, spec: ImageSpec) -> Colours:
    """Resolve `ordering.colours`: `auto` is the head's preference.

    Raises:
        RecipeError: if the head cannot draw colours as the ordering asks.
        PluginError: if the head does not say how it can.
    """
    supported: tuple[Colours, ...] = head.cls.colours(head.config, spec)
    if not isinstance(supported, tuple | list) or not supported or not set(supported) <= set(get_args(Colours)):
        raise PluginError(
            f"{head.entry} does not say how it draws colours",
            where=head.entry.distribution,
            found=f"colours() gives {supported!r}",
            expected=f"one or more of {', '.join(map(repr, get_args(Colours)))} in a tuple, the preferred one first",
        )
    asked: Colours | str = getattr(ordering.config, "colours", "auto")
    if asked == "auto":
        return supported[0]
    for colours in supported:
        if asked == colours or spec.channels == 1:
            return colours
    raise RecipeError(
        f"the head '{head.name}' cannot draw colours this way",
        where=ordering.config.where("colours"),
        found=str(asked),
        expected=" or ".join(supported),
        hint="set ordering.colours to auto, or head.independent to true to ignore colour dependence"
        if "independent" in type(head.config).model_fields
        else "set ordering.colours to auto",
    )
