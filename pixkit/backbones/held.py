"""Checks that a backbone or a conditioner, which may be a plugin's, keeps its promise: features, or maps, of images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pixkit.backbones.arrays import ArrayConditioner
from pixkit.backbones.base import Backbone
from pixkit.components.faults import Blamed, require_registered
from pixkit.components.spec import ComponentSpec
from pixkit.errors import PluginError

_FORWARD = "forward(x), or forward(x, context) of a class that says `conditional`, to features [B, width, H, W]"


def features_of(backbone: Backbone, encoded: Tensor, context: tuple[Tensor, ...]) -> Tensor:
    """The features of some images, [B, width, H, W], once checked against the backbone's promise.

    Args:
        backbone: in evaluation mode.
        encoded: pixels, [B, inputs, H, W].
        context: the backbone's context, or nothing.

    Raises:
        PluginError: if they break a rule; names the backbone and the rule.
    """
    blamed = Blamed.of("backbone", backbone)
    require_registered(backbone, blamed)
    with blamed.at(f"at images {list(encoded.shape)}", _FORWARD):
        features = backbone(encoded, *context)
    expected = (len(encoded), backbone.width, *encoded.shape[2:])
    found = tuple(features.shape) if isinstance(features, Tensor) else None
    if found != expected:
        raise _misshapen(blamed, features, expected)
    for what, one, other, hint in (
        ("type", features.dtype, encoded.dtype, "keep the type of forward's input: no .long(), no .double()"),
        ("device", features.device, encoded.device, "move nothing in forward"),
    ):
        if one != other:
            raise blamed.error(f"gives features of another {what} than its input", str(one), str(other), hint)
    if not features.isfinite().all() and all(each.isfinite().all() for each in backbone.parameters()):
        raise blamed.error("gives features that are not finite", "nan or inf, of finite weights", "finite numbers")
    out: Tensor = features
    return out


def _misshapen(blamed: Blamed, features: Any, expected: tuple[int, ...]) -> Exception:
    """The error for features of another shape, or for a result that is not features."""
    batch, width, height, columns = expected
    rule, asked = "does not give features of the images", f"[{batch}, width, {height}, {columns}], width being {width}"
    if not isinstance(features, Tensor):
        if features is None:
            return blamed.error(rule, "None", asked, "return the features at the end of forward")
        return blamed.error(rule, f"a {type(features).__name__}", asked, "return only the features, one tensor")
    shape = tuple(features.shape)
    found = f"features {list(shape)} of {batch} images"
    if len(shape) == 4 and shape[2:] == expected[2:] and shape[0] == batch:
        hint = f"self.width = {shape[1]}, or a last layer of {width} maps"
        return blamed.error(f"gives {shape[1]} maps, its width says {width}", found, asked, hint)
    hint = "keep rows and columns: features are [B, maps, H, W] throughout"
    if shape == (batch, height, columns, width):
        hint = "features.permute(0, 3, 1, 2), as maps come before rows and columns"
    elif shape and shape[0] != batch:
        hint = "keep the first axis, of images, whatever its length: no squeeze(), no view(1, ...)"
    elif len(shape) == 4:
        hint = "keep the size of the images: a convolution of side k is padded by k // 2"
    return blamed.error(rule, found, asked, hint)


def require_maps(component: ComponentSpec, part: nn.Module) -> None:
    """Raise PluginError unless a conditioner says how many maps it gives."""
    if not isinstance(maps := getattr(part, "maps", None), int):
        raise PluginError(
            f"{component.entry} does not say how many maps it gives",
            where=component.entry.distribution,
            found=f"maps = {maps!r}",
            expected="a number, set by the constructor",
        )


@torch.no_grad()
def grid_of(component: ComponentSpec, part: ArrayConditioner) -> tuple[int, int]:
    """The grid of a conditioner's maps, (1, 1) or (H, W).

    Raises:
        PluginError: if it does not return its number of maps, of such a grid.
    """
    maps, grid = part(part.example(2)), part.spec.grid
    if maps.shape[:2] != (2, part.maps) or tuple(maps.shape[2:]) not in ((1, 1), grid):
        raise PluginError(
            f"{component.entry} does not return maps for the images",
            where=component.entry.distribution,
            found=f"{tuple(maps.shape)} of two images",
            expected=f"(2, {part.maps}, 1, 1) or (2, {part.maps}, {grid[0]}, {grid[1]})",
        )
    height, width = maps.shape[2:]
    return height, width
