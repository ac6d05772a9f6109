"""Shared by the Row LSTM and the Diagonal BiLSTM (van den Oord et al., 2016, arXiv 1601.06759)."""

from __future__ import annotations

import itertools
from abc import abstractmethod

from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import pixkit
from pixkit.backbones import OrientedBackbone, check_multiple
from pixkit.components import InitialiserRef
from pixkit.layers import MaskedConv2d, Pointwise, initialise
from pixkit.orderings import MASKS

FORGET = 1
"""The quarter of the gates' maps that is the forget gate, in the order o, f, i, g."""


class PixelRNN(OrientedBackbone):
    """A 7x7 type A layer; residual LSTM layers, x + (1x1 B: h -> 2h)(LSTM: 2h -> h)(x); output layers of (ReLU, 1x1 B).

    A context enters every LSTM layer: a separate 1x1 map of it for each direction is added to the gates' input-to-state
    half. The paper has no conditional networks; gated PixelCNNs do the same (arXiv 1606.05328, equation 4).

    The paper leaves open the initial weights and the forget gates' biases (`init`, `forget_bias`), and, as for the
    PixelCNN, whether the second 1x1 layer is the softmax's projection; here the projection is the head's own, one
    additional layer.
    """

    conditional = True

    class Config(pixkit.ComponentConfig):
        """Sizes and options."""

        units: int = Field(default=16, ge=1, le=2048)
        """Units of each LSTM layer, the paper's h; the residual stream has 2h maps."""
        layers: int = Field(default=7, ge=1, le=200)
        """Number of LSTM layers."""
        skip: bool = False
        """Add a 1x1 map of each layer's states to the input of the output layers (section 3.3)."""
        output_layers: int = Field(default=2, ge=0, le=16)
        """Layers of (ReLU, 1x1 type B) after the LSTMs."""
        output_width: int | None = Field(default=None, ge=1, le=8192)
        """Maps of these layers; 2h by default (the paper: 32 for MNIST, 1024 for CIFAR-10)."""
        forget_bias: float = Field(default=1.0, ge=-10, le=10)
        """Initial value of the forget gates' biases."""
        init: InitialiserRef = Field(default="he_normal", validate_default=True)
        """Initialiser of the masked layers."""
        checkpointing: bool = False
        """Recompute each LSTM layer for the gradients instead of keeping its activations: less memory, more time."""

    config: Config

    def __init__(self, config: Config, spec: pixkit.BackboneSpec) -> None:
        super().__init__(config, spec)
        ordering, stream = self.scan.ordering, 2 * config.units
        sizes = [stream] + [config.output_width or stream] * config.output_layers
        self.width = sizes[-1]
        for key, maps in (("units", config.units), ("output_width", self.width)):
            check_multiple(key, maps, ordering.groups, "the number of colour groups", config)
        self.stem = MaskedConv2d(spec.inputs, stream, 7, "A", ordering)
        self.lstms = nn.ModuleList(self.lstm() for _ in range(config.layers))
        self.ups = nn.ModuleList(Pointwise(config.units, stream, ordering) for _ in self.lstms)
        skips = config.layers if config.skip else 0
        self.skips = nn.ModuleList(Pointwise(config.units, stream, ordering, bias=False) for _ in range(skips))
        self.out = nn.Sequential()
        for before, after in itertools.pairwise(sizes):
            self.out.extend([nn.ReLU(), Pointwise(before, after, ordering)])
        self.out.append(nn.ReLU())
        initialise(self, config.init)
        for module in self.modules():
            if isinstance(module, Gates):
                module.remember(config.forget_bias)

    @abstractmethod
    def lstm(self) -> nn.Module:
        """A layer of LSTMs, called with [B, 2h, H, W] and the context (or None), giving [B, h, H, W]."""

    def features(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """[B, inputs, H, W], and the context if there is one, to [B, width, H, W], under the raster."""
        stream, states = self.stem(x), []
        for lstm, up in zip(self.lstms, self.ups, strict=True):
            if self.config.checkpointing and self.training:
                states.append(checkpoint(lstm, stream, context, use_reentrant=False))
            else:
                states.append(lstm(stream, context))
            stream = stream + up(states[-1])
        for skip, state in zip(self.skips, states, strict=False):
            stream = stream + skip(state)
        return self.out(stream)


class Gates(nn.Module):
    """The input-to-state half of the gates: [B, 2h, H, W], and the context or None, to [B, 4h, H, W].

    Args:
        units: h.
        kernel: side of the 1 x k masked convolution, type B.
        scan: the spec that the backbone is built for.
    """

    def __init__(self, units: int, kernel: int, scan: pixkit.BackboneSpec) -> None:
        super().__init__()
        self.units = units
        self.read = MaskedConv2d(2 * units, 4 * units, kernel, "B", scan.ordering, shape=MASKS["horizontal"]())
        self.condition = nn.Conv2d(scan.context, 4 * units, 1, bias=False) if scan.context else None

    def remember(self, bias: float) -> None:
        """Set the forget gates' biases."""
        assert self.read.bias is not None
        nn.init.constant_(self.read.bias[FORGET * self.units : (FORGET + 1) * self.units], bias)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """One convolution for all sites."""
        return self.read(x) if self.condition is None else self.read(x) + self.condition(context)
