"""A file of as many images as ImageNet32 has: how long it takes to open, what memory that takes, and shuffled batches.

Each opening is in a process of its own, with torch imported before; memory is what is resident above that, at its peak.
Batches are read from the file by position, as pixkit does, and for comparison from the same file mapped into memory.

    python tests/benchmarks/unread.py [--images 1281167] [--folder /tmp] [--batch 64]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

SIDE = (32, 32, 3)


def make(path: Path, images: int) -> None:
    """Random images, written some at a time."""
    rng, step = np.random.default_rng(0), 20_000
    out = np.lib.format.open_memmap(path, "w+", np.uint8, (images, *SIDE))
    for start in range(0, images, step):
        out[start : start + step] = rng.integers(0, 256, (min(step, images - start), *SIDE), dtype=np.uint8)
    out.flush()
    os.utime(path, (1e9, 1e9))  # what was written just now may still change, and nothing is kept of it


def resident(what: str) -> float:
    """Megabytes that are resident (VmRSS), or were at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(what))


def opened(path: Path, batch: int) -> None:
    """Open it, and draw batches."""
    before, started, worked = resident("VmRSS"), time.perf_counter(), time.process_time()
    from pixkit.data import prepare
    from pixkit.data.dataset import BatchSequence
    from pixkit.recipe import load_recipe

    found = load_recipe("digits-pixelcnn", ["data.source=arrays", f"data.train={path}"])
    ready, used = time.perf_counter(), time.process_time()
    data = prepare(found.recipe.data, found.base)
    now, spent = time.perf_counter(), time.process_time()
    most = resident("VmHWM") - before
    print(f"  {now - ready:.2f} s ({spent - used:.2f} s of the processor), {most:.0f} MB at most: {data}")
    print(f"  with importing pixkit and reading a recipe {now - started:.2f} s ({spent - worked:.2f} s)")
    sequence = BatchSequence(data, batch, 0)
    sequence.batch(0)
    mapped = np.load(path, mmap_mode="r")
    part = data.part("train")

    def by_position(number: int) -> None:
        sequence.batch(number)

    def by_mapping(number: int) -> None:
        rows = part.places[sequence.order(0)[number * batch : (number + 1) * batch]]
        torch.from_numpy(np.ascontiguousarray(mapped[rows.numpy()].transpose(0, 3, 1, 2))).long()

    ways = {"by position": by_position, "mapped": by_mapping}
    best = dict.fromkeys(ways, np.inf)
    for turn in range(5):
        for name, way in ways.items():
            began = time.process_time()
            for number in range(100 * turn, 100 * turn + 100):
                way(number)
            best[name] = min(best[name], (time.process_time() - began) / 100)
    words = ", ".join(f"{name} {1e3 * seconds:.2f} ms" for name, seconds in best.items())
    print(f"  batches of {batch}, shuffled: {words}")


def main() -> None:
    """Make the file, open it twice, remove it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_281_167)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open is not None:
        opened(options.open, options.batch)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "images.npy"
        make(path, options.images)
        print(f"{path}: {path.stat().st_size / 1e9:.2f} GB")
        env = {**os.environ, "PIXKIT_CACHE": str(Path(folder) / "cache")}
        for which in ("first time", "second time"):
            print(f"opened for the {which}:", flush=True)
            command = [sys.executable, __file__, "--open", str(path), "--batch", str(options.batch)]
            subprocess.run(command, check=True, env=env)


if __name__ == "__main__":
    main()
