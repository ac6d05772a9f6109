"""What an activation costs in cached sampling, against ReLU: networks of mnist-pixelcnn's shape that differ in it.

Binary 28x28 images, float32, one process, one thread. The networks take turns; each one's seconds are compared with
ReLU's of the same turn, and the median of these ratios is printed beside the median seconds. Seconds are of sampling a
batch, without tracing, planning and packing, which are done once. The weights are random, the same for all.

    python tests/benchmarks/activations.py [--batches 16,1] [--turns 31] [--executor auto] [--all]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from pixkit.backbones.encodings import InputConfig
from pixkit.execution.choose import choose
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import Executor
from pixkit.image import ImageSpec
from pixkit.network import Autoregressive, assemble
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import named

SPEC = ImageSpec(1, 28, 28, 2)
ACTIVATIONS: dict[str, tuple[Callable[[], nn.Module], float | None, float | None]] = {
    "ReLU": (nn.ReLU, None, None),
    "SiLU": (nn.SiLU, 1.4, 1.2),
    "Tanh": (nn.Tanh, 1.4, 1.2),
    "GELU": (nn.GELU, 1.7, 1.2),
    "Softplus": (nn.Softplus, 2.0, 1.5),
}
"""Activations, with the ratio to reach at batch 16 and at batch 1."""
MORE = (nn.ELU, nn.SELU, nn.CELU, nn.LeakyReLU, nn.Mish, nn.LogSigmoid, nn.Hardswish, nn.Softsign, nn.Tanhshrink)


def network() -> Autoregressive:
    """The network of recipes/mnist-pixelcnn.yaml."""
    torch.manual_seed(0)
    backbone = named("backbone", "pixelcnn", width=64, layers=8, output_width=64)
    return assemble(SPEC, named("ordering", "raster"), InputConfig(), backbone, named("head", "softmax")).eval()


def activated(net: Autoregressive, make: Callable[[], nn.Module]) -> Autoregressive:
    """A copy of it with another activation for every ReLU."""
    net = copy.deepcopy(net)
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, make())
    return net


def seconds(executor: Executor, uniforms: torch.Tensor) -> float:
    """One batch of images."""
    begin = time.perf_counter()
    executor.walk(uniforms, 1.0, None)
    return time.perf_counter() - begin


def main() -> None:
    """Measure in turns, and print a table for each batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", default="16,1")
    parser.add_argument("--turns", type=int, default=31)
    parser.add_argument("--executor", default="auto")
    parser.add_argument("--all", action="store_true", help="more activations")
    options = parser.parse_args()
    torch.set_num_threads(1)
    contenders = dict(ACTIVATIONS)
    if options.all:
        contenders |= {cls.__name__: (cls, None, None) for cls in MORE}
    base = network()
    plans = {name: make_plan(Trace(activated(base, make))) for name, (make, *_) in contenders.items()}
    for batch in map(int, options.batches.split(",")):
        chosen = {name: choose(options.executor, plan, batch) for name, plan in plans.items()}
        uniforms = Noise(0, range(batch)).uniforms(base.head.draws, SPEC).flatten(3).float()
        times: dict[str, list[float]] = {name: [] for name in chosen}
        with torch.no_grad():
            for turn in range(options.turns + 1):
                for name, found in chosen.items():
                    took = seconds(found.executor, uniforms)
                    if turn:  # the first warms up
                        times[name].append(took)
        print(f"batch {batch}, {options.turns} turns\n{'activation':14}{'seconds':>10}{'to ReLU':>9}{'at most':>9}  by")
        for name, rows in times.items():
            ratio = statistics.median(a / b for a, b in zip(rows, times["ReLU"], strict=True))
            limit = {16: contenders[name][1], 1: contenders[name][2]}.get(batch)
            figures = f"{statistics.median(rows):10.4f}{ratio:9.2f}{limit or '':>9}"
            print(f"{name:14}{figures}  {chosen[name]}")


if __name__ == "__main__":
    main()
