"""How well scores tell other images from those that a model knows: AUROC of each correction, as a table.

    python tests/benchmarks/anomalies.py digits RUN --background RUN --local RUN --mnist FOLDER --cifar FILE.npz
    python tests/benchmarks/anomalies.py colours RUN --background RUN --local RUN --mnist FOLDER --cifar FILE.npz

FOLDER has MNIST's t10k-images-idx3-ubyte.gz, FILE.npz an array `test` [N, 32, 32, 3]. Of digits the runs are of MNIST,
of colours of CIFAR-10; both of any number of levels. Known are the first test images of a set, and what is made of
digits is made of others: inverted (255 - v), rotated by a quarter, shuffled (all pixels of an image, each image in
another order), grey (CIFAR-10's middle, by luma), constants (each of as many levels as the model has, at most 50). In
colour: digits with a random colour on black, at 32x32; noise, each level as likely; and constants.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch

import pixkit
from pixkit.tasks.scoring import auroc

NAMES = ("nats", "complexity", "background", "local", "typicality")
LUMA = (0.299, 0.587, 0.114)


def digits_of(folder):
    content = gzip.decompress((Path(folder) / "t10k-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28).astype(np.int64)


def of_digits(digits, cifar, count, rng, levels):
    """Images [n, 1, 28, 28] of 0..255 by name, the known ones first."""
    known, others = digits[:count], digits[count : 2 * count]
    shuffled = np.stack([rng.permutation(image.ravel()).reshape(28, 28) for image in others])
    grey = np.rint(cifar[:count, 2:30, 2:30] @ np.array(LUMA)).astype(np.int64)
    sets = {"known": known, "inverted": 255 - others, "rotated": np.rot90(others, 1, (1, 2)), "shuffled": shuffled,
            "grey CIFAR-10": grey, "constants": constants(levels, (28, 28))}  # fmt: skip
    return {name: images[:, None] for name, images in sets.items()}


def of_colours(digits, cifar, count, rng, levels):
    """Images [n, 3, 32, 32] of 0..255 by name, the known ones first."""
    colours = rng.integers(64, 256, (count, 3, 1, 1))
    padded = np.pad(digits[:count], ((0, 0), (2, 2), (2, 2)))[:, None]
    return {"known": cifar[:count].transpose(0, 3, 1, 2), "digits in colour": padded * colours // 255,
            "noise": rng.integers(0, 256, (count, 3, 32, 32)), "constants": constants(levels, (3, 32, 32))}  # fmt: skip


def constants(levels, shape):
    values = np.rint(np.linspace(0, 255, min(levels, 50))).astype(np.int64)
    return np.broadcast_to(values.reshape(-1, *[1] * len(shape)), (len(values), *shape))


def scored(run, sets, levels, **options):
    """Each set's scores by name: all in one call, so that the runs are loaded once."""
    whole = np.concatenate(list(sets.values()))
    x = torch.from_numpy((whole >= 127.5).astype(np.int64) if levels == 2 else whole * levels // 256)
    rows = iter(pixkit.score(run, x, complexity=True, typicality=True, **options))
    return {name: [next(rows) for _ in images] for name, images in sets.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["digits", "colours"])
    parser.add_argument("run")
    parser.add_argument("--background")
    parser.add_argument("--local")
    parser.add_argument("--mnist", required=True)
    parser.add_argument("--cifar", required=True)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    levels, rng = pixkit.Run.open(asked.run).spec.levels, np.random.default_rng(0)
    with np.load(asked.cifar) as file:
        cifar = file["test"].astype(np.int64)
    make = of_digits if asked.kind == "digits" else of_colours
    sets = make(digits_of(asked.mnist), cifar, asked.images, rng, levels)
    options = {"background": asked.background, "local": asked.local, "device": asked.device}
    rows = scored(asked.run, sets, levels, **options)
    names = [name for name in NAMES if name == "nats" or name in rows["known"][0].corrected]
    print(f"| {len(rows['known'])} test images against | " + " | ".join(names) + " |\n|" + " --- |" * (len(names) + 1))
    for other in [each for each in sets if each != "known"]:
        values = [auroc(*[[row.score(name) for row in rows[side]] for side in ("known", other)]) for name in names]
        print(f"| {other} | " + " | ".join(f"{value:.3f}" for value in values) + " |", flush=True)


if __name__ == "__main__":
    main()
