import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pixkit.data.picture import BadPicture, Form, frames_of, read_frames, read_picture, read_whole, size_of
from pixkit.errors import DataError

GREY = Form(1, None, "crop", "bicubic", 10_000)
RGB = replace(GREY, channels=3)
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "picture"


def save(path, image, kind="PNG", **options):
    image.save(path, kind, **options)
    return path


def pixel(path, image, form=RGB, kind="PNG", **options):
    """The one colour of a picture of one colour."""
    array = read_picture(save(path, image, kind, **options), form)
    flat = array.reshape(array.shape[0], -1)
    assert (flat == flat[:, :1]).all()
    return flat[:, 0].tolist()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_colours_survive_and_axes_are_channel_row_column(path, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    array = read_picture(save(path, Image.fromarray(COLOURS), kind, **options), RGB)
    assert array.dtype == np.uint8 and np.array_equal(array, COLOURS.transpose(2, 0, 1))


def test_grey_is_the_luma_of_colour_and_grey_stays(path):
    array = read_picture(save(path, Image.fromarray(COLOURS)), GREY)
    luma = COLOURS @ np.array([0.299, 0.587, 0.114])
    assert array.shape == (1, 4, 6) and np.abs(array[0] - luma).max() <= 1
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    assert read_picture(save(path, ramp), GREY)[0, 0].tolist() == list(range(256))
    assert (read_picture(path, RGB) == np.arange(256)).all()


def test_transparency_is_composited_on_white(path):
    size = (2, 2)
    assert pixel(path, Image.new("RGBA", size, (0, 0, 0, 0))) == [255, 255, 255]
    assert pixel(path, Image.new("RGBA", size, (10, 20, 30, 255))) == [10, 20, 30]
    assert pixel(path, Image.new("RGBA", size, (0, 100, 200, 51))) == [204, 224, 244]
    assert pixel(path, Image.new("LA", size, (0, 51)), GREY) == [204]


def test_a_transparent_colour_is_transparent(path):
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert pixel(path, palette) == [10, 20, 30]
    assert pixel(path, palette, transparency=0) == [10, 20, 30]
    assert pixel(path, palette, transparency=1) == [255, 255, 255]
    assert pixel(path, Image.new("RGB", (2, 2), (1, 2, 3)), transparency=(1, 2, 3)) == [255, 255, 255]
    assert pixel(path, Image.new("L", (2, 2), 7), GREY, transparency=7) == [255]


def test_black_and_white_cmyk_and_gif(path):
    assert pixel(path, Image.new("1", (3, 2), 1), GREY) == [255]
    assert pixel(path, Image.new("CMYK", (2, 2), (0, 255, 255, 0)), kind="TIFF") == [255, 0, 0]
    red, green, blue = pixel(path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), kind="JPEG")
    assert red > 250 and green < 5 and blue < 5
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 200, 100, 50])
    assert pixel(path, palette, kind="GIF") == [200, 100, 50]
    red, blue = Image.new("RGB", (2, 2), (255, 0, 0)), Image.new("RGB", (2, 2), (0, 0, 255))
    assert pixel(path, red, kind="GIF", save_all=True, append_images=[blue]) == [255, 0, 0]


def test_pictures_of_one_frame_have_one_and_what_is_none_has_none(path):
    red, blue = (Image.new("RGB", (3, 2), colour) for colour in ("red", "blue"))
    for kind, options, count in (
        ("PNG", {}, 1),
        ("PPM", {}, 1),
        ("GIF", {"save_all": True, "append_images": [blue]}, 2),
    ):
        save(path, red, kind, **options)
        assert (frames_of(path), size_of(path), read_whole(path, RGB).several) == (count, (2, 3), count > 1)
        assert [frame.pixels[2, 0, 0] for frame in read_frames(path, RGB)] == [0, 255][:count]
    path.write_bytes(b"none")
    assert frames_of(path) == 0 and size_of(path) is None


@pytest.mark.parametrize(
    ("mode", "grey"), [("1", True), ("L", True), ("LA", True), ("I;16", True), ("P", False), ("RGB", False)]
)
def test_grey_is_told_from_colour_by_its_mode(path, mode, grey):
    assert read_whole(save(path, Image.new(mode, (2, 2))), RGB).grey == grey


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_become_eight_by_rounding(path, kind):
    values = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]], dtype=np.uint16)
    if kind == "PPM":  # by hand: Pillow writes these from 11 on
        path.write_bytes(b"P5 8 1 65535\n" + values.astype(">u2").tobytes())
    else:
        save(path, Image.fromarray(values), kind)
    array = read_picture(path, GREY)
    assert array[0, 0].tolist() == [0, 0, 1, 1, 128, 254, 255, 255]
    assert (read_picture(path, RGB) == array).all()


def tiff(content, width, bits, photometric=1, sample_format=1):
    """An uncompressed TIFF file of one row of grey, by hand: Pillow does not write all that it reads."""
    tags = {256: width, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 134, 277: 1, 278: 1, 279: len(content)}
    fields = [struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in {**tags, 339: sample_format}.items()]
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + b"".join(fields) + bytes(4) + content


@pytest.mark.parametrize("photometric", [0, 1])
def test_grey_is_as_bright_as_a_tiff_says_at_every_depth(path, photometric):
    stored = np.array([0, 15, 2570, 65535])  # of 16 bits; the others keep what they can of it
    rows = {
        8: (bytes((stored >> 8).tolist()), [0, 0, 10, 255]),
        16: (stored.astype("<u2").tobytes(), [0, 0, 10, 255]),
    }
    if photometric == 1:  # Pillow does not read 12 bits that are white at 0
        rows[12] = bytes.fromhex("00000f 0a1fff"), [0, 1, 10, 255]
    for bits, (content, levels) in rows.items():
        path.write_bytes(tiff(content, 4, bits, photometric))
        found = read_picture(path, GREY)[0, 0].tolist()
        assert found == [level if photometric == 1 else 255 - level for level in levels], bits


def test_signed_bytes_are_refused(path):
    path.write_bytes(tiff(np.array([-128, -1, 0, 127], np.int8).tobytes(), 4, 8, sample_format=2))
    with pytest.raises(DataError, match="mode") as caught:
        read_picture(path, GREY)
    assert caught.value.found == "signed values of 8 bits"
    path.write_bytes(tiff(np.array([0, 257, 32767], "<i2").tobytes(), 3, 16, sample_format=2))
    assert read_picture(path, GREY)[0, 0].tolist() == [0, 1, 127]
    path.write_bytes(tiff(np.array([0, -1, 32767], "<i2").tobytes(), 3, 16, sample_format=2))
    with pytest.raises(DataError, match="beyond 16 bits"):
        read_picture(path, GREY)


def test_values_without_a_meaning_as_grey_are_refused(path):
    save(path, Image.fromarray(np.full((2, 2), 0.5, np.float32)), "TIFF")
    with pytest.raises(DataError, match="mode") as caught:
        read_picture(path, GREY)
    assert caught.value.found == "F"
    for values in ([65536, 70000], [0, 65536], [-1, 0]):
        save(path, Image.fromarray(np.array([values], np.int32)), "TIFF")
        with pytest.raises(DataError, match="mode") as caught:
            read_picture(path, GREY)
        assert caught.value.found == f"grey values beyond 16 bits, {values[0]}..{values[1]}"
    save(path, Image.fromarray(np.array([[0, 65535]], np.int32)), "TIFF")
    assert read_picture(path, GREY)[0, 0].tolist() == [0, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_exif_says(path, orientation):
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    undo = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(path, Image.fromarray(np.ascontiguousarray(undo[orientation])), exif=exif)
    assert np.array_equal(read_picture(path, GREY)[0], upright)


@pytest.mark.parametrize(
    ("fit", "expected"),
    [
        ("crop", [[80, 120], [80, 120]]),
        ("resize", [[60, 140], [60, 140]]),
        ("pad", [[60, 140], [255, 255]]),
    ],
)
def test_fits(path, fit, expected):
    """A 4x2 (width by height) picture with columns 40, 80, 120, 160 brought to 2x2 by averaging."""
    image = Image.fromarray(np.array([[40, 80, 120, 160]] * 2, dtype=np.uint8))
    array = read_picture(save(path, image), replace(GREY, size=(2, 2), fit=fit, resample="box"))
    assert array[0].tolist() == expected


def test_size_is_height_and_width(path):
    save(path, Image.new("L", (5, 7), 9))
    for fit in ("crop", "resize", "pad"):
        array = read_picture(path, replace(GREY, size=(3, 8), fit=fit))
        assert array.shape == (1, 3, 8) and array[0, 1, 4] == 9


def test_exact_refuses_another_size(path):
    save(path, Image.new("L", (5, 7)))
    assert read_picture(path, replace(GREY, size=(7, 5), fit="exact")).shape == (1, 7, 5)
    with pytest.raises(DataError, match="different size") as caught:
        read_picture(path, replace(GREY, size=(5, 7), fit="exact"))
    assert caught.value.found.startswith("7 x 5")


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1)])
@pytest.mark.parametrize("fit", ["crop", "resize", "pad"])
def test_extreme_shapes(path, size, fit):
    save(path, Image.new("RGB", size, (50, 60, 70)))
    assert read_picture(path, replace(RGB, size=(3, 3), fit=fit)).shape == (3, 3, 3)
    assert read_picture(path, RGB)[:, 0, 0].tolist() == [50, 60, 70]


@pytest.mark.parametrize(("error", "found"), [(ValueError("one\ntwo"), "one"), (KeyError(), "KeyError")])
def test_what_pillow_raises_is_a_bad_picture(path, monkeypatch, error, found):
    def failing(*given, **options):
        raise error

    save(path, Image.new("L", (2, 2)))
    monkeypatch.setattr(Image, "open", failing)
    with pytest.raises(BadPicture, match="not a readable image") as caught:
        read_picture(path, GREY)
    assert (caught.value.where, caught.value.found) == (str(path), found)


def test_pixels_are_bounded_before_they_are_decoded(path):
    save(path, Image.new("L", (101, 100)))
    with pytest.raises(DataError, match="too many pixels") as caught:
        read_picture(path, GREY)
    assert "10100" in caught.value.found and "max_pixels" in caught.value.hint
    assert read_picture(path, replace(GREY, max_pixels=10_100)).shape == (1, 100, 101)


def chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize("side", [10_000, 20_000, 2**31 - 1])
def test_a_bomb_is_refused_by_its_header(path, side):
    size = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b""))
    with pytest.raises(DataError):
        read_picture(path, replace(GREY, max_pixels=89_478_485))


def test_other_formats_are_not_tried(path):
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    with pytest.raises(DataError, match="not a readable image"):
        read_picture(path, GREY)
    save(path, Image.new("L", (4, 4)), "PCX")
    with pytest.raises(DataError, match="not a readable image"):
        read_picture(path, GREY)


def test_samples_without_a_mode_are_not_another_format(path):
    save(path, Image.new("I;16", (2, 2)), "TIFF", tiffinfo={339: 3})  # 16-bit floats
    with pytest.raises(BadPicture, match="not a readable image") as caught:
        read_picture(path, GREY)
    assert caught.value.found == "a TIFF picture that is damaged or has samples of another kind"
    assert caught.value.expected == "samples of 8 or 16 bits"


def test_missing_empty_and_truncated_files(path):
    with pytest.raises(DataError, match="not a readable image"):
        read_picture(path, GREY)
    whole = save(path, Image.fromarray(COLOURS)).read_bytes()
    for length in (0, 10, 30, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="not a readable image") as caught:
            read_picture(path, RGB)
        assert caught.value.where == str(path)


def encoded(kind):
    buffer = io.BytesIO()
    Image.fromarray(COLOURS).save(buffer, kind)
    return buffer.getvalue()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bytes_are_read_or_refused(path, data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"]))
    content = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, min(200, len(content)) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        array = read_picture(path, replace(RGB, size=(2, 2)))
    except DataError:
        return
    assert array.shape == (3, 2, 2) and array.dtype == np.uint8
