"""What the recurrences cost beside convolutions: a training step and sampling, at about equal numbers of parameters.

Binary 28x28 images. Networks take turns in one process; medians are printed, of the time passed and of the processor's
(all threads; steadier on a shared machine). Sampling is `auto`, without tracing and planning; of the processor's time
the least is also told as times that of the first network. `--batch 0` trains nothing.

    python tests/benchmarks/recurrent_cost.py [--batch 64] [--samples 16] [--rounds 5] [--threads N]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from pixkit.backbones.encodings import InputConfig
from pixkit.image import ImageSpec
from pixkit.network import Autoregressive, assemble
from pixkit.noise import Noise
from pixkit.samplers import BatchRequest, Cached
from pixkit.samplers.cached import CachedBatches
from pixkit.testing import named, random_images

SPEC = ImageSpec(1, 28, 28, 2)
CONTENDERS = {
    "pixelcnn": {"width": 64, "layers": 8, "output_width": 64},
    "gated_pixelcnn": {"width": 26, "layers": 7},
    "row_lstm": {"units": 24, "layers": 5, "output_width": 32},
    "diagonal_bilstm": {"units": 19, "layers": 7, "output_width": 32},
}


def build(name: str, config: dict[str, int]) -> Autoregressive:
    """The network of a recipe that names this backbone."""
    torch.manual_seed(0)
    parts = (named("ordering", "raster"), InputConfig(), named("backbone", name, **config), named("head", "softmax"))
    return assemble(SPEC, *parts)


def training(net: Autoregressive, batch: int) -> Callable[[], None]:
    """A step: forward, backward, Adam."""
    optimizer, x = torch.optim.Adam(net.parameters(), 1e-4), random_images(SPEC, batch)

    def run() -> None:
        net.train()
        optimizer.zero_grad()
        (-net.log_prob(x).mean()).backward()
        optimizer.step()

    return run


def sampling(net: Autoregressive, count: int) -> tuple[Callable[[], None], CachedBatches]:
    """A batch of samples by a plan made beforehand, and that, whose summary names the executor."""
    draw = Cached(Cached.Config()).prepare(net.eval(), None)

    def run() -> None:
        with torch.no_grad():
            net.eval()
            draw(BatchRequest(Noise(0, range(count))))

    return run, draw


def clocked(run: Callable[[], None]) -> tuple[float, float]:
    """Seconds passed, and of the processor."""
    start = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def main() -> None:
    """Measure in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("batch", 64), ("samples", 16), ("rounds", 5), ("threads", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    nets = {name: build(name, config) for name, config in CONTENDERS.items()}
    steps = {name: training(net, options.batch) for name, net in nets.items()}
    draws = {name: sampling(net, options.samples) for name, net in nets.items()}
    times: dict[str, list[tuple[float, ...]]] = {name: [] for name in nets}
    for turn in range(options.rounds + 1):
        for name in nets:
            row = (*(clocked(steps[name]) if options.batch else (0.0, 0.0)), *clocked(draws[name][0]))
            if turn:
                times[name].append(row)
    head = f"{'step':>10}{'processor':>11}{f'{options.samples} samples':>13}{'processor':>11}{'times':>7}"
    print(f"{'backbone':18}{'parameters':>11}{head}  by")
    least = {name: min(row[3] for row in rows) for name, rows in times.items()}
    for name, rows in times.items():
        passed, busy, drawn, spent = (statistics.median(column) for column in zip(*rows, strict=True))
        count = sum(parameter.numel() for parameter in nets[name].parameters())
        figures = f"{count:11,}{passed:8.3f} s{busy:9.3f} s{drawn:11.2f} s{spent:9.2f} s"
        figures += f"{least[name] / next(iter(least.values())):7.1f}"
        print(f"{name:18}{figures}  {draws[name][1].summary()}")


if __name__ == "__main__":
    main()
