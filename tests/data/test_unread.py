"""Images that stay in their files."""

import os
from itertools import pairwise

import numpy as np
import pytest
import torch

from pixkit.data import held, kept, stored
from pixkit.data.unread import Rows, Unread
from pixkit.errors import DataError

X = np.random.default_rng(0).integers(0, 256, (11, 4, 3, 2), dtype=np.uint8)
PLAIN = torch.from_numpy(X.transpose(0, 3, 1, 2).copy())


@pytest.fixture
def unread(tmp_path):
    """The images in two files, after a head of 5 bytes."""
    rows = []
    for number, (start, stop) in enumerate(pairwise((0, 7, 11))):
        path = tmp_path / f"{number}.raw"
        path.write_bytes(b"12345" + X[start:stop].tobytes())
        rows.append(Rows(path, 5, (stop - start, *X.shape[1:]), (0, 3, 1, 2), X.dtype))
    return Unread.of(rows)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Every array stays in its file; what is found out of it is kept in a folder of its own."""
    monkeypatch.setattr(stored, "LARGE", 1)
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "cache"))


CHOSEN = [
    lambda x: x[-3],
    lambda x: x[2:9:3],
    lambda x: x[:0],
    lambda x: x[torch.tensor([9, 0, -1, 1, 2, 9])],
    lambda x: x.index_select(0, torch.tensor([6, 7])),
]
OTHERS = [
    lambda x: x[:, 1:, 0],
    lambda x: x[torch.arange(11) % 2 == 0],
    lambda x: x[torch.tensor([[1], [2]])],
    lambda x: x.float().mean((0, 1)),
    lambda x: torch.cat([x, x]),
    lambda x: torch.from_numpy(x.numpy()),
]


@pytest.mark.parametrize("number", range(len(CHOSEN) + len(OTHERS)))
def test_every_function_gives_what_it_gives_of_a_tensor(unread, monkeypatch, number):
    choose, read, asked = [*CHOSEN, *OTHERS][number], Unread.read, []
    monkeypatch.setattr(Unread, "read", lambda self, numbers: asked.append(len(numbers)) or read(self, numbers))
    found, expected = choose(unread), choose(PLAIN)
    assert type(found) is torch.Tensor and torch.equal(found, expected)
    assert (11 not in asked and found.is_contiguous()) == (number < len(CHOSEN))


def test_what_is_known_is_told_without_reading(unread, monkeypatch):
    monkeypatch.setattr(Unread, "read", None)
    for tell in (len, torch.Tensor.dim, torch.Tensor.numel, torch.Tensor.element_size):
        assert tell(unread) == tell(PLAIN)
    for name in ("shape", "dtype", "ndim", "device", "nbytes"):
        assert getattr(unread, name) == getattr(PLAIN, name)
    assert repr(unread).startswith("<images [11, 2, 4, 3] torch.uint8 in /")


@pytest.mark.parametrize("index", [11, -12, torch.tensor([3, 11])])
def test_no_image_beyond_the_last_is_read(unread, index):
    with pytest.raises(IndexError, match="of 11"):
        unread[index]


def test_a_file_that_changes_is_an_error_and_one_that_is_replaced_is_not(unread, tmp_path):
    first, second = (tmp_path / f"{number}.raw" for number in range(2))
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    other.rename(first)
    assert torch.equal(unread[:7], PLAIN[:7])
    os.utime(second, ns=(1, 1))
    with pytest.raises(DataError, match="changed") as caught:
        unread[8]
    assert caught.value.where == str(second) and "written to since" in caught.value.found
    os.truncate(second, 100)
    with pytest.raises(DataError, match="changed") as caught:
        unread[10]
    assert "ends before" in caught.value.found
    assert torch.equal(unread[3], PLAIN[3])


def test_files_are_closed_with_the_last_who_uses_them(unread):
    first, second = (file._descriptor for file in unread.files)
    del unread.files[0]
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(first)
    assert os.fstat(second).st_size == unread.files[0].stamp[2]


def test_the_second_time_nothing_is_read_and_batches_are_the_same(make, tmp_path, small, monkeypatch):
    keys = {"train": ["a.npy", "b.npz:x"], "test": None, "source_levels": 255}
    np.save(tmp_path / "a.npy", X[:7] // 2)
    np.savez(tmp_path / "b.npz", x=X[7:] // 2)
    for name in ("a.npy", "b.npz"):
        os.utime(tmp_path / name, (1e9, 1e9))
    first = make("arrays", **keys, layout="NHWC")
    assert isinstance(first.part("train").pixels, Unread) and not first.source.load().fresh
    monkeypatch.setattr(stored, "LARGE", 2**30)
    plain = make("arrays", **keys, layout="NHWC")
    monkeypatch.setattr(stored, "LARGE", 1)
    monkeypatch.setattr(held, "_looked_at", None)
    asked, read = [], Unread.read
    monkeypatch.setattr(Unread, "read", lambda self, numbers: asked.append(len(numbers)) or read(self, numbers))
    second = make("arrays", **keys, layout="NHWC")
    assert first.hashes() == second.hashes() == plain.hashes() and first.values == second.values == plain.values
    assert sum(asked) <= 3  # for the shape of one
    for split in plain.SPLITS:
        rows = torch.arange(plain.size(split)).flip(0)
        for data in (first, second):
            batch, expected = data.batch(split, rows), plain.batch(split, rows)
            assert torch.equal(batch.x, expected.x) and batch.x.stride() == expected.x.stride()
    assert any("its digest" in str(kept.facts_of(entry)) for entry in kept.entries())


def test_what_was_found_out_belongs_to_the_file_as_it_was(make, tmp_path, small):
    path = tmp_path / "a.npy"

    def levels(value, when):
        np.save(path, np.full((5, 2, 2), value, np.uint8))
        os.utime(path, (when, when))
        return make("arrays", train="a.npy", test=None, source_levels=10)

    hashes = [levels(value, 1e9 + value).hashes()["train"] for value in (3, 4, 3)]
    assert hashes[0] == hashes[2] != hashes[1]
    with pytest.raises(DataError, match="out of range") as caught:
        levels(10, 1e9)
    assert caught.value.where == str(path)
    assert len(kept.entries()) == 7  # range and digest of either of two splits, but for the one that was known
    levels(3, 4e9)
    assert len(kept.entries()) == 7, "a file that may still be written to is looked at every time"


def test_types_that_hold_more_than_there_are_levels_are_looked_through(make, tmp_path, small):
    np.save(tmp_path / "a.npy", np.arange(-1, 19, dtype=np.int16).reshape(5, 2, 2))
    with pytest.raises(DataError, match="out of range") as caught:
        make("arrays", train="a.npy", test=None, source_levels=300)
    assert caught.value.found == "-1..18"


@pytest.mark.parametrize("step", [2, 3, 9])
def test_the_array_whose_levels_are_out_of_range_is_named_with_its_own(make, tmp_path, small, monkeypatch, step):
    monkeypatch.setattr("pixkit.data.joined.rows_at_once", lambda shape, itemsize: step)
    for name, levels in (("a.npy", range(12)), ("b.npy", range(4, 20)), ("c.npy", [30] * 4)):
        np.save(tmp_path / name, np.array(levels, np.uint8).reshape(-1, 2, 2))
    with pytest.raises(DataError, match="out of range") as caught:
        make("arrays", train=["a.npy", "b.npy", "c.npy"], test=None, source_levels=19)
    assert (caught.value.where, caught.value.found) == (str(tmp_path / "b.npy"), "4..19")


def test_binarised_and_quantised_levels_are_made_of_it(make, tmp_path, small, monkeypatch):
    np.save(tmp_path / "a.npy", X[..., 0])
    ways = ({"levels": 4}, {"binarise": "static"}, {"binarise": "dynamic"})
    found = [make("arrays", train="a.npy", test=None, **way) for way in ways]
    monkeypatch.setattr(stored, "LARGE", 2**30)
    for way, data in zip(ways, found, strict=True):
        plain = make("arrays", train="a.npy", test=None, **way)
        assert all(
            torch.equal(data.batch(split, torch.arange(data.size(split)), 1).x, one.x)
            for split in plain.SPLITS
            for one in [plain.batch(split, torch.arange(plain.size(split)), 1)]
        )
