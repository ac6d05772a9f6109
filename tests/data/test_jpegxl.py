"""JPEG XL, written by imagecodecs, which binds libjxl."""

import io
from dataclasses import replace

import numpy as np
import pytest

from pixkit.data import jpegxl, picture
from pixkit.data.depth import Unread
from pixkit.data.jpegxl import header
from pixkit.data.picture import BadPicture, Form, frames_of, read_frames, read_picture, read_whole, size_of

imagecodecs = pytest.importorskip("imagecodecs", reason="JPEG XL is an extra: imagecodecs")
RNG = np.random.default_rng(0)
RGB = Form(3, None, "exact", "bicubic", 10_000)
GREY = Form(1, None, "exact", "bicubic", 10_000)


def written(path, pixels, **options):
    path.write_bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, **options))
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.jxl"


@pytest.mark.parametrize("boxes", [False, True])
@pytest.mark.parametrize(
    "shape", [(5, 7), (5, 7, 3), (40, 56, 3), (64, 64), (9, 16), (300, 400), (600, 3, 3), (30, 36)]
)
def test_pictures_of_8_bits(path, shape, boxes):
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
    written(path, pixels, usecontainer=boxes)
    form = Form(3 if len(shape) == 3 else 1, None, "exact", "bicubic", 200_000)
    found = read_whole(path, form)
    expected = pixels.transpose(2, 0, 1) if len(shape) == 3 else pixels[None]
    assert np.array_equal(found.pixels, expected) and found.bits == 8 and found.grey == (len(shape) == 2)
    assert size_of(path) == shape[:2] and not found.several


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_deep_pictures(path, shape, bits):
    """imagecodecs gives values as they are stored, 0..1023 of 10 bits: the header says of how many bits they are."""
    pixels = RNG.integers(0, 2**bits, shape, dtype=np.uint16)
    written(path, pixels, bitspersample=bits)
    channels = 3 if len(shape) == 3 else 1
    expected = pixels.transpose(2, 0, 1) if channels == 3 else pixels[None]
    whole = read_whole(path, Form(channels, None, "exact", "bicubic", 10_000, 65536))
    assert whole.bits == bits
    assert np.array_equal(whole.pixels, np.rint(expected * (65535 / (2**bits - 1))))
    eight = read_picture(path, Form(channels, None, "exact", "bicubic", 10_000))
    assert np.array_equal(eight, np.rint(expected * (255 / (2**bits - 1))))


def test_opacity_is_composited_on_white_or_kept(path):
    pixels = RNG.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    pixels[0, :, 3], pixels[1, :, 3] = 0, 255
    found = read_picture(written(path, pixels), RGB)
    assert (found[:, 0] == 255).all() and np.array_equal(found[:, 1], pixels[1, :, :3].T)
    assert np.array_equal(read_picture(path, Form(4, None, "exact", "bicubic", 100)), pixels.transpose(2, 0, 1))
    pale = RNG.integers(0, 256, (5, 7, 2), dtype=np.uint8)
    pale[..., 1] = 255
    found = read_whole(written(path, pale), GREY)
    assert found.grey and np.array_equal(found.pixels[0], pale[..., 0])


def test_the_size_is_bounded_before_anything_is_decoded(path, monkeypatch):
    written(path, RNG.integers(0, 256, (50, 70), dtype=np.uint8))
    monkeypatch.setattr(picture, "decoded", None)
    with pytest.raises(BadPicture, match="too many pixels") as caught:
        read_whole(path, Form(1, None, "exact", "bicubic", 3499))
    assert caught.value.found == "70 x 50 = 3500"


def test_of_an_animation_the_first_frame_is_read(path):
    frames = RNG.integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)
    found = read_whole(written(path, frames), RGB)
    assert np.array_equal(found.pixels, frames[0].transpose(2, 0, 1)) and found.several
    (only,) = read_frames(path, RGB)
    assert np.array_equal(only.pixels, found.pixels) and frames_of(path) == 1
    path.write_bytes(path.read_bytes()[:4])
    assert frames_of(path) == 0 and size_of(path) is None


@pytest.mark.parametrize(
    ("bits", "size"),
    [
        ("1 00100 001", (40, 40)),  # eighths, square
        ("1 00100 000 00110", (40, 56)),
        ("0 00 000000100 000 01 0000000000110", (5, 7)),
        ("0 00 000001001 010", (10, 12)),
        ("0 00 000001000 101", (9, 16)),
        ("0 00 000001111 011", (16, 21)),
        ("0 10 000000000000000000 110", (1, 1)),
        ("0 00 000000000 111", (1, 2)),
        ("0 00 000100011 100", (36, 54)),
        ("0 00 000100011 011", (36, 48)),
        ("0 00 000100011 110", (36, 45)),
    ],
)
def test_a_size_is_written_in_many_ways(bits, size):
    """Each number with its lowest bit first; all metadata are the default ones."""
    text = "".join(part[::-1] for part in bits.split()) + "1"
    stream = int(text[::-1], 2).to_bytes(16, "little")
    found = header(io.BytesIO(b"\xff\x0a" + stream))
    assert found == jpegxl.Header(*size, 8, floats=False, animated=False)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_the_header_exchanges_height_and_width(orientation):
    text = "1" + "00100" + "000" + "01100" + "0" + "1" + f"{orientation - 1:03b}"[::-1] + "000" + "0" + "01"[::-1]
    found = header(io.BytesIO(b"\xff\x0a" + int(text[::-1], 2).to_bytes(16, "little")))
    assert (found.height, found.width) == ((40, 56) if orientation < 5 else (56, 40)) and found.bits == 10


@pytest.mark.parametrize("cut", [2, 3, 20, 40, -5])
@pytest.mark.parametrize("boxes", [False, True])
def test_what_is_cut_short_is_no_readable_image(path, cut, boxes):
    content = imagecodecs.jpegxl_encode(
        RNG.integers(0, 256, (50, 70), dtype=np.uint8), lossless=True, usecontainer=boxes
    )
    path.write_bytes(content[:cut])
    with pytest.raises(BadPicture, match="not a readable image"):
        read_whole(path, GREY)


def test_a_folder_of_them_is_read_under_any_name(make, tmp_path):
    (tmp_path / "all").mkdir()
    pixels = RNG.integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        written(tmp_path / "all" / f"{number}.{'png' if number else 'jxl'}", image)
    data = make("images", path="all", validation=0.0, test_fraction=0.0)
    assert np.array_equal(data.part("train").levels(slice(None)).numpy(), pixels.transpose(0, 3, 1, 2))


def test_without_the_library_the_message_says_how_to_get_it(path, monkeypatch):
    written(path, RNG.integers(0, 256, (5, 7), dtype=np.uint8))
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    with pytest.raises(BadPicture) as caught:
        read_whole(path, GREY)
    assert "pixkit-models[jxl]" in caught.value.hint


def bits(*fields):
    """A codestream of fields (value, bits), the lowest bit first, as the header is written."""
    value = place = 0
    for number, width in fields:
        value, place = value | number << place, place + width
    return b"\xff\x0a" + value.to_bytes(-(-place // 8), "little")


SIZE = (1, 1), (2, 5), (0, 3), (3, 5)


@pytest.mark.parametrize(("fields", "depth"), [
    ([(0, 1), (0, 2)], (8, False)), ([(0, 1), (1, 2)], (10, False)), ([(0, 1), (2, 2)], (12, False)),
    ([(0, 1), (3, 2), (13, 6)], (14, False)), ([(1, 1), (0, 2)], (32, True)), ([(1, 1), (1, 2)], (16, True)),
    ([(1, 1), (2, 2)], (24, True)), ([(1, 1), (3, 2), (9, 6)], (10, True)),
])  # fmt: skip
@pytest.mark.parametrize("extra", [
    [(0, 1)], [(1, 1), (0, 3), (0, 1), (0, 1), (0, 1)], [(1, 1), (3, 3), (1, 1), *SIZE, (0, 1), (0, 1)],
    *([(1, 1), (0, 3), (0, 1), (1, 1), (1, 1), *side, (0, 3), *other, (0, 1)]
      for side, other in (([(0, 2)], [(1, 2)]), ([(2, 2), (7, 5)], [(3, 2), (1, 9)]))),
    *([(1, 1), (0, 3), (0, 1), (1, 1), (0, 1), (way, 2), (5, bits), (1, 3), (0, 1)]
      for way, bits in enumerate((6, 8, 10, 12))),
    *([(1, 1), (0, 3), (0, 1), (0, 1), (1, 1), *(part for width in widths for part in ((way, 2), (0, width))), (0, 1)]
      for way, widths in enumerate(((0, 0, 0), (0, 0, 3), (10, 8, 16), (30, 10, 32)))),
])  # fmt: skip
def test_the_header_is_read_past_what_is_of_no_use_here(fields, depth, extra):
    """Orientation, intrinsic size, preview and animation stand before the depth, and ones after it."""
    found = header(io.BytesIO(bits(*SIZE, (0, 1), *extra, *fields, (2**64 - 1, 64))))
    animated = extra[3:5] == [(0, 1), (1, 1)]
    assert found == jpegxl.Header(24, 32, depth[0], floats=depth[1], animated=animated)


def test_a_header_is_as_long_as_what_it_says():
    square = (0, 1), (0, 2), (23, 9), (1, 3)
    whole = bits(*square, (0, 1), (1, 1), (5, 3), (0, 3), (0, 1), (3, 2), (13, 6))
    assert len(whole) == 2 + 4 and header(io.BytesIO(whole)) == jpegxl.Header(24, 24, 14, floats=False, animated=False)
    with pytest.raises(ValueError, match="the header is cut short"):
        header(io.BytesIO(whole[:-1]))


def test_values_that_are_not_whole_numbers_of_16_bits_are_refused():
    pixels = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
    file = io.BytesIO(imagecodecs.jpegxl_encode(pixels, lossless=True))
    whole = jpegxl.Header(5, 7, 8, floats=False, animated=False)
    stored, grey = jpegxl.decoded(file, whole)
    assert (stored.most, stored.opacity, grey) == (255, None, True) and np.array_equal(stored.values[..., 0], pixels)
    assert jpegxl.decoded(file, replace(whole, bits=16))[0].most == 65535
    for change, said in (
        ({"bits": 17}, "JPEG XL of 17 bits"), ({"floats": True, "bits": 16}, "JPEG XL of 16 bits, floats"),
        ({"height": 6}, "JPEG XL of uint8 (5, 7)"), ({"width": 5}, "JPEG XL of uint8 (5, 7)"),
    ):  # fmt: skip
        with pytest.raises(Unread) as caught:
            jpegxl.decoded(file, replace(whole, **change))
        assert caught.value.args == (said,)


def boxes(*parts):
    return b"\0\0\0\x0cJXL \r\n\x87\n" + b"".join(parts)


def box(kind, content, size=None):
    return (8 + len(content) if size is None else size).to_bytes(4, "big") + kind + content


def test_the_codestream_is_found_among_boxes(monkeypatch):
    stream = bits(*SIZE, (1, 1), (0, 64))
    long = (1).to_bytes(4, "big") + b"more" + (16 + 5).to_bytes(8, "big") + b"12345"
    parts = box(b"jxlp", b"\0\0\0\0" + stream[:3]), box(b"jxlp", b"\0\0\0\1" + stream[3:])
    for found in (
        [box(b"jxlc", stream)], [box(b"jxlc", stream, 0)], [box(b"free", b""), long, box(b"jxlc", stream)], parts,
        [(1).to_bytes(4, "big") + b"jxlc" + (16 + len(stream)).to_bytes(8, "big") + stream],
        [parts[0], box(b"jxlp", b"\0\0\0\1" + stream[3:], 0)],
    ):  # fmt: skip
        assert (header(io.BytesIO(boxes(*found))).height, header(io.BytesIO(boxes(*found))).width) == (24, 32)
    for wrong, text in (([box(b"free", b"", 7)], "ends before it begins"), ([box(b"more", b"", 0)], "no codestream")):
        with pytest.raises(ValueError, match=text):
            header(io.BytesIO(boxes(*wrong, box(b"jxlc", stream))))
    monkeypatch.setattr(jpegxl, "MOST_BOXES", 3)
    assert header(io.BytesIO(boxes(*[box(b"free", b"")] * 2, box(b"jxlc", stream)))).height == 24
    with pytest.raises(ValueError, match="no codestream"):
        header(io.BytesIO(boxes(*[box(b"free", b"")] * 3, box(b"jxlc", stream))))
