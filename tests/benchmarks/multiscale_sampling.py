"""Network calls and seconds to draw a batch: `multiscale` beside a plain PixelCNN, cached and ancestral, by side.

    python tests/benchmarks/multiscale_sampling.py [--sides 8 16 32 64] [--batch 64] [--rounds 3] [--threads N]

Everything runs in one process, turn by turn; medians are printed, of wall-clock and of processor time (of all threads
together; other work on the machine disturbs it less). Weights are random: they do not matter. Ancestral sampling is a
whole pass a step: its time is that of one pass, measured, times the number of steps.

A network call is, for ancestral sampling, a whole pass; for cached sampling of `multiscale`, a call of a group's
network, counted while it runs, or a pixel of the base; for cached sampling of a PixelCNN, a pixel.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from pixkit.image import ImageSpec
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.runs.record import machine
from pixkit.samplers import BatchRequest, Cached
from pixkit.testing import named, network, random_images

PIXELCNN = {"width": 64, "layers": 8}
MULTISCALE = {"base": {"type": "pixelcnn", "width": 64, "layers": 4}, "width": 64, "layers": 4}
BASE = 4


@dataclass(frozen=True)
class Way:
    """One way of drawing: its network calls, what is timed, and how often that happens for one batch."""

    model: str
    sampler: str
    calls: int
    work: Callable[[], object]
    times: int = 1


def networks(side: int) -> dict[str, Autoregressive]:
    """Both models for binary images of that side."""
    spec = ImageSpec(1, side, side, 2)
    ordering = named("ordering", "multiscale", base=BASE)
    return {
        "multiscale": network(named("backbone", "multiscale", **MULTISCALE), spec, ordering=ordering).float(),
        "pixelcnn": network(named("backbone", "pixelcnn", **PIXELCNN), spec).float(),
    }


def ways(name: str, net: Autoregressive, batch: int) -> list[Way]:
    """Cached sampling and, by its passes, ancestral sampling."""
    draw = Cached(Cached.Config()).prepare(net, None)
    images = random_images(net.spec, batch)

    def cached() -> object:
        return draw(BatchRequest(Noise(0, range(batch))))

    steps = net.ordering.count
    return [
        Way(name, "cached", count_calls(net, cached), cached),
        Way(name, "ancestral", steps, lambda: net(images), times=steps),
    ]


def count_calls(net: Autoregressive, draw: Callable[[], object]) -> int:
    """Calls of networks while `draw` runs: of the groups' by hooks; of all else, a pixel at a time, by steps."""
    found = 0

    def count(*_: object) -> None:
        nonlocal found
        found += 1

    handles = [part.stem.register_forward_hook(count) for part in getattr(net.backbone, "networks", [])]
    draw()
    for handle in handles:
        handle.remove()
    return found + net.ordering.count - len(getattr(net.backbone, "groups", []))


def measure(found: list[Way], rounds: int) -> list[tuple[float, float]]:
    """Median wall-clock and processor seconds of each, turn by turn."""
    taken: list[list[tuple[float, float]]] = [[] for _ in found]
    for _ in range(rounds):
        for way, kept in zip(found, taken, strict=True):
            wall, processor = time.perf_counter(), time.process_time()
            way.work()
            spent = time.perf_counter() - wall, time.process_time() - processor
            kept.append((spent[0] * way.times, spent[1] * way.times))
    return [(statistics.median(w for w, _ in kept), statistics.median(p for _, p in kept)) for kept in taken]


@torch.no_grad()
def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    for side in options.sides:
        nets = networks(side)
        if side == options.sides[0]:
            print(", ".join(f"{key} {value}" for key, value in machine(nets["pixelcnn"]).items()))
            print(f"{'side':>4}  {'model':10}  {'sampler':9}  {'calls':>5}  {'seconds':>9}  {'processor s':>11}")
        found = [way for name, net in nets.items() for way in ways(name, net, options.batch)]
        for way, (wall, processor) in zip(found, measure(found, options.rounds), strict=True):
            print(
                f"{side:4}  {way.model:10}  {way.sampler:9}  {way.calls:5}  {wall:9.3f}  {processor:11.3f}", flush=True
            )


if __name__ == "__main__":
    main()
