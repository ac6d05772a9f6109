import gzip
import hashlib
import struct

import pytest
import torch

from pixkit.data.mnist import FashionMnist, Mnist, published
from pixkit.errors import DataError
from pixkit.image import ImageSpec


def test_a_folder_of_four_files(make, idx_root, idx_files):
    data = make("mnist", root="root", validation=0.0)
    assert data.spec == ImageSpec(1, 4, 3, 256) and data.classes == 10
    batch = data.batch("train", torch.arange(12))
    assert bytes(batch.x.flatten().tolist()) == idx_files["train-images-idx3"][16:]
    assert batch.labels.tolist() == [*range(10), 0, 1]
    assert data.size("test") == 5


def test_files_that_are_not_the_published_ones_are_read_and_named(make, idx_root):
    notes = make("mnist", root="root").notes
    assert len(notes) == 4 and all("not the published file" in note for note in notes)
    assert str(idx_root / "t10k-labels-idx1-ubyte") in notes[3]
    # Of Fashion-MNIST only the archives' checksums are published: plain files are not judged.
    notes = make("fashion_mnist", root="root").notes
    assert len(notes) == 3, "the two, and the names of the classes"
    assert [".gz " in note for note in notes if "not the published file" in note] == [True, True]


def test_other_ways_of_writing_the_names(make, idx_root):
    (idx_root / "train-labels-idx1-ubyte").rename(idx_root / "train-labels.idx1-ubyte")
    (idx_root / "train-images-idx3-ubyte.gz").rename(idx_root / "train-images.idx3-ubyte.gz")
    assert make("mnist", root=str(idx_root)).size("test") == 5


def test_a_missing_file_is_named(make, idx_root):
    (idx_root / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="there is no t10k-labels-idx1-ubyte") as caught:
        make("mnist", root="root")
    assert caught.value.where == str(idx_root)
    with pytest.raises(DataError, match="no such folder"):
        make("mnist", root="elsewhere")


@pytest.mark.parametrize(
    ("labels", "message"),
    [(bytes(11), "differ in number"), (bytes(13), "differ in number"), (bytes(11) + b"\x0a", "out of range")],
)
def test_labels_must_fit(make, idx_root, labels, message):
    (idx_root / "train-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, len(labels)) + labels)
    with pytest.raises(DataError, match=message) as caught:
        make("mnist", root="root")
    assert "train-labels" in caught.value.where
    assert caught.value.found == (f"{len(labels)} labels" if message == "differ in number" else "10")


def test_train_and_test_images_of_unlike_sizes_are_refused(make, idx_root):
    content = struct.pack(">HBB3I", 0, 8, 3, 5, 3, 4) + bytes(60)
    (idx_root / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match="different shapes"):
        make("mnist", root="root")


def served(server, files, cls=Mnist):
    """A class like `cls` whose archives lie on the test's server."""
    table = {}
    for stem, content in files.items():
        archive = gzip.compress(content, mtime=0)
        server.files[f"{stem}-ubyte.gz"] = archive
        table[stem] = (len(archive), hashlib.md5(archive).hexdigest(), hashlib.md5(content).hexdigest())
    return type("Served", (cls,), {"files": published((server.url,), table)})


def test_what_is_not_in_the_cache_is_downloaded_once(make, server, idx_files, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "cache"))
    cls = served(server, idx_files)
    told = []
    data = make("mnist", cls, progress=lambda *what: told.append(what))
    assert data.size("test") == 5 and data.notes == ()
    assert {what for what, _, _ in told} == set(server.files)
    assert all(0 < done <= total for _, done, total in told)
    assert len(server.requests) == 4
    assert make("mnist", cls).hashes() == data.hashes()
    assert len(server.requests) == 4
    (tmp_path / "cache" / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    make("mnist", cls)
    assert [name for name, _ in server.requests[4:]] == ["t10k-labels-idx1-ubyte.gz"]


def test_files_put_into_the_cache_by_hand_are_used(make, server, idx_files, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    for stem, content in idx_files.items():
        (tmp_path / "mnist" / f"{stem}-ubyte").write_bytes(content)
    make("mnist", served(server, idx_files))
    assert server.requests == []


def test_without_a_network_the_message_says_which_files_to_put_where(make, server, idx_files, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "cache"))
    cls = served(server, idx_files)
    server.files.clear()
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        make("mnist", cls)
    text = str(caught.value)
    assert str(tmp_path / "cache" / "mnist") in text and "data.root" in text and "HTTP 404" in text
    assert all(f"{stem}-ubyte.gz" in text for stem in idx_files)


@pytest.mark.parametrize("cls", [Mnist, FashionMnist])
def test_the_published_files_are_listed_in_full(cls):
    assert list(cls.files) == ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]
    checksums = {known.archive.md5 for known in cls.files.values()}
    assert len(checksums) == 4 and all(len(bytes.fromhex(md5)) == 16 for md5 in checksums)
    for known in cls.files.values():
        assert len(known.archive.mirrors) == 2
        assert all(url.endswith(f"/{known.archive.name}") for url in known.archive.mirrors)


def test_the_real_mnist(make, real_data):
    data = make("mnist", root=str(real_data / "mnist"), validation=0.0)
    assert data.spec == ImageSpec(1, 28, 28, 256)
    assert (data.size("train"), data.size("test")) == (60_000, 10_000)
    assert data.notes == ()
    labels = torch.cat([batch.labels for batch in data.batches("test", 2000)])
    assert torch.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.batch("train", torch.arange(5)).labels.tolist() == [5, 0, 4, 1, 9]
