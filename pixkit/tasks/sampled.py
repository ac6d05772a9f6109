"""The result of `sample`, and how its images and their conditions are laid out in a grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pixkit.figures.grids import Titles
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.models.request import SampleRequest
from pixkit.samplers import Drawn
from pixkit.tasks.decoded import PICTURE
from pixkit.tasks.labels import Choice, class_titles, repeat_labels
from pixkit.tasks.pictured import PAIRS, beside_each, pictures_of


@dataclass(frozen=True, repr=False)
class Sampled(Drawn):
    """The result of `sample`: `images`, int64 [N, C, H, W] on the CPU, and a `summary` of the sampler's work.

    Attributes:
        columns: number of images that belong together (of a label, a code, an interpolation), as a row of a grid may
            show; None if there are no such groups.
        titles: the classes' names, for the rows or the columns of a grid; None if they are just numbers.
        log_prob: log p(x) of each image, nats [N] on the CPU, if requested: see `Model.sample`.
        pictures: for a model that is conditioned on an image or codes, a picture of these for each row of `columns`, or
            for each image without it, int64 [m, C, H, W].
        above: if a condition that is an image or codes varies, a picture of it for each column, int64 [m, C, H, W].
        decoded: if the images are codes that the run's data source decodes, their pictures, int64 [N, C', H', W'] of
            256 levels.
    """

    columns: int | None = None
    titles: Titles | None = None
    log_prob: Tensor | None = None
    pictures: Tensor | None = None
    above: Tensor | None = None
    decoded: Tensor | None = None

    def beside(self, blank: int = 0) -> tuple[Tensor, int | None]:
        """The images of a grid, int64 [N', C, H, W], and its columns: a row, or an image, behind its picture.

        A place that belongs to no image has the level `blank`.
        """
        if self.columns is not None:
            return framed(self.images, self.columns, self.above, self.pictures, blank)
        if self.pictures is None:
            return self.images, None
        return beside_each(self.images, self.pictures, 1), PAIRS

    def figure(self, spec: ImageSpec, *, grid: bool = True) -> tuple[Tensor, ImageSpec | int, int | None]:
        """Images of `spec` as shown: pictures [N', C', H', W'], their levels, and the columns of a grid.

        Codes are shown decoded, if they can be, and other images as they are, in a grid behind their conditions.
        """
        if self.decoded is not None:
            return self.decoded, PICTURE, self.columns
        images, columns = self.beside(spec.blank) if grid else (self.images, self.columns)
        return images, spec, columns


def layout_of(model: Model, request: SampleRequest, columns: int | None, labels: Choice | None) -> dict[str, Any]:
    """The layout of a grid of images of which `columns`, if any, belong together: fields of `Sampled`."""
    together, titles = titled(model, columns, labels)
    if titles is not None and labels is not None and columns:
        titles = replace(titles, names=[*titles.names] * (len(request) // (columns * len(titles.names))))
    pictures = None if request.context is None else pictures_of(model, request.context[:: columns or 1])
    return {"columns": together, "titles": titles, "pictures": pictures}


def titled(model: Model, columns: int | None, labels: Choice | None) -> tuple[int | None, Titles | None]:
    """The number of images that belong together, and their titles, if the classes have names."""
    titles = class_titles(model, "rows" if columns else "columns")
    if titles is None or (labels is None and columns is not None):
        return columns, None
    if labels is None:
        return len(titles.names), titles
    if isinstance(labels, str) and labels == "none":
        return columns, None
    chosen = repeat_labels(model, labels, 1).tolist()
    return columns, Titles("rows", [titles.names[number] for number in chosen])


def framed(
    images: Tensor, columns: int, above: Tensor | None, pictures: Tensor | None, blank: int = 0
) -> tuple[Tensor, int]:
    """The images of a grid below the pictures of what varies and behind those of what is held, and its columns.

    A corner that belongs to neither is blank.
    """
    if above is not None:
        images = torch.cat([above, images])
    if pictures is None:
        return images, columns
    if above is not None:
        pictures = torch.cat([torch.full_like(pictures[:1], blank), pictures])
    return beside_each(images, pictures, columns), columns + 1
