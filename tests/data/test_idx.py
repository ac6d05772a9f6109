import gzip
import io
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixkit.data.idx import parse_idx, read_idx
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cut short"),
        (b"\0\0\x08", "cut short"),
        (GOOD[:9], "cut short"),
        (GOOD[:-1], "cut short"),
        (GOOD + b"\0", "more than the header"),
        (header(24) + IMAGES.tobytes(), "of the kind wanted"),
        (header(2, 3, 4, kind=9) + IMAGES.tobytes(), "of the kind wanted"),
        (b"\1" + GOOD[1:], "of the kind wanted"),
        (header(0, 3, 4), "absurd"),
        (header(2, 0, 4), "absurd"),
        (header(2**32 - 1, 2**32 - 1, 2**32 - 1), "absurd"),
        (header(3, 3, 4) + IMAGES.tobytes(), "cut short"),
        (gzip.compress(GOOD, mtime=0)[:-9], "gzip"),
        (gzip.compress(GOOD, mtime=0)[:20], "gzip"),
        (b"\x1f\x8b" + bytes(40), "gzip"),
        (gzip.compress(GOOD, mtime=0)[:-8] + bytes(8), "gzip"),
    ],
)
def test_damaged_files_are_refused(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, 3)
    assert caught.value.where == str(path)
    assert caught.value.exit_code == 3


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
