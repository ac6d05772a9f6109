"""The roles of the axes of an array of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

from pixkit.data.fitting import OtherSize
from pixkit.errors import DataError
from pixkit.image import ImageSpec

AXES = {"NHWC": (0, 3, 1, 2), "NCHW": (0, 1, 2, 3), "NHW": (0, 1, 2), "NCWH": (0, 1, 3, 2), "NWH": (0, 2, 1)}
"""For each layout, its axes in the order N, C, H, W."""
CHANNELS = (1, 3, 4)
"""Lengths by which an axis is recognised as the channels' if no layout is given."""
Order: TypeAlias = tuple[int | None, int | None, int, int]
"""The axes of an array in the order N, C, H, W; None for an axis that it does not have."""
TWO_WAYS = "the array can be read in two ways"
VOLUMES = "from volumes, read a slice of each, for example x[:, 14]"


class OtherLayout(DataError):
    """An array with another number of axes than its layout, or without values."""


def unflattened(shape: tuple[int, ...], one: Sequence[int], where: str) -> tuple[int, ...]:
    """Unflatten an array [N, ...] with flat images to [N, *one]; other shapes are returned as they are."""
    if len(shape) < 2 or math.prod(shape[1:]) != math.prod(one):
        raise DataError(
            "the number of values of an image does not match its shape",
            where=where,
            found=str(shape),
            expected=f"{math.prod(one)} an image: {' x '.join(map(str, one))}",
            hint="data.shape is that of one image, in the order of data.layout",
        )
    return shape[0], *one


def axes_of(shape: tuple[int, ...], layout: str, where: str, *, column_major: bool = False) -> tuple[int, ...]:
    """The axes of an array of this shape in the order N, C, H, W, or N, H, W; `column_major` as in Stored.

    Raises:
        DataError: if its shape does not fit the layout or, under `auto`, could be read in two ways, or in none.
    """
    if column_major and layout == "auto" and len(shape) in (3, 4):
        raise _either_order(shape, where)
    name = _layout(shape, where) if layout == "auto" else layout
    axes = AXES[name]
    if len(shape) != len(axes) or 0 in shape:
        flat = len(shape) == 2 and 0 not in shape
        raise OtherLayout(
            "the array's shape does not fit the layout",
            where=where,
            found=str(shape),
            expected=f"{name}, {len(axes)} non-empty axes",
            hint="data.shape=[3, 32, 32] gives an image's shape"
            if flat
            else "data.layout is NHWC, NCHW, NCWH, NHW or NWH",
        )
    return axes


def as_images(array: NDArray[Any], axes: Sequence[int]) -> NDArray[Any]:
    """A view [N, C, H, W] of an array with these axes."""
    view = array.transpose(axes)
    return view if len(axes) == 4 else view[:, None]


def as_array(images: NDArray[Any], axes: Sequence[int]) -> NDArray[Any]:
    """The inverse of `as_images`: a view of images [N, C, H, W] with these axes."""
    view = images if len(axes) == 4 else images[:, 0]
    return view.transpose([list(axes).index(axis) for axis in range(len(axes))])


def orders_of(shape: tuple[int, ...], spec: ImageSpec, where: str) -> list[Order]:
    """The axis orders in which an array of this shape has one image of `spec`, or several.

    Raises:
        DataError: if there are none.
    """
    channels, height, width = spec.shape
    if 0 in shape:
        raise DataError("an array without an image", where=where, found=str(shape), expected=_expected(spec))
    first, last, grey = spec.shape, (height, width, channels), channels == 1
    fits = {
        (None, None, 0, 1): grey and shape == (height, width),
        (0, None, 1, 2): grey and len(shape) == 3 and shape[1:] == (height, width),
        (None, 0, 1, 2): shape == first,
        (None, 2, 0, 1): shape == last,
        (0, 1, 2, 3): len(shape) == 4 and shape[1:] == first,
        (0, 3, 1, 2): len(shape) == 4 and shape[1:] == last,
    }
    if not (found := [order for order, fit in fits.items() if fit]):
        what = "the array's shape does not fit the model's images"
        raise OtherSize(what, where=where, found=str(shape), expected=_expected(spec))
    return found


def oriented(array: NDArray[Any], orders: Sequence[Order], spec: ImageSpec, where: str) -> NDArray[Any]:
    """The images of an array, or of a part of it, [n, C, H, W], by its possible axis orders.

    Raises:
        DataError: if these give different images.
    """
    found = [_ordered(array, order) for order in orders]
    if any((each != found[0]).any() for each in found[1:]):
        raise DataError(TWO_WAYS, where=where, found=str(array.shape), expected=_expected(spec))
    return found[0]


def _ordered(array: NDArray[Any], order: Order) -> NDArray[Any]:
    view = array.transpose([axis for axis in order if axis is not None])
    return view[tuple(None if axis is None else slice(None) for axis in order)]


def _expected(spec: ImageSpec) -> str:
    channels, height, width = spec.shape
    return f"({channels}, {height}, {width}), or several of these; channels may come last"


def size_in(shape: tuple[int, ...], channels: int, where: str) -> tuple[int, int]:
    """Height and width of the images of an array, one [C, H, W] or several, with channels first, last or absent.

    Raises:
        DataError: if it can have no such images, or images of two sizes.
    """
    one = shape[-3:] if len(shape) in (3, 4) else ()
    found = {one[1:]} if one[:1] == (channels,) else set()
    found |= {one[:2]} if one[2:] == (channels,) else set()
    found |= {shape[-2:]} if channels == 1 and len(shape) in (2, 3) else set()
    if len(found) != 1:
        expected = f"({channels}, height, width), or several of these; channels may come last"
        what = TWO_WAYS if found else "the array contains no images for this model"
        raise DataError(what, where=where, found=str(shape), expected=expected)
    ((height, width),) = found
    return height, width


def _either_order(shape: tuple[int, ...], where: str) -> DataError:
    """The error for MATLAB's axes, which may be in MATLAB's order, or permuted for other readers of its files."""
    usual, permuted, named = "NWH", "NHW", "height x width x number"
    if len(shape) == 4:
        usual, permuted, named = "NCWH", "NCHW", "height x width x channels x number"
    return DataError(
        "MATLAB stores an array's axes in the reverse of its own order, so pictures may be transposed",
        where=where,
        found=f"{shape}, in MATLAB {'x'.join(map(str, shape[::-1]))}",
        expected="an explicit layout: the order of the axes in the file",
        hint=f"data.layout={usual} if it is {named} in MATLAB, {permuted} if it was permuted for other readers; "
        "permute(x, [2:ndims(x) 1]) in MATLAB where the number comes first",
    )


def _layout(shape: tuple[int, ...], where: str) -> str:
    """The only possible layout."""
    if len(shape) != 4 or 0 in shape:
        return "NHW"
    first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
    if first == last:
        raise DataError(
            "the array can be read in two ways" if first else "no axis of the array has a possible number of channels",
            where=where,
            found=f"{shape}: {_reading(shape, 'NHWC')}; {_reading(shape, 'NCHW')}",
            expected="1, 3 or 4 channels, as the second axis or as the last, not both",
            hint="data.layout=NHWC or data.layout=NCHW decides" + ("" if first else f"; {VOLUMES}"),
        )
    return "NCHW" if first else "NHWC"


def _reading(shape: tuple[int, ...], layout: str) -> str:
    """Describe the images of an array of four axes under a layout."""
    channels, height, width = (shape[axis] for axis in AXES[layout][1:])
    return f"{layout} has {channels} {'channel' if channels == 1 else 'channels'} of {height}x{width}"
