"""Every registered data source against its contract, those that read files with small files made here."""

import struct

import numpy as np
import pytest
from PIL import Image

from pixkit.components.plugins import registry
from pixkit.testing import check_data, named

RNG = np.random.default_rng(0)


def arrays(folder):
    x = RNG.integers(0, 200, (40, 5, 4, 3), dtype=np.uint8)
    np.savez(folder / "x.npz", train=x, test=x[:7], y=np.arange(40) % 3, z=np.arange(7) % 3)
    return {"path": "x.npz", "train_labels": "y", "test_labels": "z"}


def cifar10(folder):
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        records = RNG.integers(0, 10, (6, 3073), dtype=np.uint8)
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    return {"root": "."}


def cifar100(folder):
    for name in ("train.bin", "test.bin"):
        records = RNG.integers(0, 20, (30, 3074), dtype=np.uint8)
        (folder / name).write_bytes(records.tobytes())
    return {"root": "."}


def digits(folder):
    return {}


def images(folder):
    for number in range(30):
        place = folder / "pictures" / f"class{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(place / f"{number}.png")
    return {"path": "pictures", "labels": True}


def mnist(folder):
    for part, count in (("train", 30), ("t10k", 8)):
        pixels = RNG.integers(0, 256, (count, 4, 5), dtype=np.uint8)
        for kind, array in (("images-idx3", pixels), ("labels-idx1", np.arange(count, dtype=np.uint8) % 10)):
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (folder / f"{part}-{kind}-ubyte").write_bytes(head + array.tobytes())
    return {"root": "."}


def static_mnist(folder):
    for split, count in (("train", 30), ("valid", 9), ("test", 8)):
        np.savetxt(folder / f"binarized_mnist_{split}.amat", RNG.integers(0, 2, (count, 784)), fmt="%d")
    return {"root": "."}


def synthetic(folder):
    return {"train_images": 60, "test_images": 20}


SOURCES = {
    "arrays": arrays,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "digits": digits,
    "fashion_mnist": mnist,
    "idx": mnist,
    "images": images,
    "mnist": mnist,
    "static_mnist": static_mnist,
    "synthetic": synthetic,
}
"""For each source what writes its files into a folder and gives its keys."""
ELSEWHERE = {"memory", "one_image"}
"""Loads nothing by itself: tests/training/test_train.py; cannot be split: tests/data/test_one_image.py."""


def test_no_source_is_left_out():
    assert set(SOURCES) | ELSEWHERE == {entry.name for entry in registry() if entry.kind == "data"}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize(
    "options",
    [{}, {"levels": 2}, {"binarise": "dynamic", "split_seed": 3}, {"validation": 0.0, "limit_test": 2}],
    ids=str,
)
def test_every_source(name, options, tmp_path):
    config = SOURCES[name](tmp_path)
    dataset = check_data(named("data", name, **config, **options), tmp_path)
    if "limit_test" in options:
        assert dataset.size("test") == 2
    if name != "static_mnist":  # whose images for validation are its own
        assert (dataset.size("validation") == 0) == (options.get("validation") == 0.0)


def test_classes_that_are_stated_are_told_without_reading_images(tmp_path):
    source = named("data", "arrays", **arrays(tmp_path), classes=5)
    assert source.build(tmp_path).known_classes() == ("0", "1", "2", "3", "4")
    assert check_data(source, tmp_path).classes == 5
    source = named("data", "images", **images(tmp_path))
    assert source.build(tmp_path).known_classes() == ("class0", "class1")
