import gzip
import io
import struct

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixkit.data import idx
from pixkit.data.idx import IdxFile, parse_idx, read_idx
from pixkit.errors import DataError


def header(*sizes, kind=8, rank=None):
    return struct.pack(f">HBB{len(sizes)}I", 0, kind, rank or len(sizes), *sizes)


IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
GOOD = header(2, 3, 4) + IMAGES.tobytes()


@pytest.mark.parametrize("content", [GOOD, gzip.compress(GOOD, mtime=0)], ids=["plain", "gzip"])
def test_plain_and_gzipped_files_are_told_by_their_bytes(tmp_path, content):
    path = tmp_path / "images-with-any-name"
    path.write_bytes(content)
    assert np.array_equal(read_idx(path, 3), IMAGES)


def test_images_are_in_the_order_number_row_column(tmp_path):
    (tmp_path / "f").write_bytes(GOOD)
    assert read_idx(tmp_path / "f", 3)[1, 2].tolist() == [20, 21, 22, 23]


DAMAGED = [
    (b"", "cut short"),
    (b"\0\0\x08", "cut short"),
    (GOOD[:9], "cut short"),
    (GOOD[:-1], "cut short"),
    (GOOD + b"\0", "more than the header"),
    (header(24) + IMAGES.tobytes(), "of the expected kind"),
    (header(2, 3, 4, kind=9) + IMAGES.tobytes(), "of the expected kind"),
    (b"\1" + GOOD[1:], "of the expected kind"),
    (header(0, 3, 4), "impossible size"),
    (header(2, 0, 4), "impossible size"),
    (header(2**32 - 1, 2**32 - 1, 2**32 - 1), "impossible size"),
    (header(3, 3, 4) + IMAGES.tobytes(), "cut short"),
    (gzip.compress(GOOD, mtime=0)[:-9], "gzip"),
    (gzip.compress(GOOD, mtime=0)[:20], "gzip"),
    (b"\x1f\x8b" + bytes(40), "gzip"),
    (gzip.compress(GOOD, mtime=0)[:-8] + bytes(8), "gzip"),
]


@pytest.mark.parametrize(("content", "message"), DAMAGED)
def test_damaged_files_are_refused(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, 3)
    assert caught.value.where == str(path)
    assert caught.value.exit_code == 3


SHORTS = header(2, 3, kind=11)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *(each for each in DAMAGED if "kind" not in each[1]),
        (SHORTS + bytes(11), "cut short"),
        (SHORTS + bytes(13), "more than the header"),
    ],
)
def test_they_are_refused_as_well_where_they_are_read_a_part_at_a_time(tmp_path, content, message):
    """In the same words, unless they are packed: then where they end is seen at the end."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        IdxFile(path, 2**40).read()
    assert caught.value.where == str(path)
    with pytest.raises(DataError) as whole:
        read_idx(path, None)
    if not content.startswith(b"\x1f"):
        assert str(caught.value) == str(whole.value)


def test_a_packed_file_that_is_too_short_or_too_long_for_its_header(tmp_path):
    path = tmp_path / "file"
    for content, said in (
        (GOOD[:-1], ("the file is cut short", None)),
        (GOOD + b"x", ("there is more than the header announces", "24 bytes and no more")),
    ):
        path.write_bytes(gzip.compress(content))
        with pytest.raises(DataError) as caught:
            IdxFile(path, 24).read()
        assert (caught.value.message, caught.value.expected, caught.value.where) == (*said, str(path))


def test_from_one_byte_to_the_largest_size(tmp_path, monkeypatch):
    (tmp_path / "f").write_bytes(header(1, 1, 1) + b"x")
    assert read_idx(tmp_path / "f", 3).size == 1
    (tmp_path / "f").write_bytes(GOOD)
    monkeypatch.setattr(idx, "LARGEST", 24)
    assert read_idx(tmp_path / "f", 3).size == 24
    monkeypatch.setattr(idx, "LARGEST", 23)
    with pytest.raises(DataError, match="impossible size") as caught:
        read_idx(tmp_path / "f", 3)
    assert (caught.value.found, caught.value.expected) == ("2 x 3 x 4", "1 to 23 bytes")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            read_idx(path, 3)


def test_a_header_costs_no_memory_beyond_the_file():
    class Counting(io.BytesIO):
        asked = 0

        def read(self, size=-1):
            Counting.asked = max(Counting.asked, size)
            return super().read(size)

    with pytest.raises(DataError, match="cut short"):
        parse_idx(Counting(header(2**21, 16, 32) + bytes(100)), 3, "bytes")
    assert 0 < Counting.asked <= 2**20


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_bytes_are_read_or_refused(tmp_path, data):
    content = bytearray(data.draw(st.sampled_from([GOOD, gzip.compress(GOOD, mtime=0)])))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] + data.draw(st.binary(max_size=4))
    path = tmp_path / "file"
    path.write_bytes(content)
    try:
        array = read_idx(path, 3)
    except DataError:
        return
    assert array.ndim == 3 and array.dtype == np.uint8 and array.size > 0


@given(st.binary(max_size=64), st.sampled_from([1, 3]))
def test_any_bytes_at_all_are_read_or_refused(content, rank):
    try:
        assert parse_idx(io.BytesIO(content), rank, "bytes").ndim == rank
    except DataError as error:
        assert error.where == "bytes"


@pytest.mark.parametrize("head", [b"\0\0\x08\0", b"\0\0\x0a\1\0\0\0\1", b"\0\1\x08\1\0\0\0\1", b"\1\0\x08\1\0\0\0\1"])
def test_what_has_no_axes_or_no_known_type_is_no_idx_file(tmp_path, head):
    (tmp_path / "f").write_bytes(head + b"x")
    with pytest.raises(DataError, match="not an IDX file") as caught:
        read_idx(tmp_path / "f", None)
    assert caught.value.expected == "00 00, a type and a number of axes"
    assert caught.value.found == f"first bytes {head[:4].hex(' ')}"


@pytest.mark.parametrize("kind", [">u1", ">i1", ">i2", ">i4", ">f4", ">f8"])
def test_arrays_of_any_type_and_number_of_axes(make, tmp_path, kind):
    number = {">u1": 8, ">i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}[kind]
    array = np.arange(96).reshape(4, 2, 4, 3)
    content = header(4, 2, 4, 3, kind=number) + array.astype(kind).tobytes()
    for name, packed in (("colours-idx4-ubyte", content), ("colours-idx4-ubyte.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(packed)
        data = make("arrays", train=name, source_levels=100, test_fraction=0.0, validation=0.0)
        assert np.array_equal(data.batch("train", torch.arange(4)).x.numpy(), array.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("place", ["", "raw", "EMNIST/raw"])
def test_emnist_letters_as_torchvision_leaves_them(make, tmp_path, place):
    """Columns come first, and labels begin at 1."""
    folder = tmp_path / "data" / place
    folder.mkdir(parents=True)
    images = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)
    for part, rows in (("train", slice(0, 3)), ("test", slice(3, 5))):
        labels = np.array([1, 26, 2, 26, 1], np.uint8)[rows]
        stored = images[rows].transpose(0, 2, 1)
        files = {"images-idx3-ubyte": header(*stored.shape) + stored.tobytes()}
        files["labels-idx1-ubyte.gz"] = gzip.compress(header(len(labels)) + labels.tobytes())
        for name, content in files.items():
            (folder / f"emnist-letters-{part}-{name}").write_bytes(content)
    data = make("idx", root="data", prefix="emnist-letters", validation=0.0)
    assert data.class_names == ("1", "2", "26")
    train, test = (data.batch(split, torch.arange(data.size(split))) for split in ("train", "test"))
    assert np.array_equal(train.x[:, 0].numpy(), images[:3]) and train.labels.tolist() == [0, 2, 1]
    assert np.array_equal(test.x[:, 0].numpy(), images[3:]) and test.labels.tolist() == [2, 0]
    with pytest.raises(DataError, match="there is no train-images-idx3-ubyte") as caught:
        make("idx", root="data")
    assert "data.prefix" in caught.value.hint and caught.value.exit_code == 3


def test_mnist_where_torchvision_has_it(make, idx_files, tmp_path):
    folder = tmp_path / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for stem, content in idx_files.items():
        (folder / f"{stem}-ubyte").write_bytes(content)
    assert make("mnist", root="data", validation=0.0).size("train") == 12
    with pytest.raises(DataError, match="there is no train-images-idx3-ubyte"):
        make("fashion_mnist", root="data")
