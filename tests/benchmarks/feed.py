"""What a batch of dynamically binarised images of MNIST's size costs the training thread: by itself, and fed.

    python tests/benchmarks/feed.py [--batch 512] [--images 60000]

Fed, a batch is cut from an epoch's bits, which a thread has drawn during the epoch before. Here both are on the CPU;
the batches are compared.
"""

import argparse
import statistics
import time

import torch

from pixkit.components.plugins import plugins
from pixkit.data.dataset import BatchSequence, Dataset, Part
from pixkit.data.feed import feeding
from pixkit.data.levels import Binariser
from pixkit.image import ImageSpec


def main() -> None:
    """Print milliseconds a batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--images", type=int, default=60000)
    chosen = parser.parse_args()
    pixels = torch.randint(256, (chosen.images, 1, 28, 28), dtype=torch.uint8)
    part = Part(
        pixels, torch.zeros(chosen.images, dtype=torch.int64), torch.arange(chosen.images), Binariser(0, 784, 256)
    )
    source = plugins().registry.get("data", "mnist")
    data = Dataset(
        "bench", ImageSpec(1, 28, 28, 2), 10, {"train": part}, description="", notes=(), hashes={}, source=source
    )
    sequence = BatchSequence(data, chosen.batch, 0)
    count = chosen.images // chosen.batch
    alone, fed, equal = [], [], True
    with feeding({"one": sequence}, torch.device("cpu")) as feeds:
        began = time.perf_counter()
        feeds["one"].batch(0)
        first = time.perf_counter() - began
        for number in range(1, count):
            began = time.thread_time()
            expected = sequence.batch(number)
            between = time.thread_time()
            batch = feeds["one"].batch(number)
            fed.append(time.thread_time() - between)
            alone.append(between - began)
            equal &= torch.equal(batch.x, expected.x) and torch.equal(batch.indices, expected.indices)
    print(f"equal: {equal}; ms a batch of {chosen.batch}: {1e3 * statistics.median(alone):.2f} by itself,", end=" ")
    print(f"{1e3 * statistics.median(fed):.2f} fed; the first epoch's bits are waited for {first:.2f} s")


if __name__ == "__main__":
    main()
