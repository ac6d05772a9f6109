"""Time a training step of PixelCNN++ against the same network with full kernels that are multiplied by a mask.

    python tests/benchmarks/pixelcnnpp_training.py [--filters 40] [--resnets 2] [--size 32] [--batch 16] [--turns 7]

The two hold the same weights and compute the same loss; they take turns, and medians are printed. Times are those of
all threads of the process, so that other processes on the machine count for less.
"""

import argparse
import copy
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

from pixkit.image import ImageSpec
from pixkit.layers import WeightNormConv2d
from pixkit.testing import named, network


class Masked(nn.Module):
    """A square kernel of odd side around the site, weight-normalised and masked in every pass."""

    def __init__(self, layer):
        super().__init__()
        (top, bottom), (left, right) = layer.rows, layer.columns
        self.radius = max(-top, bottom, -left, right)
        side = 2 * self.radius + 1
        inside = (
            slice(top + self.radius, bottom + self.radius + 1),
            slice(left + self.radius, right + self.radius + 1),
        )
        weight = torch.zeros(layer.out_maps, layer.in_maps, side, side)
        mask = torch.zeros(side, side)
        weight[:, :, *inside], mask[inside] = layer.weight.detach(), 1
        self.register_buffer("mask", mask, persistent=False)
        self.weight, self.gain, self.bias = nn.Parameter(weight), layer.gain, layer.bias
        self.stride = layer.stride

    def forward(self, x):
        masked = self.weight * self.mask
        norm = torch.linalg.vector_norm(masked, dim=(1, 2, 3), keepdim=True)
        weight = self.gain.view(-1, 1, 1, 1) * masked / norm
        return F.conv2d(x, weight, self.bias, stride=self.stride, padding=self.radius)


def masked(module):
    """The module with every shifted convolution replaced."""
    for name, child in list(module.named_children()):
        setattr(module, name, Masked(child) if isinstance(child, WeightNormConv2d) else masked(child))
    return module


def step(net, optimizer, x):
    """Seconds of one training step, and its loss."""
    begin = time.process_time()
    optimizer.zero_grad(set_to_none=True)
    loss = -net.log_prob(x).mean() / x[0].numel()
    loss.backward()
    optimizer.step()
    return time.process_time() - begin, float(loss.detach())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("filters", 40), ("resnets", 2), ("size", 32), ("batch", 16), ("turns", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    chosen = parser.parse_args()
    spec = ImageSpec(3, chosen.size, chosen.size, 256)
    backbone = named("backbone", "pixelcnnpp", filters=chosen.filters, resnets=chosen.resnets, dropout=0.0)
    head = named("head", "logistic_mixture", components=5)
    shifted = network(backbone, spec, head=head, gain=1.0).float().train()
    nets = {"shifted": shifted, "masked": masked(copy.deepcopy(shifted))}
    optimizers = {name: torch.optim.Adam(net.parameters(), lr=1e-4) for name, net in nets.items()}
    x = torch.randint(256, (chosen.batch, *spec.shape), generator=torch.Generator().manual_seed(0))
    losses = {name: step(net, optimizers[name], x)[1] for name, net in nets.items()}
    if abs(losses["shifted"] - losses["masked"]) > 1e-4 * abs(losses["shifted"]):
        raise SystemExit(f"the networks differ: {losses}")
    times = {name: [] for name in nets}
    for _ in range(chosen.turns):
        for name, net in nets.items():
            times[name].append(step(net, optimizers[name], x)[0])
    median = {name: statistics.median(found) for name, found in times.items()}
    for name, seconds in median.items():
        print(f"{name:8s} {seconds:.3f} s a step, {seconds / median['masked']:.2f} of the masked one")


if __name__ == "__main__":
    main()
