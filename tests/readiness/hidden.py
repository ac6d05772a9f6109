"""Backbones whose leak hides from the graph: it goes through memory that is written in place and read again."""

import torch
import torch.nn.functional as F
from leaks import Base
from torch import nn

from pixkit.layers.base import PointwiseLayer


def mean(h):
    return h.mean((0, 2, 3), keepdim=True)


class Statistic(Base):
    """A buffer for what is written."""

    def plant(self, spec):
        self.register_buffer("stat", torch.zeros(1, 6, 1, 1))


class BufferWritten(Statistic):
    def wrong(self, h):
        self.stat.copy_(mean(h))
        return h + self.stat


class BufferAveraged(Statistic):
    def wrong(self, h):
        self.stat.mul_(0.0).add_(mean(h))
        return h - self.stat


class BufferAsOut(Statistic):
    def wrong(self, h):
        torch.mean(h, (0, 2, 3), keepdim=True, out=self.stat)
        return h * self.stat


class BufferByItem(Statistic):
    def wrong(self, h):
        self.stat[:] = mean(h)
        return h + self.stat


class BufferByData(Statistic):
    def wrong(self, h):
        self.stat.view(-1).data.add_(mean(h).view(-1))
        return h + self.stat


class ParameterWritten(Base):
    def plant(self, spec):
        self.stat = nn.Parameter(torch.zeros(1, 6, 1, 1))

    def wrong(self, h):
        self.stat.data.copy_(mean(h))
        return h + self.stat


class AttributeWritten(Base):
    def plant(self, spec):
        self.stat = torch.zeros(1, 6, 1, 1, dtype=torch.float64)

    def wrong(self, h):
        self.stat.copy_(mean(h))
        return h + self.stat


class ConstantWritten(Base):
    def plant(self, spec):
        pass

    def wrong(self, h):
        total = torch.zeros(1, 6, 1, 1, dtype=torch.float64)
        total.add_(mean(h))
        return h + total


class Unmarked(Base):
    """Writes that torch does not count."""

    def plant(self, spec):
        pass


class SiteByData(Unmarked):
    def wrong(self, h):
        h.data[:, :, 0, 0].add_(h[:, :, 2, 3])
        return h


class OutByData(Unmarked):
    def wrong(self, h):
        y = h * 1
        torch.mul(h.flip(3), 1, out=y.data)
        return y


class DetachedAsOut(Unmarked):
    def wrong(self, h):
        y = h * 1
        torch.sum(h.flip(2), (0,), out=y.detach()[0])
        return y


class Activated(Unmarked):
    """A write that torch counts, but not for the value that is read again."""

    def wrong(self, h):
        y = h * 1
        return F.relu(y.data, inplace=True).amax((2, 3), keepdim=True) + y


class Keeping(PointwiseLayer):
    """Writes a buffer of another module."""

    def __init__(self, owner):
        super().__init__()
        self.owner = [owner]

    def forward(self, x):
        self.owner[0].stat.data.copy_(mean(x))
        return x * 1


class WrittenInside(Statistic):
    def plant(self, spec):
        super().plant(spec)
        self.keep = Keeping(self)

    def wrong(self, h):
        return self.keep(h) + self.stat


class WrittenForLater(WrittenInside):
    """What the next call reads is written last."""

    def wrong(self, h):
        return self.keep(h + self.stat)


WRITES = [
    (BufferWritten, "copy_", "backbone.stat"),
    (BufferAveraged, "add_", "backbone.stat"),
    (BufferAsOut, "mean", "backbone.stat"),
    (BufferByItem, "__setitem__", "backbone.stat"),
    (BufferByData, "add_", "_tensor_constant0"),
    (ParameterWritten, "copy_", "backbone.stat"),
    (AttributeWritten, "copy_", "backbone.stat"),
    (ConstantWritten, "add_", "_tensor_constant0"),
    (SiteByData, "add_", "elu"),
    (OutByData, "mul", "mul"),
    (DetachedAsOut, "sum", "mul"),
    (Activated, "relu", "mul"),
    (WrittenInside, "", "backbone"),
    (WrittenForLater, "forward", "backbone.stat"),
]
"""Values written in place and read again; what writes, and whose value it is."""
