"""The Diagonal BiLSTM (van den Oord, Kalchbrenner and Kavukcuoglu, 2016, arXiv 1601.06759, section 3.2)."""

from __future__ import annotations

from torch import Tensor, nn

import pixkit
from pixkit.layers import DiagonalLSTM, Shift
from pixkit_plugins.recurrent import Gates, PixelRNN

pixkit_api_version = 1


class DiagonalBiLSTM(PixelRNN):
    """LSTMs that compute a diagonal at a time from the last one, from both upper corners; h = 16, 7 layers for MNIST.

    Input-to-state is a 1 x 1 convolution, type B; state-to-state reads the site above and the site beside: to the left,
    or, from the other corner, to the right. The latter half is moved down one row before the two are added, so that it
    sees only rows above. A pass takes H + W - 1 steps per layer and direction.

    The receptive field of one layer is every earlier pixel but one: (r, c) does not see (r - 1, W - 1) if c < W - 4.
    The half from the right reads that site's features, which the 7x7 layer of type A has kept from their own pixel, and
    the 7x7 kernel around (r, c) reaches three columns. The paper's wiring has the same gap, with any number of layers;
    under sequential colours only that pixel's last colour is missing, since features of its site see the others.
    """

    class Config(PixelRNN.Config):
        """Sizes and options."""

    config: Config

    def lstm(self) -> nn.Module:
        """See PixelRNN."""
        return Layer(self.config, self.scan)


class Layer(nn.Module):
    """Both directions of a layer: [B, 2h, H, W], and the context or None, to [B, h, H, W]."""

    def __init__(self, config: DiagonalBiLSTM.Config, scan: pixkit.BackboneSpec) -> None:
        super().__init__()
        self.left_gates = Gates(config.units, 1, scan)
        self.left = DiagonalLSTM(config.units, scan.ordering)
        self.right_gates = Gates(config.units, 1, scan)
        self.right = DiagonalLSTM(config.units, scan.ordering, mirrored=True)
        self.down = Shift(1, 0)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Diagonal by diagonal, one direction after the other."""
        left = self.left(self.left_gates(x, context))
        return left + self.down(self.right(self.right_gates(x, context)))


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    """Register the backbone."""
    registry.add("backbone", "diagonal_bilstm", DiagonalBiLSTM)
