"""Binarised MNIST as its .amat files publish it."""

import os

import numpy as np
import pytest
import torch

from pixkit.data import static_mnist
from pixkit.errors import DataError
from pixkit.image import ImageSpec

X = np.random.default_rng(0).integers(0, 2, (12, 784), dtype=np.uint8)
PARTS = {"train": slice(0, 6), "valid": slice(6, 9), "test": slice(9, 12)}


@pytest.fixture
def root(tmp_path):
    for split, rows in PARTS.items():
        np.savetxt(tmp_path / f"binarized_mnist_{split}.amat", X[rows], fmt="%d")
    return tmp_path


def test_the_splits_are_those_of_the_files(make, root):
    data = make("static_mnist", root=".")
    assert data.spec == ImageSpec(1, 28, 28, 2) and data.description == "static_mnist, 2 levels"
    for split, name in (("train", "train"), ("validation", "valid"), ("test", "test")):
        found = data.batch(split, torch.arange(data.size(split))).x
        assert np.array_equal(found.reshape(-1, 784).numpy(), X[PARTS[name]])
    assert data.notes[0] == "binarized_mnist_train.amat holds 6 images, the published one 50000"
    assert set(data.hashes()) == {"train", "validation", "test", "split"}


def test_blanks_at_the_ends_and_other_line_breaks(make, root):
    path = root / "binarized_mnist_test.amat"
    path.write_bytes(path.read_bytes().replace(b"\n", b" \r\n") + b"\n")
    assert np.array_equal(make("static_mnist", root=".").batch("test", torch.arange(3)).x.reshape(3, -1), X[9:])


@pytest.mark.parametrize(
    ("content", "where", "found"),
    [
        (b"", "line 1", "0 numbers"),
        (b"\n\n", "line 1", "0 numbers"),
        (b"0 1\n", "line 1", "2 numbers"),
        (b"0 " * 784 + b"\n" + b"0 " * 783 + b"\n", "line 2", "783 numbers"),
        (b"0 " * 784 + b"\n\n" + b"0 " * 785, "line 3", "785 numbers"),
        (b"0 " * 784 + b"\n" + b"0 " * 783 + b"2\n", "line 2", r"' 2\n'"),
        (b"0 " * 783 + b"01\n", "line 1", r"'01\n'"),
        (b"0 " * 783 + b"1.0\n", "line 1", r"'1.0\n'"),
        (b"2 0\n", "line 1", r"'2 0\n'"),
        (b"0 " * 9 + b"x" + b"1 " * 9, "line 1", "' x1 1 1 1'"),
    ],
)
def test_anything_else_is_refused_by_its_line(make, root, content, where, found):
    (root / "binarized_mnist_test.amat").write_bytes(content)
    with pytest.raises(DataError, match="zeros and ones") as caught:
        make("static_mnist", root=".")
    assert caught.value.where.endswith(f"_test.amat, {where}") and caught.value.exit_code == 3
    assert caught.value.found == found


def test_files_of_the_published_sizes_are_not_remarked_on(make, root, monkeypatch):
    monkeypatch.setattr(static_mnist, "SIZES", {"train": 6, "valid": 3, "test": 4})
    told = []
    data = make("static_mnist", root=".", progress=lambda *what: told.append(what))
    assert data.notes == ("binarized_mnist_test.amat holds 3 images, the published one 4",)
    assert told == [(f"reading {root.name}", number, 3) for number in (1, 2, 3)]


def test_a_missing_file_is_named(make, root):
    (root / "binarized_mnist_valid.amat").unlink()
    with pytest.raises(DataError, match="there is no such file") as caught:
        make("static_mnist", root=".")
    assert caught.value.where.endswith("binarized_mnist_valid.amat")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_in_place_of_a_file_is_not_waited_for(make, root):
    path = root / "binarized_mnist_valid.amat"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="cannot be read") as caught:
        make("static_mnist", root=".")
    assert caught.value.where == str(path) and "a pipe" in caught.value.found
