"""Any function of the maps of a site, as foreign networks have them: a reduction, a choice, a look-up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pixkit.layers.base import PointwiseLayer


@dataclass(frozen=True)
class Read:
    """An argument made of an input's maps.

    Attributes:
        shape: the argument's shape at a site; its product is the number of maps, and -1 is the rest.
        dtype: the argument's type; images have the network's type, which holds these values without loss.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype


class SiteFunction(PointwiseLayer):
    """A function of the maps of a site: images [B, M, H, W] each, to one image [B, M', H, W].

    Every result reads all maps of its site, whatever their colour groups.

    Args:
        function: of tensors [..., *shape], one for each `Read`, in float, int, or bool. It returns [..., *shape'] with
            the same leading axes, computed only along the last ones.
        arguments: the function's: `Read` for the next input, a tensor for a constant, anything else as it is.
        named: the same, by name, without inputs.
        axes: the number of axes of shape'.
        part: the result to take, of several.
    """

    mixes_colours: ClassVar[bool] = True

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        named: dict[str, Any] | None = None,
        *,
        axes: int,
        part: int | None = None,
    ) -> None:
        super().__init__()
        self.function, self.named, self.axes, self.part = function, named or {}, axes, part
        self.arguments = [None if isinstance(each, Tensor) else each for each in arguments]
        self.kept = [f"constant_{i}" for i, each in enumerate(arguments) if isinstance(each, Tensor)]
        for name in self.kept:
            self.register_buffer(name, arguments[int(name.removeprefix("constant_"))], persistent=False)

    def forward(self, *images: Tensor) -> Tensor:
        """Move maps last and give them the shape and the type of the function's argument."""
        batch = max(len(image) for image in images)
        values = list(self.arguments)
        for name in self.kept:
            values[int(name.removeprefix("constant_"))] = getattr(self, name)
        rest = iter(images)
        for place, each in enumerate(self.arguments):
            if isinstance(each, Read):
                image = next(rest)
                last = image.expand(batch, *image.shape[1:]).movedim(1, -1)
                values[place] = last.unflatten(-1, each.shape).to(each.dtype)
        found = self.function(*values, **self.named)
        found = found if self.part is None else found[self.part]
        lead = found.ndim - self.axes
        out: Tensor = found.reshape(*found.shape[:lead], -1).to(images[0].dtype).movedim(-1, 1)
        return out

    def extra_repr(self) -> str:
        """The function's name for print(model)."""
        return str(getattr(self.function, "__name__", self.function))
