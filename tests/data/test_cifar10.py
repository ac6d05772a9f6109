import gzip
import hashlib
import io
import tarfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixkit.data.cifar10 import RECORD, Cifar10, parse_cifar
from pixkit.data.download import Remote
from pixkit.errors import DataError
from pixkit.image import ImageSpec

NAMES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]


def records(seed, count):
    """Images of random bytes and labels 0, 1, 2..., as one file."""
    rng = np.random.default_rng(seed)
    content = rng.integers(0, 256, (count, RECORD), dtype=np.uint8)
    content[:, 0] = np.arange(count) % 10
    return content.tobytes()


@pytest.fixture
def files():
    return {name: records(number, 3 + number) for number, name in enumerate(NAMES)}


@pytest.fixture
def root(tmp_path, files):
    folder = tmp_path / "cifar"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def archive(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), 1, mtime=0)


def check(data, files):
    assert data.spec == ImageSpec(3, 32, 32, 256) and data.classes == 10
    train = data.batch("train", torch.arange(25))
    raw = np.frombuffer(b"".join(files[name] for name in NAMES[:5]), dtype=np.uint8).reshape(-1, RECORD)
    assert train.labels.tolist() == raw[:, 0].tolist()
    assert np.array_equal(train.x.numpy().reshape(25, -1), raw[:, 1:])
    assert data.size("test") == 8


def test_a_folder_of_the_binary_files(make, root, files):
    data = make("cifar10", root="cifar", validation=0.0)
    check(data, files)
    assert len(data.notes) == 7 and "data_batch_1.bin holds 3 images" in data.notes[0]


@pytest.mark.parametrize("published", [3, 5, 9])
def test_there_may_be_more_images_than_were_published(make, root, files, monkeypatch, published):
    monkeypatch.setattr(Cifar10, "records", (published, 8))
    data = make("cifar10", root="cifar", validation=0.0)
    check(data, files)
    assert len(data.notes) == 5 + (published == 9)  # the classes, and each file but the one of so many


def test_colours_are_planes_red_first(make, root, files):
    content = bytearray(files["test_batch.bin"])
    content[1 : 1 + 1024] = b"\xff" * 1024
    content[1 + 1024 : RECORD] = bytes(2048)
    (root / "test_batch.bin").write_bytes(content)
    x = make("cifar10", root="cifar").batch("test", torch.tensor([0])).x[0]
    assert (x[0] == 255).all() and (x[1:] == 0).all()


def test_the_folder_of_the_archive_and_the_archive_itself(make, root, files, tmp_path):
    (tmp_path / "outer").mkdir()
    root.rename(tmp_path / "outer" / "cifar-10-batches-bin")
    check(make("cifar10", root="outer", validation=0.0), files)
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "cifar-10-binary.tar.gz").write_bytes(archive(files))
    check(make("cifar10", root="packed", validation=0.0), files)
    assert len(list((tmp_path / "packed").iterdir())) == 1


def test_the_archive_is_downloaded_into_the_cache(make, server, files, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "cache"))
    content = archive(files)
    server.files["cifar-10-binary.tar.gz"] = content
    name = "cifar-10-binary.tar.gz"
    remote = Remote(name, hashlib.md5(content).hexdigest(), len(content), (server.url + name,))
    cls = type("Served", (Cifar10,), {"remote": remote})
    check(make("cifar10", cls, validation=0.0), files)
    check(make("cifar10", cls, validation=0.0), files)
    assert len(server.requests) == 1
    server.files.clear()
    (tmp_path / "cache" / "cifar10" / name).unlink()
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        make("cifar10", cls)
    assert name in caught.value.hint


def test_missing_files_are_named(make, root, tmp_path):
    (root / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match="missing") as caught:
        make("cifar10", root="cifar")
    assert caught.value.expected == "data_batch_3.bin"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no CIFAR-10") as caught:
        make("cifar10", root="empty")
    assert "cifar-10-binary.tar.gz" in caught.value.expected
    with pytest.raises(DataError, match="no such folder"):
        make("cifar10", root="nowhere")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "whole number of records"),
        (records(0, 2)[:-1], "whole number of records"),
        (records(0, 2) + b"\0", "whole number of records"),
        (records(0, 2) + b"\x0a" + bytes(RECORD - 1), "label is out of range"),
    ],
)
def test_damaged_files_are_refused(make, root, content, message):
    (root / "data_batch_2.bin").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        make("cifar10", root="cifar")
    assert "data_batch_2.bin" in caught.value.where and caught.value.exit_code == 3
    if message == "whole number of records":
        assert caught.value.expected.endswith(": 1 label and 3072 values each")


def test_the_first_image_of_an_impossible_label_is_named(make, root):
    content = bytearray(records(0, 4))
    content[1 * RECORD] = content[3 * RECORD] = 10
    (root / "data_batch_2.bin").write_bytes(content)
    with pytest.raises(DataError) as caught:
        make("cifar10", root="cifar")
    assert caught.value.where.endswith("data_batch_2.bin, image 1") and caught.value.found == "10"


def test_a_file_far_too_large_is_not_read(make, root, monkeypatch):
    monkeypatch.setattr("pixkit.data.cifar10.LARGEST", RECORD)
    with pytest.raises(DataError, match="far too large"):
        make("cifar10", root="cifar")


@given(st.integers(0, 3), st.binary(max_size=20), st.data())
def test_bytes_are_read_or_refused(count, rest, data):
    content = bytearray(records(count, count) + rest)
    if content:
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels, labels = parse_cifar(bytes(content), "bytes")
    except DataError as error:
        assert error.where.startswith("bytes")
        return
    assert pixels.shape == (count, 3, 32, 32) and labels.shape == (count,) and labels.max() < 10
