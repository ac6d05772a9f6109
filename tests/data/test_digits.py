import hashlib
from importlib import resources

import pytest
import torch

from pixkit.data import digits
from pixkit.errors import DataError
from pixkit.image import ImageSpec


def test_the_digits_are_all_there(make):
    data = make("digits")
    assert data.spec == ImageSpec(1, 8, 8, 17) and data.classes == 10
    assert [data.size(split) for split in ("train", "validation", "test")] == [1347, 150, 300]
    batches = [batch for split in ("train", "validation", "test") for batch in data.batches(split, 500)]
    x = torch.cat([batch.x for batch in batches])
    labels = torch.cat([batch.labels for batch in batches])
    assert (x.min(), x.max()) == (0, 16)
    assert torch.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert int(x.sum()) == 561718


def test_the_split_is_the_one_that_figures_are_reported_on(make):
    data = make("digits", split_seed=7)
    assert data.hashes()["test"] == make("digits").hashes()["test"]
    assert make("digits").hashes() == {
        "train": "8227b8be465f88b89361b18554139c042f66819e649430e44fcc28e47791c1c0",
        "test": "9ea6c58480163e2f291157077c5a1db3de42c66b0617fa535849ca16fb77c1fb",
        "split": "b8fc4e140d9dc3a0aa02d2d8cbe00d86d38dc962bcd440a547587411ca04d818",
    }


def test_they_are_scikit_learns(make):
    sklearn = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    reference = torch.from_numpy(sklearn.load_digits().images).long()
    data = make("digits", validation=0.0)
    x = torch.cat([batch.x[:, 0] for split in ("train", "test") for batch in data.batches(split, 2000)])
    assert torch.equal(torch.unique(x, dim=0), torch.unique(reference, dim=0))


def test_a_damaged_file_is_noticed(make, monkeypatch):
    monkeypatch.setattr(digits, "SHA256", "0" * 64)
    with pytest.raises(DataError, match="damaged"):
        make("digits")


def test_the_file_is_small_and_its_licence_beside_it():
    folder = resources.files("pixkit.data")
    content = folder.joinpath("digits.npz").read_bytes()
    assert len(content) < 100_000
    assert hashlib.sha256(content).hexdigest() == digits.SHA256
    licence = folder.joinpath("digits.LICENCE.txt").read_text(encoding="utf-8")
    assert "10.24432/C50P49" in licence and "CC BY 4.0" in licence
