"""The scan of a recurrence beside the loop: what a layer launches, and how long it takes forwards and with gradients.

Both ways compute the same function, which is checked first. They take turns in one process; medians are printed, of the
time that passed (on a CPU, of the processor's). On a CPU pixkit itself takes the loop, on a GPU the scan.

    python tests/benchmarks/recurrent_scan.py [--batch 64] [--units 24] [--side 28] [--rounds 9] [--device cpu|cuda]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pixkit.image import ImageSpec
from pixkit.layers import DiagonalLSTM, RowLSTM
from pixkit.layers.recurrent import Recurrence
from pixkit.testing import named


class Launches(TorchDispatchMode):
    """Counts operations that are more than views."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not (func.is_view or func is torch.ops.aten.detach.default)
        return func(*args, **(kwargs or {}))


def launches(way: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor) -> str:
    """Of a pass, and of its gradients."""
    with Launches() as forward:
        out = way(x)
    with Launches() as backward:
        out.backward(grad)
    return f"{forward.count:6} + {backward.count:4} launches"


def seconds(way: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor) -> tuple[float, float]:
    """Of a pass, and of one with gradients."""
    clock = time.perf_counter if x.is_cuda else time.process_time

    def now() -> float:
        if x.is_cuda:
            torch.cuda.synchronize()
        return clock()

    start = now()
    out = way(x)
    middle = now()
    out.backward(grad)
    return middle - start, now() - start


def compare(layer: Recurrence, name: str, x: Tensor, rounds: int) -> None:
    """Print a line for each way."""
    ways = {"loop": layer._front_by_front, "scan": layer._scanned}
    grad = torch.randn_like(layer(x))
    with torch.no_grad():
        print(f"{name}: largest difference {float((ways['loop'](x) - ways['scan'](x)).abs().max()):.1e}")
    counted = {way: launches(run, x, grad) for way, run in ways.items()}
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            times[way].append(seconds(run, x, grad))
    for way, taken in times.items():
        forward, both = (1e3 * statistics.median(column) for column in zip(*taken, strict=True))
        ratio = statistics.median(a[1] / b[1] for a, b in zip(taken, times["loop"], strict=True))
        print(
            f"  {way}{counted[way]}{forward:8.2f} ms forwards{both:8.2f} ms with gradients, {ratio:4.2f} of the loop's"
        )


def main() -> None:
    """Both recurrences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("batch", 64), ("units", 24), ("side", 28), ("rounds", 9)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    spec = ImageSpec(1, options.side, options.side, 2)
    ordering = named("ordering", "raster").build(spec, "joint")
    x = torch.randn(options.batch, 4 * options.units, *spec.shape[1:], device=options.device, requires_grad=True)
    for cls in (RowLSTM, DiagonalLSTM):
        compare(cls(options.units, ordering).to(options.device), cls.__name__, x, options.rounds)


if __name__ == "__main__":
    main()
