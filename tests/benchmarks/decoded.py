"""The first and the second reading of a recipe's folder of pictures: the second is of what the first decoded.

Pictures are made up, as JPEG files of noise, in ten folders. Each reading is in a process of its own, turn by turn with
the others; the cache is emptied before every first one. What is timed is all that comes before a model is made:
finding the files, decoding, splits and hashes: by the clock and, where others use the machine, of the processor.

    python tests/benchmarks/decoded.py [--files 60000] [--side 32] [--size N] [--rounds 3]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image


def write(folder, files, side):
    rng = np.random.default_rng(0)
    for number in range(files):
        place = folder / f"class{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (max(side // 8, 1), max(side // 8, 1), 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((side, side)).save(place / f"{number:06}.jpg")


def read(folder, size):
    """The seconds of one reading, those of the processor, and whether it was of what had been decoded."""
    from pixkit.components.plugins import plugins
    from pixkit.data import prepare
    from pixkit.recipe import load_recipe

    plugins()
    data = f"data={{source: images, path: {folder}, labels: true, size: {size or 'null'}}}"
    section = load_recipe("digits-pixelcnn", [data]).recipe.data
    began, busy = time.perf_counter(), time.process_time()
    dataset = prepare(section, Path.cwd())
    busy = time.process_time() - busy
    print(time.perf_counter() - began, busy, any("decoded before" in note for note in dataset.notes))


def in_process(folder, size, cache):
    command = [sys.executable, __file__, "--read", str(folder), "--size", str(size)]
    environment = {**os.environ, "PIXKIT_CACHE": str(cache)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds, busy, before = done.stdout.split()
    return float(seconds), float(busy), before == "True"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=60_000)
    parser.add_argument("--side", type=int, default=32, help="of the files' pictures")
    parser.add_argument("--size", type=int, default=0, help="data.size; the pictures' own if left out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read, options.size)
        return
    with tempfile.TemporaryDirectory() as text:
        folder, cache = Path(text) / "pictures", Path(text) / "cache"
        write(folder, options.files, options.side)
        time.sleep(3)  # files of this moment are not kept
        for _ in range(options.rounds):
            for path in cache.glob("decoded/*"):
                path.unlink()
            first, busy, from_cache = in_process(folder, options.size, cache)
            second, as_busy, again = in_process(folder, options.size, cache)
            assert not from_cache and again, "nothing was kept, or it was not used"
            print(
                f"{options.files} files: first {first:.2f} s, second {second:.2f} s, ratio {second / first:.3f}; "
                f"of the processor {busy:.2f} s, {as_busy:.2f} s, {as_busy / busy:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
