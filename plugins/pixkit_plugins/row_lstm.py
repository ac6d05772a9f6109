"""The Row LSTM (van den Oord, Kalchbrenner and Kavukcuoglu, 2016, arXiv 1601.06759, section 3.1)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

import pixkit
from pixkit_plugins.recurrent import Gates, PixelRNN

pixkit_api_version = 1


class RowLSTM(PixelRNN):
    """LSTMs that compute a row at a time from the row above, 12 layers of h = 128 in the paper.

    Input-to-state is a 1 x k convolution, type B, of all rows at once; state-to-state one without a mask, of the row
    above, all of which is drawn, in all colours. A pass takes H steps per layer.

    The receptive field is a triangle that opens upwards and widens by p = k // 2 a row. With L layers the pixel (r, c)
    sees, m >= 1 rows above, columns c - (m + L) p - 3 .. c + (m - 1) p + 3, and in its own row c - L p - 3 .. c - 1.
    """

    class Config(PixelRNN.Config):
        """Sizes and options."""

        kernel: Literal[3, 5, 7] = 3
        """k of both 1 x k convolutions."""

    config: Config

    def lstm(self) -> nn.Module:
        """See PixelRNN."""
        return Layer(self.config, self.scan)


class Layer(nn.Module):
    """Both halves of a layer: [B, 2h, H, W], and the context or None, to [B, h, H, W]."""

    def __init__(self, config: RowLSTM.Config, scan: pixkit.BackboneSpec) -> None:
        super().__init__()
        self.gates = Gates(config.units, config.kernel, scan)
        self.recurrence = pixkit.layers.RowLSTM(config.units, scan.ordering, config.kernel)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """The gates of all sites, then row by row."""
        return self.recurrence(self.gates(x, context))


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    """Register the backbone."""
    registry.add("backbone", "row_lstm", RowLSTM)
