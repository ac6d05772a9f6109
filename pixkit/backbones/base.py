"""The base class of backbones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pixkit.components.config import ComponentConfig
from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.orderings.base import Ordering


@dataclass(frozen=True)
class BackboneSpec:
    """The images, ordering and inputs that a backbone is built for.

    Attributes:
        image: shape and levels of the images.
        ordering: the ordering that it must respect.
        inputs: number of input maps; map m carries colour m % C.
        context: number of context maps, which the network is conditioned on besides pixels; 0 if there are none.
    """

    image: ImageSpec
    ordering: Ordering
    inputs: int
    context: int = 0


class Backbone(nn.Module, ABC):
    """Base of backbone components: ``Backbone(config, spec)``, an ordinary module over whole images.

    `forward` maps encoded pixels [B, spec.inputs, H, W] to features [B, width, H, W]. The features at a sub-pixel may
    depend only on sub-pixels of earlier steps. Attribute `width` is the number of feature maps; map m is of colour
    group m % G.

    A class whose weights mean the same in every ordering sets `reorders`; it may override `under` to be faster than
    building the network anew.

    With `spec.context` maps of context, `forward` has a second argument: [B, context, h, w], (h, w) being (1, 1) or (H,
    W). It needs no pixel, so any sub-pixel may depend on all of it. A class that takes a context sets `conditional`;
    others are refused if a recipe asks for one.

    Raises:
        RecipeError: from the constructor, with the reason, for an ordering that it does not support.
    """

    class Config(ComponentConfig):
        """No keys."""

    width: int
    conditional: ClassVar[bool] = False
    reorders: ClassVar[bool] = False

    # Any: each class has its own Config
    def __init__(self, config: Any, spec: BackboneSpec) -> None:
        super().__init__()
        self.config = config
        self.spec = spec

    @abstractmethod
    # Any: with a context or without
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """``forward(x)``, or ``forward(x, context)``: features [B, width, H, W] of encoded pixels, see the class."""

    def under(self, ordering: Ordering) -> Backbone:
        """The same network, with the same parameters, in another ordering of such images with as many colour groups.

        This one is unchanged. By default the backbone is built anew and given the parameters.

        Raises:
            RecipeError: unless the class `reorders`.
        """
        if not self.reorders:
            raise RecipeError(
                "the backbone's weights belong to one ordering",
                where=self.config.where("type"),
                found=type(self).__name__,
                expected="a backbone whose weights mean the same in every ordering (`reorders`), as transformer",
            )
        # A module's dtype is that of its real parameters; its buffers have it also.
        reference = min(self.parameters(), key=torch.is_complex)
        with torch.random.fork_rng(devices=[]):
            other = type(self)(self.config, replace(self.spec, ordering=ordering))
        other.to(reference.device, reference.dtype)
        for name, parameter in self.named_parameters():
            owner, _, own = name.rpartition(".")
            setattr(other.get_submodule(owner), own, parameter)
        return other.train(self.training)


def check_multiple(key: str, maps: int, multiple: int, reason: str, config: ComponentConfig | None = None) -> None:
    """RecipeError, naming the backbone's key, unless a number of maps is a multiple; `reason` says of what.

    `config` is the backbone's, which knows its place in the recipe; without it ``model.backbone`` is assumed.
    """
    if maps % multiple:
        raise RecipeError(
            "the maps do not divide evenly",
            where=f"model.backbone.{key}" if config is None else config.where(key),
            found=str(maps),
            expected=f"a multiple of {multiple}, {reason}",
            hint=f"{key}: {-(-maps // multiple) * multiple}",
        )
