"""How long a training step of `local_pixelcnn` takes in several orderings, beside the raster and beside patches.

Under the raster one kernel serves all sites (the translation-invariant path). In other orderings sites that use the
same taps share a product. The authors' way, for comparison, lays the patches out, masks them and multiplies (unfold).
All ways are checked to compute the same function first. Steps alternate in one process; medians are printed, seconds
of the processor beside those that passed, and each ordering's ratio to the raster.

    python tests/benchmarks/local_training.py [--width 32] [--blocks 1] [--stages 2] [--side 28] [--batch 32]
        [--rounds 9] [--threads N] [--device cpu|cuda]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.image import ImageSpec
from pixkit.layers import LocalConv2d
from pixkit.network import Autoregressive
from pixkit.testing import named, network

ORDERINGS = ("raster", "snake", "hilbert", "spiral")


class Patches(nn.Module):
    """A LocalConv2d of one colour group by patches (arXiv 2006.12486, algorithm 1): unfold, mask, multiply."""

    mask: Tensor

    def __init__(self, layer: LocalConv2d) -> None:
        super().__init__()
        self.weight, self.bias, self.dilation = layer.weight, layer.bias, layer.dilation
        self.register_buffer("mask", layer.allowed[0, 0].flatten(2).flatten(0, 1).T.to(layer.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] to [B, out, H, W]."""
        side = self.weight.shape[2]
        patches = F.unfold(x, side, padding=self.dilation * (side // 2), dilation=self.dilation)
        masked = patches.unflatten(1, (x.shape[1], -1)) * self.mask
        out = self.weight.flatten(1) @ masked.flatten(1, 2) + self.bias[:, None]
        return out.unflatten(2, x.shape[2:])


def by_patches(net: Autoregressive) -> Autoregressive:
    """The same network with the same weights, its convolutions by patches."""
    twin = copy.deepcopy(net)
    for name, layer in [*twin.named_modules()]:
        if isinstance(layer, LocalConv2d):
            owner, _, own = name.rpartition(".")
            setattr(twin.get_submodule(owner), own, Patches(layer))
    return twin


def step(net: Autoregressive, optimizer: torch.optim.Optimizer, x: Tensor) -> tuple[float, float]:
    """Seconds of one training step: passed, and of the processor."""
    start = time.perf_counter(), time.process_time()
    optimizer.zero_grad()
    (-net.log_prob(x).mean()).backward()
    optimizer.step()
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = (("width", 32), ("blocks", 1), ("stages", 2), ("side", 28), ("batch", 32), ("rounds", 9), ("threads", 0))
    for name, default in sizes:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    spec = ImageSpec(1, options.side, options.side, 2)
    backbone = named("backbone", "local_pixelcnn", width=options.width, blocks=options.blocks, stages=options.stages)
    x = torch.randint(2, (options.batch, *spec.shape))
    contenders: dict[str, Autoregressive] = {}
    for name in ORDERINGS:
        net = network(backbone, spec, ordering=named("ordering", name))
        twin = by_patches(net)
        with torch.no_grad():
            difference = float((net(x[:2]) - twin(x[:2])).abs().max())
        print(f"{name}: largest difference to patches {difference:.1e} (float64)")
        contenders[name] = net.float().to(options.device).train()
        contenders[f"{name}, patches"] = twin.float().to(options.device).train()
    x = x.to(options.device)
    optimizers = {name: torch.optim.Adam(net.parameters(), 1e-4) for name, net in contenders.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for turn in range(options.rounds + 1):
        for name, net in contenders.items():
            taken = step(net, optimizers[name], x)
            if turn:
                times[name].append(taken)
    for name, taken in times.items():
        passed, busy = (1e3 * statistics.median(column) for column in zip(*taken, strict=True))
        index = int(options.device == "cpu")
        ratio = statistics.median(a[index] / b[index] for a, b in zip(taken, times["raster"], strict=True))
        print(f"{name:18}{passed:9.1f} ms a step, {busy:9.1f} ms of the processor, {ratio:5.2f} times the raster's")


if __name__ == "__main__":
    main()
