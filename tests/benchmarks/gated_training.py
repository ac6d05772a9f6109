"""How long a training step of `gated_pixelcnn` takes beside the same network written the plain way.

The plain way has full kernels, k x k and 1 x k, times a mask; pixkit's have only the taps that are used. Both compute
the same function (checked first). Steps alternate in one process; medians are printed.

    python tests/benchmarks/gated_training.py [--width 32] [--layers 8] [--batch 64] [--rounds 15] [--threads N]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.image import ImageSpec
from pixkit.network import Autoregressive
from pixkit.testing import named, network

MNIST = ImageSpec(1, 28, 28, 2)


class Masked(nn.Conv2d):
    """A convolution with a full kernel, times a mask of its taps: `rows` above the centre and `columns` beside it."""

    mask: Tensor

    def __init__(
        self, maps: tuple[int, int], size: tuple[int, int], last: tuple[int, int], *, bias: bool = True
    ) -> None:
        """`last`, (row, column): taps up to this row relative to the centre and, in a single row, this column."""
        super().__init__(*maps, size, padding=(size[0] // 2, size[1] // 2), bias=bias)
        row = torch.arange(size[0])[:, None] - size[0] // 2
        column = torch.arange(size[1])[None] - size[1] // 2
        self.register_buffer("mask", ((row <= last[0]) & (column <= last[1])).float())

    def forward(self, x: Tensor) -> Tensor:
        """The whole kernel, zeros included."""
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class Plain(nn.Module):
    """The two stacks of `gated_pixelcnn`, kernels 7 and 3, with one output layer, for grey images."""

    def __init__(self, width: int, layers: int, levels: int) -> None:
        super().__init__()
        ins, kernels = [1] + [width] * (layers - 1), [7] + [3] * (layers - 1)
        # Below row 0 and right of column 0 nothing is used; the first layer, on pixels, does not use its centre.
        lasts = [-1] + [0] * (layers - 1)
        wide = 2 * width
        sizes = list(zip(ins, kernels, lasts, strict=True))
        self.vertical = nn.ModuleList(Masked((maps, wide), (k, k), (last, k)) for maps, k, last in sizes)
        self.horizontal = nn.ModuleList(Masked((maps, wide), (1, k), (0, last)) for maps, k, last in sizes)
        self.link = nn.ModuleList(nn.Conv2d(wide, wide, 1, bias=False) for _ in sizes)
        self.residual = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in sizes)
        self.out = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, levels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Encoded pixels [B, 1, H, W] to logits [B, K, H, W]."""
        above, left, stream = x, x, None
        for vertical, horizontal, link, residual in zip(
            self.vertical, self.horizontal, self.link, self.residual, strict=True
        ):
            seen = vertical(above)
            update = residual(gate(horizontal(left) + link(seen)))
            stream = update if stream is None else stream + update
            above, left = gate(seen), stream
        return self.out(stream)

    def load(self, net: Autoregressive) -> None:
        """Take over the weights of a network of `gated_pixelcnn`, whose kernels are cropped."""
        backbone = net.backbone
        verticals = [backbone.first, *(layer.conv for layer in backbone.vertical)]
        pairs = [*zip(self.vertical, verticals, strict=True)]
        pairs += zip(self.horizontal, (layer.conv for layer in backbone.horizontal), strict=True)
        pairs += zip(self.link, (layer.link for layer in backbone.horizontal), strict=True)
        pairs += zip(self.residual, backbone.residual, strict=True)
        pairs += [(self.out[1], backbone.out[1]), (self.out[3], net.projection)]
        with torch.no_grad():
            for layer, source in pairs:
                rows, columns = source.weight.shape[2:]
                layer.weight[:, :, :rows, :columns] = source.weight
                if layer.bias is not None:
                    layer.bias.copy_(source.bias)


def gate(x: Tensor) -> Tensor:
    """tanh of one half times sigmoid of the other."""
    a, b = x.chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)


def pair(width: int, layers: int, spec: ImageSpec = MNIST) -> tuple[Autoregressive, Plain]:
    """The plugin's network and the plain one, float64, with the same weights."""
    config = {"width": width, "layers": layers, "output_layers": 1}
    net = network(named("backbone", "gated_pixelcnn", **config), spec)
    plain = Plain(width, layers, spec.levels).double()
    plain.load(net)
    return net, plain


def difference(net: Autoregressive, plain: Plain) -> float:
    """The largest difference between their logits."""
    x = torch.randint(net.spec.levels, (2, *net.spec.shape))
    with torch.no_grad():
        return float((net(x) - plain(net.encoding(x))).abs().max())


def step(network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, target: Tensor) -> tuple[float, float]:
    """Seconds of one training step: passed, and of the processor (all threads; steadier on a shared machine)."""
    start = time.perf_counter(), time.process_time()
    optimizer.zero_grad()
    F.cross_entropy(network(x), target).backward()
    optimizer.step()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("width", 32), ("layers", 8), ("batch", 64), ("rounds", 15), ("threads", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    net, plain = pair(options.width, options.layers)
    print(f"largest difference of the logits {difference(net, plain):.1e} (float64)")
    levels = torch.randint(2, (options.batch, 1, 28, 28))
    encoded = net.encoding(levels).float()
    contenders = {"pixkit": nn.Sequential(net.backbone, net.projection).float(), "plain": plain.float()}
    optimizers = {name: torch.optim.Adam(module.parameters(), 1e-4) for name, module in contenders.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for turn in range(options.rounds + 2):
        for name, module in contenders.items():
            taken = step(module.train(), optimizers[name], encoded, levels[:, 0])
            if turn >= 2:
                times[name].append(taken)
    for name, module in contenders.items():
        passed, busy = (1e3 * statistics.median(column) for column in zip(*times[name], strict=True))
        count = sum(parameter.numel() for parameter in module.parameters())
        print(f"{name:8}{passed:8.1f} ms a step, {busy:8.1f} ms of the processor, {count} parameters stored")
    for index, what in enumerate(("time", "processor")):
        ratios = [a[index] / b[index] for a, b in zip(times["pixkit"], times["plain"], strict=True)]
        print(f"pixkit / plain, {what}, median of {options.rounds} rounds: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
