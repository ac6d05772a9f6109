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
    """An argument that is made of an input's maps.

    Attributes:
        shape: of a site, its product the number of maps; -1 is the rest.
        dtype: what the function is given; images have the network's type, which holds these values without loss.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype


class SiteFunction(PointwiseLayer):
    """A function of whatever lies at a site: images [B, M, H, W] each, to one image [B, M', H, W].

    Every result reads all maps of its site, whichever their colour groups.

    Args:
        function: of tensors [..., *shape], one for each `Read`, in float, int, or bool. It gives [..., *shape'], of the
            same leading axes, by what the last ones hold alone.
        arguments: the function's: `Read` for the next input, a tensor for a constant, anything else as it is.
        named: likewise by name, without inputs.
        axes: how many axes shape' has.
        part: which result is meant, of several.
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
        """Maps are put last, and given the shape and the type that the function wants."""
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
