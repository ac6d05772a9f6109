"""Several conditioners at once, whose input is one row of numbers for each image, float32 [W].

A row has a 1 for each visible condition and a 0 for each hidden one, then the label, if there is one, and the arrays
beside the image (`pixkit.context`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pixkit.backbones.arrays import ArrayConditioner, ArraySpec
from pixkit.backbones.conditioners import Conditioner
from pixkit.backbones.held import grid_of, require_maps
from pixkit.backbones.named import array_of
from pixkit.components.faults import built
from pixkit.components.spec import ComponentSpec
from pixkit.context import LABEL, flat_rows, shrunk
from pixkit.errors import UsageError, nearest
from pixkit.image import ImageSpec, has_values

FAR = 2**62
"""Any number of a vector is nearer to 0, unless it has to be looked at: infinity, nan, or a huge one."""


class Conditions(Conditioner):
    """The maps of several conditioners, one after the other: float32 [B, W] to [B, maps, h, w].

    If some have maps on the image's grid, the maps of the others are repeated at every site.

    Args:
        components: the conditioners, as the recipe names them.
        image: the images; its `context` describes the arrays beside them.
        classes: number of label classes, None if there are no labels.

    Raises:
        RecipeError: if there is no such array, or a conditioner does not accept it.
        PluginError: if a conditioner breaks its contract.
    """

    reference: Tensor
    lowest: Tensor
    highest: Tensor
    chances: Tensor

    def __init__(self, components: Sequence[ComponentSpec], image: ImageSpec, classes: int | None) -> None:
        super().__init__()
        self.image, self.components = image, tuple(components)
        arrays = [array_of(component, image, classes) for component in components]
        self.label = next((array for array in arrays if array.name == LABEL), None)
        self.parts = nn.ModuleList(
            built(component, ArraySpec(array, image)) for component, array in zip(components, arrays, strict=True)
        )
        for component, part in zip(components, self.parts, strict=True):
            require_maps(component, part)
        self.dropouts = [component.config.dropout for component in self.components]  # type: ignore[attr-defined]
        self.missing = nn.ParameterDict(
            {
                str(n): nn.Parameter(torch.zeros(part.maps))
                for n, part in enumerate(self.conditioners)
                if self.dropouts[n]
            }
        )
        self.maps = sum(part.maps for part in self.conditioners)
        first, places = len(arrays) + (self.label is not None), {}
        for spec in image.context:
            places[spec.name], first = first, first + spec.size
        self.places, self.width = {LABEL: len(arrays), **places}, first
        self.register_buffer("reference", torch.zeros(()), persistent=False)
        for name, values in {**self._bounds(), "chances": torch.tensor(self.dropouts)}.items():
            self.register_buffer(name, values, persistent=False)
        grids = {grid_of(component, part) for component, part in zip(components, self.conditioners, strict=True)}
        self.grid = max(grids)

    @property
    def conditioners(self) -> list[ArrayConditioner]:
        """The conditioners, in order."""
        return list(self.parts)  # type: ignore[arg-type]

    def _bounds(self) -> dict[str, Tensor]:
        """The least and the greatest number of each place of a row, int64 [W], which no change of dtype rounds.

        Numbers beyond those of a place without levels are left to its conditioner.
        """
        lowest, highest = torch.full((self.width,), -FAR), torch.full((self.width,), FAR)
        for array in (part.spec.array for part in self.conditioners):
            if array.levels is not None:
                places = slice(self.places[array.name], self.places[array.name] + array.size)
                lowest[places], highest[places] = 0, array.levels - 1
        return {"lowest": lowest, "highest": highest}

    @property
    def beside(self) -> int:
        """The number of entries of the arrays beside an image, the last part of a row."""
        return sum(spec.size for spec in self.image.context)

    def by_name(self, beside: Tensor | None) -> dict[str, Tensor]:
        """The arrays beside some images, [B, D], by name, [B, *shape] each: int64 if they have levels."""
        found: dict[str, Tensor] = {}
        for spec, flat in zip(
            self.image.context,
            () if beside is None else beside.split([spec.size for spec in self.image.context], 1),
            strict=beside is not None,
        ):
            own = flat if spec.levels is None else flat.long()
            found[spec.name] = own.unflatten(1, spec.shape) if spec.shape else own[:, 0]
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the conditions, each once: "label", and those of arrays."""
        return tuple(dict.fromkeys(part.spec.array.name for part in self.conditioners))

    @property
    def guidable(self) -> bool:
        """Whether any condition may be hidden."""
        return any(self.dropouts)

    @property
    def hideable(self) -> tuple[str, ...]:
        """The names of the conditions that may be hidden."""
        may = {name for name, dropout in zip(self._named(), self.dropouts, strict=True) if dropout}
        return tuple(name for name in self.names if name in may)

    def hiding(self, names: Iterable[str]) -> Callable[[Tensor], Tensor]:
        """A function that hides the conditions of these names in rows, [n, W] to the same."""
        chosen = set(names)
        where = torch.tensor([[name in chosen for name in self._named()]])
        return lambda rows: self.hidden(rows, where.to(rows.device))

    def with_values(self, rows: Tensor, name: str, values: Tensor) -> Tensor:
        """Each of the rows, [m, W], with each of the values of one condition, [n, *shape]: [m * n, W].

        Raises:
            DataError: for values of another shape or out of range.
        """
        spec = next(part.spec.array for part in self.conditioners if part.spec.array.name == name)
        flat = flat_rows(spec, values, len(values))
        found, start = rows.cpu().repeat_interleave(len(flat), 0), self.places[name]
        found[:, start : start + spec.size] = flat.repeat(len(rows), 1)
        found[:, : len(self.dropouts)] += torch.tensor([each == name for each in self._named()]).float()
        found[:, : len(self.dropouts)].clamp_(max=1)
        return found

    def forward(self, context: Tensor) -> Tensor:
        """[B, W] to [B, maps, h, w]."""
        found = []
        for number, part in enumerate(self.conditioners):
            maps = part(self._of(part, context))
            if self.dropouts[number]:
                shown = context[:, number, None, None, None] > 0.5
                maps = torch.where(shown, maps, self.missing[str(number)][:, None, None])
            found.append(maps.expand(-1, -1, *self.grid))
        return torch.cat(found, 1)

    def _of(self, part: ArrayConditioner, rows: Tensor) -> Tensor:
        """The part of the rows for one conditioner, [B, *shape]."""
        array = part.spec.array
        start = self.places[array.name]
        given = rows[:, start : start + array.size].unflatten(1, array.shape) if array.shape else rows[:, start]
        return given.type_as(self.reference) if array.levels is None else given.long()

    def example(self, batch: int) -> Tensor:
        """An example of each condition, all visible."""
        row = torch.zeros(batch, self.width, device=self.reference.device)
        row[:, : len(self.dropouts)] = 1
        for part in self.conditioners:
            array = part.spec.array
            start = self.places[array.name]
            row[:, start : start + array.size] = part.example(batch).reshape(batch, array.size).to(row)
        return row

    def check(self, context: Tensor) -> None:
        """Require floating point [B, W] with values that the conditioners accept."""
        if not context.is_floating_point() or tuple(context.shape[1:]) != (self.width,):
            raise UsageError(
                "these are not rows of the model's conditions",
                found=f"{context.dtype} {tuple(context.shape)}",
                expected=f"arrays by name: {', '.join(self.names)}",
            )
        # A training step's rows come from the data: on a device, checking their values would wait for it.
        if (self.training and torch.is_grad_enabled() and context.device.type != "cpu") or not has_values(context):
            return
        within = bool(((context >= self.lowest) & (context <= self.highest)).all())  # nan is not
        for part in self.conditioners:
            if not within or type(part).check is not ArrayConditioner.check:
                part.check(self._of(part, context))

    def rows(self, labels: Tensor | None, beside: Tensor | None) -> Tensor:
        """The rows of images with these labels, int64 [B], and arrays beside them, [B, D]; all visible.

        Raises:
            UsageError: if a condition is missing.
        """
        lacked = [name for name in self.names if (labels if name == LABEL else beside) is None]
        if lacked:
            raise _lacking(lacked)
        known = next(each for each in (beside, labels) if each is not None)
        row = torch.ones(len(known), self.width, device=known.device)
        first = len(self.dropouts)
        if self.label and labels is not None:
            row[:, first] = labels
            first += 1
        if beside is not None:
            row[:, first:] = beside
        return row

    def hidden(self, rows: Tensor, where: Tensor | None = None) -> Tensor:
        """Hide the conditions marked in `where`, bool [B, P], or all, as far as they may be hidden."""
        count, may = len(self.dropouts), self.chances.to(rows.device) > 0
        return torch.cat([rows[:, :count] * ~(may if where is None else may & where), rows[:, count:]], 1)

    def known(self, labels: Tensor | None, beside: Tensor | None) -> Tensor:
        """`rows`, in which what is not known of an image is hidden: arrays with a NaN, and a label K of K classes.

        Raises:
            UsageError: if a condition is missing, or unknown and may not be hidden.
        """
        rows = self.rows(labels, beside)
        if self.label is not None:
            label = rows[:, self.places[LABEL]]
            label.masked_fill_(label.eq(self.label.levels or 0), math.nan)
        spans = [(self.places[part.spec.array.name], part.spec.array.size) for part in self.conditioners]
        unknown = torch.stack([rows[:, start : start + size].isnan().any(1) for start, size in spans], 1)
        if not all(self.dropouts):
            missing = (unknown.any(0) & (self.chances.to(rows.device) == 0)).tolist()
            if lacked := [name for name, lacks in zip(self._named(), missing, strict=True) if lacks]:
                raise _lacking(lacked)
        return self.hidden(rows, unknown).nan_to_num()

    def dropped(self, rows: Tensor) -> Tensor:
        """Hide conditions at random with their dropout probabilities, from torch's generator."""
        if not self.guidable:
            return rows
        drawn = torch.rand(len(rows), len(self.dropouts), device=rows.device)
        return self.hidden(rows, drawn < self.chances.to(rows.device))

    def given(self, arrays: Mapping[str, Any], count: int, x: Tensor | None = None) -> Tensor:
        """The rows of `count` images from arrays by name; an array for one image serves all.

        A missing array is hidden if it may be. A smaller version of the image itself is computed from the images x, if
        given.

        Raises:
            UsageError: for arrays that are missing, unknown, or of another number of images.
            DataError: for another shape, or values out of range.
        """
        names = [*self.names, *(spec.name for spec in self.image.context if spec.name not in self.names)]
        if unknown := [name for name in arrays if name not in names]:
            raise UsageError(
                "the model has no such condition",
                where="context",
                found=", ".join(map(str, unknown)),
                expected=", ".join(self.names),
                hint=nearest(unknown[0], self.names),
            )
        found, there = [], set()
        for spec in ([self.label] if self.label else []) + list(self.image.context):
            values = arrays.get(spec.name)
            if values is None and x is not None and spec.shrink is not None:
                values = shrunk(x, spec.shrink, spec.by)
            if values is not None:
                there.add(spec.name)
            found.append(torch.zeros(count, spec.size) if values is None else flat_rows(spec, values, count))
        shown = torch.tensor([[part.spec.array.name in there for part in self.conditioners]]).float()
        if lacked := [name for n, name in enumerate(self._named()) if not self.dropouts[n] and name not in there]:
            raise _lacking(lacked)
        return torch.cat([shown.expand(count, -1), *(each.cpu() for each in found)], 1)

    def _named(self) -> list[str]:
        return [part.spec.array.name for part in self.conditioners]


def _lacking(names: Sequence[str]) -> UsageError:
    return UsageError(
        "these images lack a condition of the model",
        where="context",
        found=f"no {' and no '.join(names)}",
        expected="images of the run's data, or arrays by name",
        hint=f"--given {names[0]}=FILE or test:5, of pixkit sample, complete and score; "
        f"model.log_prob(x, {{'{names[0]}': array}}) and context={{'{names[0]}': array}} in Python",
    )
