"""Conditioner components: for a label, a vector, an image or codes beside each image."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from pydantic import Field, create_model
from torch import Tensor, nn

from pixkit.backbones.conditioners import Conditioner
from pixkit.components.config import ComponentConfig
from pixkit.context import LABEL, ContextSpec
from pixkit.errors import RecipeError
from pixkit.image import ImageSpec

if TYPE_CHECKING:
    _From = ComponentConfig
else:  # `from` is a Python keyword, so no class body can define it
    _said = "The array, by its name in `data.context`; may be left out if there is only one."
    _From = create_model(
        "_From", __base__=ComponentConfig, **{"from": (str | None, Field(default=None, description=_said))}
    )


@dataclass(frozen=True)
class ArraySpec:
    """The array and the images that a conditioner is built for.

    Attributes:
        array: its input for each image.
        image: the images that the model draws.
    """

    array: ContextSpec
    image: ImageSpec

    @property
    def grid(self) -> tuple[int, int]:
        """(H, W) of the images."""
        return self.image.height, self.image.width


class ArrayConditioner(Conditioner):
    """Base of conditioner components: ``ArrayConditioner(config, spec)``, of one array beside the images.

    `forward` maps an array of each image, [B, *spec.array.shape], int64 if it has `levels`, otherwise floats in the
    module's precision, to feature maps [B, maps, 1, 1] or [B, maps, H, W]. A subclass sets `maps`. It need not handle
    dropout: an image without the condition gets learned maps in place of these.

    Raises:
        RecipeError: from the constructor, for an array that it does not accept.
    """

    class Config(_From):
        """The keys of every conditioner."""

        dropout: float = Field(default=0.0, ge=0, lt=1)
        """Fraction of training images for which it is hidden. If above 0, the model can draw and score without it, and
        be guided towards it (Ho and Salimans, 2022, arXiv 2207.12598)."""

    def __init__(self, config: Any, spec: ArraySpec) -> None:  # config: the subclass's own
        super().__init__()
        self.config, self.spec = config, spec

    @abstractmethod
    def forward(self, context: Tensor) -> Tensor:
        """[B, *spec.array.shape] to [B, maps, h, w]."""

    def example(self, batch: int) -> Tensor:
        """Consecutive integers, or a smooth and arbitrary pattern."""
        array = self.spec.array
        numbers = torch.arange(batch * array.size).view(batch, *array.shape)
        return numbers.sin() if array.levels is None else numbers % array.levels

    def check(self, context: Tensor) -> None:
        """See Conditioner."""
        self.spec.array.check(context, f"context, {self.spec.array.name}")

    def require(self, *, axes: tuple[int, ...], whole: bool | None = None) -> None:
        """Raise RecipeError unless the array has one of these numbers of axes, and integers iff `whole`, if given.

        Call this from the constructor.
        """
        array = self.spec.array
        if len(array.shape) not in axes or whole not in (None, array.levels is not None):
            kinds = {0: "a number", 1: "a vector [D]", 2: "a grid [h, w]", 3: "an image [h, w, C]"}
            raise RecipeError(
                "the conditioner does not accept this array",
                where=self.config.where("type"),
                found=f"{array}{'' if array.levels else ', as numbers'}",
                expected=" or ".join(kinds[count] for count in axes) + (", integers 0..K-1" if whole else ""),
                hint=f"type: {' or '.join(self._others())}",
            )

    def _others(self) -> list[str]:
        """The types of pixkit's conditioners that accept the array."""
        array = self.spec.array
        if len(array.shape) < 2:
            return ["label", "vector"] if array.size == 1 and array.levels is not None else ["vector"]
        return ["image"] if array.levels is None else ["image", "codes"]


class LabelConditioner(ArrayConditioner):
    """A learned vector for each class: of the data's labels or, with `from`, of other classes beside the images."""

    class Config(ArrayConditioner.Config):
        """The common keys, and the vector's size; `from` names an array of one integer 0..K-1 for each image."""

        size: int = Field(default=32, ge=1, le=4096)
        """Entries of a class's vector."""

    def __init__(self, config: Any, spec: ArraySpec) -> None:
        super().__init__(config, spec)
        self.require(axes=(0, 1) if spec.array.size == 1 else (0,), whole=True)
        self.maps = config.size
        self.table = nn.Embedding(spec.array.levels or 1, config.size)

    def forward(self, context: Tensor) -> Tensor:
        """int64 [B] or [B, 1] to [B, size, 1, 1]."""
        vectors: Tensor = self.table(context.flatten())
        return vectors[:, :, None, None]


class VectorConditioner(ArrayConditioner):
    """Two linear maps of a vector or a number, with an ELU between them: the same maps at every site.

    Integers enter as numbers, as they are: for classes, whose numbers have no order, take `label`.
    """

    reference: Tensor

    class Config(ArrayConditioner.Config):
        """The common keys, and the maps."""

        size: int = Field(default=32, ge=1, le=4096)
        """Size of the results of both maps."""

    def __init__(self, config: Any, spec: ArraySpec) -> None:
        super().__init__(config, spec)
        self.require(axes=(0, 1))
        self.register_buffer("reference", torch.zeros(()), persistent=False)
        self.maps, entries = config.size, spec.array.size
        self.body = nn.Sequential(nn.Linear(entries, self.maps), nn.ELU(), nn.Linear(self.maps, self.maps))

    def forward(self, context: Tensor) -> Tensor:
        """[B, D] or [B] to [B, size, 1, 1]."""
        entries = context if self.spec.array.shape else context[:, None]
        maps: Tensor = self.body(entries.type_as(self.reference))
        return maps[:, :, None, None]


class GridConditioner(ArrayConditioner):
    """Base of conditioners on a grid: 3x3 convolutions with ELUs on its own grid, then `to_grid` to the image's."""

    class Config(ArrayConditioner.Config):
        """The common keys, and the convolutions."""

        size: int = Field(default=32, ge=1, le=4096)
        """Number of feature maps."""
        layers: int = Field(default=2, ge=1, le=64)
        """Number of convolutions."""

    def build(self, inputs: int) -> None:
        """Make the layers after `inputs` maps."""
        self.maps = self.config.size
        self.body = nn.Sequential()
        for layer in range(self.config.layers):
            self.body.extend([nn.Conv2d(self.maps if layer else inputs, self.maps, 3, padding=1), nn.ELU()])
        height, width = self.spec.array.shape[-2:]
        self.to_grid = to_grid(self.maps, (height, width), self.spec.grid)


class ImageConditioner(GridConditioner):
    """Convolutions of an image, with levels scaled to -1..1 and floats unchanged."""

    scale: Tensor

    def __init__(self, config: Any, spec: ArraySpec) -> None:
        super().__init__(config, spec)
        self.require(axes=(2, 3))
        self.build(spec.array.shape[0] if len(spec.array.shape) == 3 else 1)
        self.register_buffer("scale", torch.tensor(2.0 / max((spec.array.levels or 2) - 1, 1)), persistent=False)

    def forward(self, context: Tensor) -> Tensor:
        """[B, C, h, w] or [B, h, w] to [B, size, H, W]."""
        given = context[:, None] if len(self.spec.array.shape) == 2 else context
        numbers = given if self.spec.array.levels is None else given * self.scale - 1
        maps: Tensor = self.to_grid(self.body(numbers))
        return maps


class CodesConditioner(GridConditioner):
    """Convolutions of learned vectors, one for each code: for integers without an order."""

    class Config(GridConditioner.Config):
        """The keys of a grid, and the vectors."""

        entries: int = Field(default=16, ge=1, le=4096)
        """Entries of a code's vector."""

    def __init__(self, config: Any, spec: ArraySpec) -> None:
        super().__init__(config, spec)
        self.require(axes=(2, 3), whole=True)
        self.table = nn.Embedding(spec.array.levels or 1, config.entries)
        self.build(config.entries * (spec.array.shape[0] if len(spec.array.shape) == 3 else 1))

    def forward(self, context: Tensor) -> Tensor:
        """int64 [B, h, w] or [B, C, h, w] to [B, size, H, W]."""
        given = context[:, None] if len(self.spec.array.shape) == 2 else context
        vectors = self.table(given).permute(0, 1, 4, 2, 3).flatten(1, 2)
        maps: Tensor = self.to_grid(self.body(vectors))
        return maps


class Area(nn.Module):
    """Each cell of a grid as the mean of the cells of another that it overlaps: [B, M, h, w] to [B, M, H, W]."""

    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        """The mean over cells floor(i h / H) .. ceil((i + 1) h / H) - 1, and so across."""
        return F.adaptive_avg_pool2d(x, self.grid)


def to_grid(maps: int, own: tuple[int, int], grid: tuple[int, int]) -> nn.Module:
    """A module that resamples feature maps from their own grid to the image's.

    If the image's grid is a whole multiple of it in both directions, a transposed convolution whose kernel and stride
    are that multiple, with separate weights for each place in a cell's block; if it is such a multiple of the image's
    grid, a convolution likewise, so that nothing of a block is lost. Otherwise the mean over overlapping cells
    (`Area`).
    """
    if own == grid:
        return nn.Identity()
    factors = [(large // small, large % small) for small, large in zip(own, grid, strict=True)]
    if not any(rest for _, rest in factors):
        factor = factors[0][0], factors[1][0]
        return nn.ConvTranspose2d(maps, maps, factor, stride=factor)
    factors = [(large // small, large % small) for small, large in zip(grid, own, strict=True)]
    if not any(rest for _, rest in factors):
        factor = factors[0][0], factors[1][0]
        return nn.Conv2d(maps, maps, factor, stride=factor)
    return Area(grid)


CONDITIONERS: dict[str, type[ArrayConditioner]] = {
    LABEL: LabelConditioner,
    "vector": VectorConditioner,
    "image": ImageConditioner,
    "codes": CodesConditioner,
}
