"""What a map of nats a site takes beside the score alone: the processor time of both, in turns, and their ratio.

python tests/benchmarks/maps.py [--recipe mnist-gated] [--shape 1,28,28,2] [--batch 16] [--rounds 7]
"""

import argparse
import time

import torch

import pixkit
from pixkit.testing import random_images


def seconds(work):
    began = time.process_time()
    with torch.no_grad():
        work()
    return time.process_time() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="mnist-gated")
    parser.add_argument("--shape", default="1,28,28,2")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    spec = pixkit.ImageSpec(*map(int, asked.shape.split(",")))
    model = pixkit.load_recipe(asked.recipe).recipe.model.build(spec, None).eval().requires_grad_(False)
    x = random_images(spec, asked.batch)
    ways = {"log_prob": lambda: model.log_prob(x), "nll_map": lambda: model.nll_map(x)}
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(asked.rounds + 1):
        least = {name: min(least[name], seconds(work)) for name, work in ways.items()}
    print(f"{asked.recipe}, {asked.batch} images of {asked.shape}: log_prob {least['log_prob'] * 1e3:.1f} ms, "
          f"nll_map {least['nll_map'] * 1e3:.1f} ms, ratio {least['nll_map'] / least['log_prob']:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
