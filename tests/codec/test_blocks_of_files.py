"""A compressed file's container: what is wrong with one is said, at the limits of every number."""

import io
import zlib

import pytest

from pixkit.codec import container
from pixkit.codec.container import MOST_TOGETHER, Head, Reader, Writer, checksum_of
from pixkit.codec.part import checked_labels
from pixkit.errors import DataError

HEAD = Head(bytes(16), (1, 3, 4), 5, 2, 1)
MORE = "the end of the file, where more was expected"


def written(head=HEAD, blocks=((3, (1, 2, 3)),), names=()):
    file = io.BytesIO()
    writer = Writer(file, head)
    for images, words in blocks:
        writer.write(images, words, b"abcd")
    writer.end(names)
    return file.getvalue()


def flipped(data, place):
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


FILE = written()
BLOCKS = len(HEAD.to_bytes())


def said_of(data):
    with pytest.raises(DataError) as refused:
        [*Reader(io.BytesIO(data), "a.pxk").blocks()]
    error = refused.value
    assert (error.where, error.exit_code) == ("a.pxk", 3)
    return error.message, error.found, error.hint or error.expected


@pytest.mark.parametrize(
    ("data", "message", "found"),
    [
        (flipped(FILE, 3), "this is not a compressed file of pixkit's", "another beginning"),
        (flipped(FILE, 22), "damaged", "another checksum of its head"),
        (flipped(FILE, BLOCKS - 1), "damaged", "another checksum of its head"),
        (flipped(FILE, BLOCKS + 12), "damaged", "another checksum of the block from image 0 on"),
        (flipped(FILE, -1), "damaged", "another checksum of its end"),
        (FILE + b"\0", "damaged", "bytes after its end"),
        (FILE[:-1], "cut short", MORE),
        (FILE[:3], "cut short", MORE),
        (FILE[: BLOCKS + 12], "cut short", MORE),
    ],
)
def test_what_is_wrong_is_said(data, message, found):
    assert said_of(data) == (message, found, "get another copy of the file")


def test_a_newer_version_is_told_from_damage():
    newer = FILE[:4] + b"\3" + FILE[5:]
    assert said_of(newer) == ("a file of a newer version", "3", "1 or 2")


@pytest.mark.parametrize("place", range(5))
def test_numbers_of_a_head_are_at_least_one(place):
    for least, fits in ((0, False), (1, True)):
        numbers = [2] * 5
        numbers[place] = least
        data = written(Head(bytes(16), tuple(numbers[:3]), *numbers[3:], 1))
        if fits:
            assert len([*Reader(io.BytesIO(data)).blocks()]) == 1
        else:
            assert said_of(data)[1] == "another checksum of its head"


def test_so_many_images_may_be_in_lockstep_and_no_more():
    most = written(Head(bytes(16), (1, 3, 4), 5, MOST_TOGETHER, 1))
    assert Reader(io.BytesIO(most)).head.together == MOST_TOGETHER
    assert said_of(written(Head(bytes(16), (1, 3, 4), 5, MOST_TOGETHER + 1, 1)))[1] == "another checksum of its head"


def test_only_blocks_with_wanted_images_are_read():
    data = written(blocks=[(images, (1, 2)) for images in (3, 2, 4)])
    for wanted, firsts in ((range(3, 5), [3]), (range(2, 5), [0, 3]), (range(4, 6), [3, 5]), (range(9, 9), [])):
        assert [block.first for block in Reader(io.BytesIO(data)).blocks(wanted)] == firsts


@pytest.mark.parametrize("number", [0, 1, 127, 128, 16383, 16384, 1 << 35])
def test_numbers_come_back_up_to_the_largest(number):
    file = io.BytesIO(FILE + container._number(number))
    reader = Reader(file)
    file.seek(len(FILE))
    assert reader._number() == number and file.read() == b""


@pytest.mark.parametrize("digits", [b"\x80\x00", b"\x81\x80\x80\x80\x80\x01", b"\x80" * 7, b"\x80" * 9 + b"\1"])
def test_numbers_that_are_written_otherwise_or_too_large_are_refused(digits):
    file = io.BytesIO(FILE + digits)
    reader = Reader(file)
    file.seek(len(FILE))
    with pytest.raises(DataError, match="an impossible number"):
        reader._number()


def test_a_file_is_read_a_piece_at_a_time(monkeypatch):
    asked = []

    class Asked(io.BytesIO):
        def read(self, size=-1):
            asked.append(size)
            return super().read(size)

    monkeypatch.setattr(container, "PIECE", 5)
    (block,) = Reader(Asked(FILE)).blocks()
    assert block.words.tolist() == [1, 2, 3] and (block.first, block.images, block.checksum) == (0, 3, b"abcd")
    assert 0 < max(asked) <= 5


def test_a_disk_that_fails_is_named():
    class Failing(io.BytesIO):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(DataError, match=r"a\.pxk: cannot be read") as refused:
        Reader(Failing(FILE), "a.pxk")
    assert "Input/output error" in refused.value.found


@pytest.mark.parametrize("change", [lambda text: text + b"x", lambda text: text[:-1]])
def test_names_are_one_whole_stream(monkeypatch, change):
    names, compress = ["a", "b", "c"], zlib.compress
    reader = Reader(io.BytesIO(written(names=names)))
    assert [*reader.blocks()] and reader.names == names
    monkeypatch.setattr(container.zlib, "compress", lambda *given: change(compress(*given)))
    assert said_of(written(names=names))[1] == "invalid names, or not as many as images"


def test_checksums_are_of_two_bytes_a_level_and_four_a_label():
    assert checksum_of([[1, 258]]) == zlib.crc32(b"\1\0\2\1").to_bytes(4, "little")
    assert checksum_of([[1]], [258]) == zlib.crc32(b"\1\0\2\1\0\0").to_bytes(4, "little")


def test_labels_are_from_0_up_to_the_models_number():
    program = type("Program", (), {"labels": 3})
    assert checked_labels(program, [0, 2, 1], 3).tolist() == [0, 2, 1]
    for wrong, found in (([-1, 2], "-1..2"), ([0, 3], "0..3"), ([3, 3], "3..3")):
        with pytest.raises(DataError, match="no such labels") as refused:
            checked_labels(program, wrong, 2)
        assert (refused.value.found, refused.value.expected) == (found, "0..2")
