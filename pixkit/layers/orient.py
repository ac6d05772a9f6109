"""Turning images, so that layers written for one scan serve its symmetries."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixkit.layers.base import MixingLayer
from pixkit.layers.geometry import Grid


@dataclass(frozen=True)
class Turn:
    """A symmetry of the rectangle: transpose, then the flips, of the last two axes.

    With `first_flip` the flips come before the transposition, so that a turn's inverse is a turn.

    Example:
        >>> x = torch.arange(6).view(2, 3)
        >>> turn = Turn(transpose=True, flip_vertical=True)
        >>> turn(x)
        tensor([[2, 5],
                [1, 4],
                [0, 3]])
        >>> torch.equal(turn.inverse(turn(x)), x)
        True
    """

    transpose: bool = False
    flip_vertical: bool = False
    flip_horizontal: bool = False
    first_flip: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """[..., h, w] to [..., h, w], or [..., w, h] if transposed."""
        axes = [-2] * self.flip_vertical + [-1] * self.flip_horizontal
        if axes and self.first_flip:
            x = x.flip(axes)
        if self.transpose:
            x = x.transpose(-1, -2)
        return x.flip(axes) if axes and not self.first_flip else x

    @property
    def inverse(self) -> Turn:
        """The turn that undoes this one."""
        return Turn(self.transpose, self.flip_vertical, self.flip_horizontal, not self.first_flip)

    @property
    def trivial(self) -> bool:
        """Whether it is the identity."""
        return not (self.transpose or self.flip_vertical or self.flip_horizontal)


class Reorient(MixingLayer):
    """Turn an image: [B, M, h, w] to the same, or to [B, M, w, h].

    Example:
        >>> layer = Reorient(Turn(transpose=True))
        >>> layer(torch.zeros(2, 8, 4, 6)).shape
        torch.Size([2, 8, 6, 4])
    """

    def __init__(self, turn: Turn) -> None:
        super().__init__()
        self.turn = turn

    def forward(self, x: Tensor) -> Tensor:
        """Turn the image."""
        return self.turn(x)

    def sources(self, grid: Grid) -> Tensor:
        """The flat site of an input of this height and width that each output site reads, int64 [S]."""
        return self.turn(torch.arange(grid[0] * grid[1]).view(grid)).flatten()

    def ready(self, *inputs: Tensor) -> Tensor:
        """Turned with the image."""
        return self.turn(inputs[0])

    def reads(self, units: Tensor, grids: list[Grid]) -> list[Tensor]:
        """Turned back."""
        return [self.turn.inverse(units)]

    def init_state(self, batch: int, grids: list[Grid], device: torch.device | None = None) -> Tensor:
        """See `sources`."""
        return self.sources(grids[0]).to(device)

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: Tensor) -> Tensor:
        """Look up."""
        return inputs[0][:, state[sites], group::groups]
