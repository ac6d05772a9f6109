"""What a mixing layer is."""

from __future__ import annotations

from torch import nn


class MixingLayer(nn.Module):
    """Base of the layers that read other sites or colours than they write.

    Its `forward` works on whole images, [B, M, H, W]. Map m of a feature tensor belongs to the
    ordering's colour group m % G.
    """
