"""Cached sampling by the native executor against one forward pass, the walk alone: r = walk / forward pass.

    python tests/benchmarks/walk.py [--networks pixelcnn gated ...] [--batches 1 16 64 256] [--rounds 7] [--threads 1]
        [--wall] [--bfloat16] [--before FOLDER]

The networks are those of recipes, with random weights: `pixelcnn`, `gated_pixelcnn`, `row_lstm` and `transformer` of
mnist-NAME, `pixelcnnpp` of mnist-pixelcnnpp-tfp, and two that are wider: `wide_pixelcnn` and `wide_transformer`. Plans
are made, packed and warm before anything is timed. A turn is a forward pass, or several of a small batch, and a walk;
printed are the least processor times of all turns, and their ratio.

--wall: the time that passes instead of the processor's, which is what several threads save.
--bfloat16: weights are rounded on this side, not on that of --before, which may be the same tree.

--before: a source tree of another pixkit. A process of its own walks there with the same network, turn by turn with
this one's; the last column is this tree's time by that one's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from pixkit.execution.choose import EXECUTORS
from pixkit.execution.plan import make_plan
from pixkit.image import ImageSpec
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import named, network, random_images

BACKBONES: dict[str, dict[str, object]] = {
    "pixelcnn": {"width": 64, "layers": 8, "output_width": 64},
    "gated_pixelcnn": {"width": 24, "layers": 8},
    "pixelcnnpp": {"filters": 32, "resnets": 1, "hierarchies": 2},
    "row_lstm": {"units": 24, "layers": 5, "output_width": 32},
    "transformer": {"width": 128, "blocks": 6, "heads": 4},
    "wide_pixelcnn": {"width": 256, "layers": 8, "output_width": 256},
    "wide_transformer": {"width": 512, "blocks": 6, "heads": 8},
}
SHORTEST = 0.02
"""Seconds that forward passes of a turn take, at least."""
Clock = Callable[[], float]


def built(name: str) -> Autoregressive:
    """A network for binary images of 28x28, or of 256 levels where it draws from a mixture."""
    mixture = name == "pixelcnnpp"
    head = named("head", "logistic_mixture", components=5) if mixture else None
    backbone = named("backbone", name.removeprefix("wide_"), **BACKBONES[name])
    return network(backbone, ImageSpec(1, 28, 28, 256 if mixture else 2), head=head, gain=1.0).float().eval()


def seconds(work: Callable[[], object], clock: Clock) -> float:
    """Time of a call."""
    start = clock()
    work()
    return clock() - start


def walker(net: Autoregressive, batch: int, executor: str = "native") -> Callable[[], None]:
    """What draws a batch from a plan that is packed."""
    runs = EXECUTORS[executor](make_plan(Trace(net)), batch, None)
    uniforms = net.uniforms(Noise(0, range(batch))).flatten(3)

    def walk() -> None:
        runs.pixels.zero_()
        runs.walk(uniforms, 1.0, None)

    walk()
    return walk


class Beside:
    """Another pixkit's walks, in a process of its own."""

    def __init__(self, folder: Path, name: str, batch: int, options: argparse.Namespace) -> None:
        command = [sys.executable, __file__, "--serve", name, "--batches", str(batch)]
        command += ["--threads", str(options.threads), *["--wall"] * options.wall]
        paths = os.pathsep.join([str(folder), str(folder / "plugins")])
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, **pipes)

    def __call__(self) -> float:
        """Seconds of one walk."""
        self.process.stdin.write("walk\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self.process.stdin.close()
        self.process.wait()


def serve(name: str, batch: int, clock: Clock) -> None:
    """Walk once for each line that comes, and say how long it took."""
    walk = walker(built(name), batch)
    for _ in sys.stdin:
        print(seconds(walk, clock), flush=True)


def clock_of(options: argparse.Namespace) -> Clock:
    """What tells the time."""
    return time.perf_counter if options.wall else time.process_time


def measure(name: str, net: Autoregressive, batch: int, options: argparse.Namespace) -> None:
    """Print a line."""
    walk = walker(net, batch, "bfloat16" if options.bfloat16 else "native")
    images, clock = random_images(net.spec, batch), clock_of(options)
    forward = lambda: net(images)  # noqa: E731
    forward()
    times = max(1, round(SHORTEST / max(seconds(forward, clock), 1e-6)))
    before = None if options.before is None else Beside(options.before, name, batch, options)
    passes, walks, others = [], [], []
    for _ in range(options.rounds):
        passes.append(seconds(lambda: [forward() for _ in range(times)], clock) / times)
        walks.append(seconds(walk, clock))
        if before is not None:
            others.append(before())
    line = f"{name:16}  {batch:5}  {1e3 * min(passes):10.2f}  {1e3 * min(walks):9.2f}  {min(walks) / min(passes):5.2f}"
    if before is not None:
        line += f"  {1e3 * min(others):9.2f}  {min(walks) / min(others):6.3f}"
        before.close()
    print(line, flush=True)


@torch.no_grad()
def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--networks", nargs="+", choices=[*BACKBONES], default=[*BACKBONES])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--wall", action="store_true")
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--before", type=Path)
    parser.add_argument("--serve", choices=[*BACKBONES], help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.serve:
        serve(options.serve, options.batches[0], clock_of(options))
        return
    head = f"{'network':16}  {'batch':>5}  {'forward ms':>10}  {'walk ms':>9}  {'r':>5}"
    print(head if options.before is None else f"{head}  {'before ms':>9}  {'ratio':>6}")
    for name in options.networks:
        net = built(name)
        for batch in options.batches:
            measure(name, net, batch, options)


if __name__ == "__main__":
    main()
