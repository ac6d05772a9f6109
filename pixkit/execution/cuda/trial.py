"""The kernel's trial on a GPU: ``python -m pixkit.execution.cuda.trial float|double DEVICE FILE``.

Small networks with every kind of instruction draw images, which are compared with the networks' forward passes. The
file then holds "passed", or "failed: " and the reason; on a GPU that has clusters of blocks it also says whether the
kernel passed with these.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from pixkit.backbones.base import Backbone, BackboneSpec
from pixkit.backbones.encodings import InputConfig
from pixkit.errors import message
from pixkit.execution.cuda.driver import Kernel
from pixkit.execution.cuda.fused import CLUSTER
from pixkit.execution.cuda.kernels import ALONE, CLUSTERED, HOPPER, PASSED, untried
from pixkit.execution.cuda.nvrtc import NoKernel
from pixkit.execution.cuda.persistent import PersistentExecutor
from pixkit.execution.native.keep import places
from pixkit.execution.plan import Plan, make_plan
from pixkit.heads import HEADS
from pixkit.image import ImageSpec
from pixkit.layers import (
    AppendMaps,
    CausalAttention,
    ColourLayerNorm,
    ConcatenatedELU,
    Decimate,
    Lattice,
    MaskedConv2d,
    Maxout,
    Mosaic,
    Pointwise,
    RowLSTM,
    Shift,
    SiteLayerNorm,
    SiteRMSNorm,
)
from pixkit.layers.rearrange import Rearrange
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.orderings import ORDERINGS
from pixkit.orderings.base import Colours
from pixkit.readiness.trace import Trace

CASES: tuple[tuple[str, Colours, str, ImageSpec, int, int], ...] = (
    ("raster", "joint", "bernoulli", ImageSpec(1, 8, 9, 2), 24, 1),
    ("raster", "sequential", "softmax", ImageSpec(3, 6, 5, 64), 12, 5),
    ("checkerboard", "sequential", "softmax", ImageSpec(3, 12, 12, 5), 36, 3),
    ("row_at_once", "joint", "softmax", ImageSpec(1, 16, 16, 256), 160, 3),
    ("hilbert", "joint", "logistic_mixture", ImageSpec(3, 8, 8, 256), 48, 300),
    ("raster", "joint", "normal_mixture", ImageSpec(2, 5, 7, 16), 300, 2),
)
"""Ordering, colours, head, images, maps and batch size: few and many sites per step, lanes, and images per
processor."""


class TrialBackbone(Backbone):
    """One layer of every kind that the kernel has an instruction for."""

    def __init__(self, maps: int, spec: BackboneSpec) -> None:
        super().__init__(Backbone.Config(), spec)
        ordering, size = spec.ordering, spec.image
        self.width = maps
        self.stem = MaskedConv2d(spec.inputs, maps, 5, "A", ordering)
        self.body = MaskedConv2d(maps, 2 * maps, 3, "B", ordering)
        self.doubled, self.wide = ConcatenatedELU(), Pointwise(2 * maps, 2 * maps, ordering)
        self.norm, self.larger = ColourLayerNorm(maps, ordering.groups), Maxout()
        self.batch = nn.BatchNorm2d(maps)
        norms = [SiteLayerNorm(maps), SiteRMSNorm(maps)] if ordering.groups == 1 else []
        self.site_norms = nn.Sequential(*norms)
        values = torch.linspace(-1, 1, 6 * size.height * size.width).view(6, size.height, size.width)
        self.append, self.narrow = AppendMaps(values), Pointwise(maps + 6, maps, ordering)
        self.attend = CausalAttention(ordering, heads=2) if ordering.groups == 1 else None
        corners = [Lattice(row, column, 2) for row in (0, 1) for column in (0, 1)]
        self.corners = nn.ModuleList(Decimate([corner]) for corner in corners)
        self.mosaic = Mosaic(corners, (size.height, size.width))
        turned = torch.arange(maps * size.height * size.width).view(maps, -1).roll(ordering.groups, 0)
        turned[: maps // 2, -1] = -1
        self.turned = Rearrange([(maps, size.height, size.width)], turned, (size.height, size.width), turned / maps)
        rows = type(ordering).__name__ in ("Raster", "RowAtOnce")
        self.down = Shift(1, 0) if rows else None
        self.lstm = nn.Sequential(Pointwise(maps, 4 * maps, ordering), RowLSTM(maps, ordering)) if rows else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, maps, H, W]."""
        h = self.stem(x)
        a, b = self.body(nn.functional.elu(h)).chunk(2, 1)
        h = h + torch.tanh(a) * torch.sigmoid(b)
        h = h + self.norm(self.larger(self.wide(self.doubled(h))))
        if self.attend is not None:
            h = h + self.attend(self.site_norms(h), self.batch(h), torch.relu(h))
        if self.down is not None and self.lstm is not None:
            h = h + self.down(h) + self.lstm(h)
        h = h + self.mosaic(*(corner(h) for corner in self.corners))
        h = h + self.turned(h)
        return self.narrow(self.append(nn.functional.glu(torch.cat([h, -h], 1), 1) + nn.functional.gelu(h)))


class Untried(PersistentExecutor):
    """Runs a kernel that has not passed its trial yet, and continues whatever it draws."""

    loaded: Kernel
    parts: ClassVar[int] = 1

    def _kernel(self) -> Kernel:
        return self.loaded

    def _parts(self) -> int:
        return self.parts

    def walk_only(self, uniforms: Tensor) -> str | None:
        """Draw, and describe what is wrong, or None."""
        self._launch(uniforms, 1.0, None)
        return self._fault(uniforms, 1.0)


class InClusters(Untried):
    """The same in the largest clusters."""

    parts = CLUSTER


def networks() -> Iterator[tuple[Autoregressive, int]]:
    """The networks, on the CPU in float32, with random weights; and a batch size for each."""
    for name, colours, head, spec, maps, batch in CASES:
        torch.manual_seed(0)
        kind = ORDERINGS[name]
        ordering = kind(kind.Config(), spec, colours)
        encoding = InputConfig(type="embedded" if spec.levels < 100 else "scaled", size=4).build(spec)
        body = TrialBackbone(maps, BackboneSpec(spec, ordering, encoding.maps))
        network = Autoregressive(encoding, body, HEADS[head](HEADS[head].Config(), spec, ordering))
        for parameter in network.projection.parameters():
            nn.init.normal_(parameter, std=0.3)
        yield network.eval(), batch


def attempt(make: Callable[[Plan, int], Untried], dtype: torch.dtype, device: torch.device) -> str | None:
    """The first fault in the images that the kernel draws from each of the networks, or None."""
    for network, batch in networks():
        executor = make(make_plan(Trace(network.to(device, dtype))), batch)
        with torch.no_grad():
            fault = executor.walk_only(network.uniforms(Noise(0, range(batch))).flatten(3))
        if fault is not None:
            return f"{type(network.head).__name__}, {network.spec}: {fault}"
    return None


def main(real: str, number: str, file: str, *added: str) -> None:
    """Run the trial of the kernel with these instructions added, and write its result."""
    device, dtype = torch.device("cuda", int(number)), torch.float32 if real == "float" else torch.float64
    Untried.loaded = untried(real, device, places(), added)
    fault = _tried(Untried, dtype, device)
    Path(file).write_text(PASSED.decode() if fault is None else f"failed: {fault}", encoding="utf-8")
    if fault is None and torch.cuda.get_device_capability(device) >= HOPPER:
        fault = _tried(InClusters, dtype, device)
        Path(file).write_text(CLUSTERED.decode() if fault is None else f"{ALONE.decode()}{fault}", encoding="utf-8")


def _tried(make: type[Untried], dtype: torch.dtype, device: torch.device) -> str | None:
    try:
        fault = attempt(make, dtype, device)
        torch.cuda.synchronize(device)
    except (NoKernel, RuntimeError) as error:
        if not _blamed(error, device):
            raise
        fault = message(error)
    return fault


def _blamed(error: Exception, device: torch.device) -> bool:
    """Whether an error is the kernel's fault and would recur: not exhausted memory, nor in torch's own work."""
    if isinstance(error, NoKernel):
        return "out of memory" not in message(error)
    try:
        torch.zeros(1, device=device).item()
    except torch.cuda.OutOfMemoryError:
        return False
    except RuntimeError:  # a device broken by a kernel stays so for the process
        return True
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
