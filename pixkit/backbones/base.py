"""What a backbone is."""

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
    """What a backbone is built for.

    Attributes:
        image: shape and levels of the images.
        ordering: the ordering that it must respect.
        inputs: number of input maps; map m carries colour m % C.
        context: number of maps of what the network is conditioned on besides pixels; 0 if on nothing.
    """

    image: ImageSpec
    ordering: Ordering
    inputs: int
    context: int = 0


class Backbone(nn.Module, ABC):
    """Base of backbone components: ``Backbone(config, spec)``, an ordinary module over whole images.

    `forward` maps encoded pixels [B, spec.inputs, H, W] to features [B, width, H, W]. The features at a
    sub-pixel may depend on sub-pixels of earlier steps alone. Attribute `width` is the number of maps it
    gives, map m being of colour group m % G.

    A class whose weights mean the same in every ordering says so by `reorders`; it may have an `under` of its own,
    which takes less time than to build the network anew.

    With `spec.context` maps of context, `forward` has a second argument: [B, context, h, w], (h, w) being (1, 1) or
    (H, W). It needs no pixel, so that any sub-pixel may depend on all of it. A class that can take one says so by
    `conditional`; others are refused where a recipe asks for context.

    Raises:
        RecipeError: from the constructor, with the reason, for an ordering that it does not support.
    """

    class Config(ComponentConfig):
        """No keys of its own."""

    width: int
    conditional: ClassVar[bool] = False
    reorders: ClassVar[bool] = False

    def __init__(self, config: Any, spec: BackboneSpec) -> None:
        super().__init__()
        self.config = config
        self.spec = spec

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """``forward(x)``, or ``forward(x, context)``: features [B, width, H, W] of encoded pixels, see the class."""

    def under(self, ordering: Ordering) -> Backbone:
        """The same network in another ordering of such images, with as many colour groups: it has the same parameters.

        This one is left as it is. Where a backbone does not say how, it is built anew, and given the parameters.

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
        # A module's type of number is that of those that are not complex: its buffers are of that, too.
        reference = min(self.parameters(), key=torch.is_complex)
        with torch.random.fork_rng(devices=[]):
            other = type(self)(self.config, replace(self.spec, ordering=ordering))
        other.to(reference.device, reference.dtype)
        for name, parameter in self.named_parameters():
            owner, _, own = name.rpartition(".")
            setattr(other.get_submodule(owner), own, parameter)
        return other.train(self.training)


def check_multiple(key: str, maps: int, multiple: int, reason: str, config: ComponentConfig | None = None) -> None:
    """RecipeError, naming the backbone's key, unless its number of maps is such a multiple; `reason` says of what.

    `config` is the backbone's, which knows where it stands; without it that is taken to be ``model.backbone``.
    """
    if maps % multiple:
        raise RecipeError(
            "the maps do not divide evenly",
            where=f"model.backbone.{key}" if config is None else config.where(key),
            found=str(maps),
            expected=f"a multiple of {multiple}, {reason}",
            hint=f"{key}: {-(-maps // multiple) * multiple}",
        )
