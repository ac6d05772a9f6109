"""Resampled images: interpolation to another size, and sampling on a grid."""

from collections.abc import Callable

import torch
from torch import Tensor

from pixkit.readiness.elements.rules import codes
from pixkit.readiness.elements.rules.codes import NOTHING, Code, Given
from pixkit.readiness.elements.rules.contraction import contract
from pixkit.readiness.elements.rules.moves import run


def weighed(linear: Callable[[Tensor], Tensor], size: int, like: Tensor) -> Code:
    """Which of `size` elements a linear function reads, tested one by one: 0 or NOTHING, [size, results]."""
    found = linear(torch.eye(size, dtype=like.dtype, device=like.device))
    return torch.where(found != 0, 0, NOTHING)


def _interpolated(given: Given) -> Code:
    """Along one axis after another, each with weights that depend only on the two sizes."""
    name = "self" if "self" in given else "input"
    code, image = given.code(name), given[name].value
    like = image if image.dtype is torch.float64 else image.float()
    for axis in range(2, code.dim()):
        size, sizes = image.shape[axis], image.shape[2:]

        def alone(basis: Tensor, axis: int = axis, size: int = size, sizes: torch.Size = sizes) -> Tensor:
            lines = basis.view(size, 1, *[size if d == axis else 1 for d in range(2, 2 + len(sizes))])
            (out,) = run(given, {**given.arguments, name: lines.expand(size, 1, *sizes).contiguous()})
            return out.movedim(axis, 1).flatten(2)[..., 0]

        code = contract(code.movedim(axis, -1), weighed(alone, size, like).clamp_min(given.nothing)).movedim(-1, axis)
    return code


def _grid_sampled(given: Given) -> Code:
    """Each position reads the pixels around its coordinates, or the whole image if these are not fixed."""
    image, grid = given.code("input"), given["grid"]
    batch, channels = image.shape[:2]
    pixels, places = image.shape[2:].numel(), grid.shape[1:-1]
    told = codes.latest(codes.of(grid), [-1])[..., 0][:, None]
    if not grid.all_fixed:
        return codes.join(codes.latest(image, range(2, image.dim())), told)
    parts = []
    for n in range(batch):

        def alone(basis: Tensor, n: int = n) -> Tensor:
            basis = basis.view(1, pixels, *image.shape[2:])
            (out,) = run(given, {**given.arguments, "input": basis, "grid": grid.value[n : n + 1].to(basis.dtype)})
            return out[0].flatten(1)

        parts.append(contract(image[n].flatten(1), weighed(alone, pixels, grid.value)).view(channels, *places))
    return torch.stack(parts)


def _affine_grid(given: Given) -> Code:
    """Each coordinate of a position reads its row of the matrix."""
    theta = codes.latest(given.code("theta"), [-1])[..., 0]
    return theta.view(theta.shape[0], *[1] * (len(given["size"]) - 2), theta.shape[1])


INTERPOLATIONS = (
    *("upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d"),
    *("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_upsample_lanczos2d_aa"),
)
RULES = codes.table(
    {
        **dict.fromkeys(INTERPOLATIONS, _interpolated),
        **dict.fromkeys(("grid_sampler_2d", "grid_sampler_3d"), _grid_sampled),
        "affine_grid_generator": _affine_grid,
    }
)
