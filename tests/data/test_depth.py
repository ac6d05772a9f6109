"""Every bit that files hold: 1 to 16 of them, grey and colour, with transparency."""

import io
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from png_files import chunk, deep_png, png

from pixkit.data.depth import Stored, shallow
from pixkit.data.fitting import Form
from pixkit.data.picture import read_frames, read_picture, read_whole
from pixkit.errors import DataError

GREY = Form(1, None, "crop", "bicubic", 10_000)
RGB = replace(GREY, channels=3)
RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)
DEEP[0, 0] = [128, 129, 65535]


def rounded(values):
    """16 bits to 8."""
    return (values.astype(int) * 510 + 65535) // 131070


@pytest.fixture
def path(tmp_path):
    return tmp_path / "picture"


def read(path, content, form):
    path.write_bytes(content)
    return read_picture(path, form)


def levels_of(path, content, form=GREY):
    return read(path, content, form)[0, 0].tolist()


def tiff(array, **options):
    """A TIFF file by tifffile."""
    tifffile = pytest.importorskip("tifffile", reason="writing TIFF of every kind takes tifffile")
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def test_sixteen_bit_colour_is_rounded_as_grey_is(path):
    """Pillow cuts: 129 became 0 where grey of 129 is 1."""
    array = read(path, deep_png(DEEP), RGB)
    assert array.dtype == np.uint8 and np.array_equal(array, rounded(DEEP).transpose(2, 0, 1))
    assert array[:, 0, 0].tolist() == [0, 1, 255] and read_whole(path, RGB).bits == 16
    deep = read_picture(path, replace(RGB, levels=65536))
    assert deep.dtype == np.uint16 and np.array_equal(deep, DEEP.transpose(2, 0, 1))


def test_sixteen_bits_are_kept_where_there_are_so_many_levels(path):
    deep = replace(GREY, levels=65536)
    assert np.array_equal(read(path, deep_png(DEEP[..., :1]), deep)[0], DEEP[..., 0])
    Image.fromarray(DEEP[..., 0]).save(path, "TIFF")
    assert np.array_equal(read_picture(path, deep)[0], DEEP[..., 0])
    Image.fromarray(np.arange(256, dtype=np.uint8)[None]).save(path, "PNG")
    whole = read_whole(path, deep)
    assert whole.pixels[0, 0].tolist() == [257 * level for level in range(256)] and whole.bits == 8
    assert read_picture(path, replace(RGB, levels=65536)).shape == (3, 1, 256)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_transparent_level_of_narrow_grey_is_white(path, bits):
    """Pillow 13 widens the levels to 8 bits, and not the one that is transparent."""
    levels = list(range(8 // bits))[: 2**bits]
    row = bytes([sum(level << 8 - bits * (place + 1) for place, level in enumerate(levels))])
    stretched = [255 * level // (2**bits - 1) for level in levels]
    for key in levels:
        content = png(len(levels), 1, bits, "grey", [row], struct.pack(">H", key))
        assert levels_of(path, content) == [255 if level == key else stretched[level] for level in levels]
        raw = replace(GREY, levels=2**bits)
        assert levels_of(path, content, raw) == [2**bits - 1 if level == key else level for level in levels]
        if bits > 1:  # Pillow 10.3 does not say of two levels which one is transparent
            opacity = read_picture(path, replace(raw, channels=4))[3, 0].tolist()
            assert opacity == [0 if level == key else 2**bits - 1 for level in levels]


def test_a_transparent_level_of_sixteen_bits_is_white(path):
    grey = deep_png(np.array([[[300], [301], [40000]]], np.uint16), struct.pack(">H", 300))
    assert levels_of(path, grey) == [255, 1, 156]
    assert levels_of(path, grey, replace(GREY, levels=65536)) == [65535, 301, 40000]
    colour = deep_png(
        np.array([[[128, 129, 65535], [128, 129, 65534]]], np.uint16), struct.pack(">HHH", 128, 129, 65535)
    )
    assert read(path, colour, RGB)[:, 0].T.tolist() == [[255, 255, 255], [0, 1, 255]]


def test_what_is_transparent_has_no_opacity_at_all(path):
    colour = deep_png(np.array([[[1, 2, 3], [1, 2, 4]]], np.uint16), struct.pack(">HHH", 1, 2, 3))
    deep = read(path, colour, Form(4, None, "crop", "bicubic", 100, 65536))
    assert deep[3, 0].tolist() == [0, 65535]
    black_and_white = Image.fromarray(np.array([[False, True]]))
    for key, opacity in ((0, [0, 1]), (255, [1, 0]), (1, [1, 1])):
        black_and_white.info["transparency"] = key
        found = shallow(black_and_white, "1")
        assert (found.most, found.values.ravel().tolist(), found.opacity.tolist()) == (1, [0, 1], [opacity])


def test_inks_of_16_bits_are_shown_as_of_8(path):
    inks = np.array([[[0, 0, 0, 0], [65535, 0, 0, 0], [0, 32768, 0, 0], [0, 0, 0, 65535]]], np.uint16)
    content = tiff(inks, photometric="separated")
    shown = [[255, 255, 255], [0, 255, 255], [255, 127, 255], [0, 0, 0]]
    assert read(path, content, RGB)[:, 0].T.tolist() == shown
    deep = read_picture(path, replace(RGB, levels=65536))
    assert deep[:, 0].T.tolist() == [[257 * level for level in pixel] for pixel in shown]


def test_deep_opacity_is_composited_on_white_before_anything_is_rounded(path):
    """(v a + 65535 (65535 - a)) / 65535, then the 8 bits."""
    grey = np.array([[[0, 13107], [40000, 65535], [40000, 0]]], np.uint16)
    assert levels_of(path, deep_png(grey), replace(GREY, levels=65536)) == [52428, 40000, 65535]
    assert levels_of(path, deep_png(grey)) == [204, 156, 255]
    colour = np.array([[[0, 32768, 65535, 13107]]], np.uint16)
    assert read(path, deep_png(colour), RGB)[:, 0, 0].tolist() == [204, 230, 255]
    kept = read_picture(path, Form(4, None, "crop", "bicubic", 100, 65536))
    assert kept[:, 0, 0].tolist() == [0, 32768, 65535, 13107]
    assert read_picture(path, Form(4, None, "crop", "bicubic", 100))[:, 0, 0].tolist() == [0, 128, 255, 51]


def test_opacity_as_a_channel(path):
    four = replace(GREY, channels=4)
    Image.new("RGBA", (2, 2), (10, 20, 30, 40)).save(path, "PNG")
    assert read_picture(path, four)[:, 0, 0].tolist() == [10, 20, 30, 40]
    assert read_picture(path, replace(four, levels=65536))[:, 0, 0].tolist() == [2570, 5140, 7710, 10280]
    Image.new("L", (2, 2), 7).save(path, "PNG")
    assert read_picture(path, four)[:, 0, 0].tolist() == [7, 7, 7, 255]
    assert read_picture(path, replace(four, levels=65536))[:, 0, 0].tolist() == [1799, 1799, 1799, 65535]


def test_levels_of_ones_own_are_as_they_stand_in_the_file(path):
    """Masks of 0 and 1, digits of 0..16, 12 bits in files of 16, numbers of a palette's colours."""
    mask = Image.fromarray(np.array([[0, 1, 1]], np.uint8))
    for kind in ("PNG", "BMP", "TIFF", "PPM"):
        mask.save(path, kind)
        assert read_picture(path, replace(GREY, levels=2))[0, 0].tolist() == [0, 1, 1]
    mask.point([0, 255] * 128).convert("1").save(path, "PNG")
    assert read_picture(path, replace(GREY, levels=2))[0, 0].tolist() == [0, 1, 1]
    twelve = replace(GREY, levels=4096)
    assert levels_of(path, deep_png(np.array([[[0], [4095]]], np.uint16)), twelve) == [0, 4095]
    assert levels_of(path, b"P5 2 1 4095\n" + struct.pack(">HH", 7, 4095), twelve) == [7, 4095]
    classes = Image.fromarray(np.array([[3, 20]], np.uint8)).convert("P")
    classes.putdata([3, 20])
    classes.putpalette([99] * 768)
    classes.save(path, "PNG")
    assert read_picture(path, replace(GREY, levels=21))[0, 0].tolist() == [3, 20]
    with pytest.raises(DataError, match="levels beyond the given number") as caught:
        read_picture(path, replace(GREY, levels=20))
    assert (caught.value.found, caught.value.expected[:5]) == ("3..20", "0..19") and caught.value.exit_code == 3


def test_deep_levels_are_fitted_like_any(path):
    columns = np.tile(np.array([0, 20000, 40000, 60000], np.uint16)[None, :, None], (2, 1, 1))
    deep = Form(1, (2, 2), "resize", "box", 100, 65536)
    assert read(path, deep_png(columns), deep)[0].tolist() == [[10000, 50000]] * 2
    assert read_picture(path, replace(deep, fit="crop"))[0].tolist() == [[20000, 40000]] * 2
    assert read_picture(path, replace(deep, fit="pad"))[0].tolist() == [[10000, 50000], [65535, 65535]]
    with pytest.raises(DataError, match="different size"):
        read_picture(path, replace(deep, fit="exact"))
    assert read_picture(path, replace(deep, size=None)).shape == (1, 2, 4)


def test_levels_that_a_filter_overshoots_are_the_last_ones(path):
    edge = np.repeat(np.array([0, 65535], np.uint16), 4)[None, :, None]
    found = read(path, deep_png(edge), Form(1, (1, 16), "resize", "lanczos", 100, 65536))[0, 0].astype(int)
    assert found[[5, 6, 9, 10]].tolist() == [0, 0, 65535, 65535] and 0 < found[7] < 32768 < found[8] < 65535


def test_a_turned_picture_of_sixteen_bits(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes()[6:]
    rows = [row.astype(">u2").tobytes() for row in DEEP]
    content = png(7, 5, 16, "colour", rows, more=chunk(b"eXIf", block))
    array = read(path, content, replace(RGB, levels=65536))
    assert np.array_equal(array, np.rot90(DEEP, -1).transpose(2, 0, 1))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_of_sixteen_bit_colour(path, order, compression):
    options = {"photometric": "rgb", "byteorder": order, "compression": compression}
    wide = replace(RGB, levels=65536)
    assert np.array_equal(read(path, tiff(DEEP, **options), wide), DEEP.transpose(2, 0, 1))
    assert np.array_equal(read_picture(path, RGB), rounded(DEEP).transpose(2, 0, 1))
    fourth = np.concatenate([DEEP, np.full((5, 7, 1), 13107, np.uint16)], 2)
    clear = np.round((DEEP * 13107.0 + 65535 * (65535 - 13107)) / 65535)
    assert np.array_equal(
        read(path, tiff(fourth, extrasamples=["unassalpha"], **options), wide), clear.transpose(2, 0, 1)
    )
    assert np.array_equal(
        read(path, tiff(fourth, extrasamples=["unspecified"], **options), wide), DEEP.transpose(2, 0, 1)
    )
    shown = np.minimum(DEEP.astype(int) + 65535 - 13107, 65535)
    assert np.array_equal(
        read(path, tiff(fourth, extrasamples=["assocalpha"], **options), wide), shown.transpose(2, 0, 1)
    )


def test_tiff_whose_white_is_0(path):
    row = np.array([[0, 300, 65535]], np.uint16)
    assert levels_of(path, tiff(row, photometric="miniswhite"), replace(GREY, levels=65536)) == [65535, 65235, 0]


def test_what_pillow_gives_in_part_is_refused(path):
    colour = b"P6 2 1 65535\n" + struct.pack(">6H", *range(6))
    assert read(path, colour, RGB).shape == (3, 1, 2)
    with pytest.raises(DataError, match="mode") as caught:
        read_picture(path, replace(RGB, levels=65536))
    assert "PPM" in caught.value.found
    narrow = read(path, b"P6 2 1 255\n" + bytes(range(6)), replace(RGB, levels=65536))
    assert narrow.transpose(1, 2, 0).ravel().tolist() == [257 * level for level in range(6)]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_sixteen_bit_colours_in_planes_are_refused_without_tifffile(path, compression, monkeypatch):
    """Pillow 13 gives noise for those that are not compressed: findings/pillow-16-bit-planes.sh."""
    content = planes(DEEP, compression=compression)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    for form in (RGB, replace(RGB, levels=65536)):
        with pytest.raises(DataError, match="mode") as caught:
            read(path, content, form)
        assert caught.value.found == "16-bit colours in separate planes" and "[tiff]" in caught.value.hint


def planes(array, **options):
    """A TIFF file of RGB with a plane of each colour."""
    separate = np.ascontiguousarray(array.transpose(2, 0, 1))
    return tiff(separate, photometric="rgb", planarconfig="separate", **options)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"tile": (16, 16)}, "lzw"])
def test_sixteen_bit_colours_in_planes_are_read_by_tifffile(path, options):
    if options == "lzw":
        pytest.importorskip("imagecodecs", reason="LZW takes imagecodecs")
        options = {"compression": "lzw", "predictor": True}
    array = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    content = planes(array, **options)
    assert np.array_equal(read(path, content, replace(RGB, levels=65536)), array.transpose(2, 0, 1))
    assert np.array_equal(read(path, content, RGB), rounded(array).transpose(2, 0, 1))
    assert read_whole(path, RGB).bits == 16


@pytest.mark.parametrize("orientation", range(1, 9))
def test_colours_in_planes_are_turned_as_pillow_turns_pictures(path, orientation):
    array = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    found = read(path, planes(array, extratags=[(274, "H", 1, orientation, True)]), replace(RGB, levels=65536))
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray((array >> 8).astype(np.uint8)).save(path, "PNG", exif=exif)
    assert np.array_equal(found >> 8, read_picture(path, RGB))


def test_opacity_in_a_plane(path):
    deep, opacity = replace(RGB, levels=65536), np.full((*DEEP.shape[:2], 1), 13107, np.uint16)
    fourth = np.concatenate([DEEP, opacity], 2)
    shown = {kind: read(path, tiff(fourth, photometric="rgb", extrasamples=[kind]), deep) for kind in KINDS_OF_FOURTH}
    for kind, expected in shown.items():
        assert np.array_equal(read(path, planes(fourth, extrasamples=[kind]), deep), expected)


KINDS_OF_FOURTH = ("unassalpha", "assocalpha", "unspecified")


def test_frames_in_planes_are_told_apart(path):
    array = np.random.default_rng(0).integers(0, 65536, (3, 5, 7, 3), dtype=np.uint16)
    separate = np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    path.write_bytes(tiff(separate, photometric="rgb", planarconfig="separate"))
    found = [picture.pixels for picture in read_frames(path, replace(RGB, levels=65536))]
    assert np.array_equal(np.stack(found), separate)


@pytest.mark.parametrize("kind", ["u4", "f2", "f4", "i2"])
def test_other_numbers_in_planes_stay_refused(path, kind):
    with pytest.raises(DataError, match=r"mode|readable"):
        read(path, planes(DEEP.astype(kind)), RGB)


def test_damaged_planes_are_a_bad_picture(path):
    content = bytearray(planes(np.random.default_rng(0).integers(0, 65536, (9, 9, 3), np.uint16), compression="zlib"))
    content[300:] = bytes(len(content) - 300)
    with pytest.raises(DataError, match=r"readable|mode"):
        read(path, bytes(content), RGB)


def stored(values, opacity=None, most=255, *, premultiplied=False):
    """A row of grey."""
    opacity = None if opacity is None else np.array([opacity])
    return Stored(np.array(values)[None, :, None], most, opacity, premultiplied)


def test_colours_that_opacity_multiplied_are_divided_by_it():
    """Where there is none they say nothing, and none is beyond white."""
    four = stored([10, 7, 255, 0, 3], [51, 255, 51, 0, 0], premultiplied=True).channels(4)
    assert four[0, :, 0].tolist() == [50, 7, 255, 0, 255] and four[0, :, 3].tolist() == [51, 255, 51, 0, 0]
    assert (four[..., :1] == four[..., :3]).all()
    kept = stored([10, 7], [51, 255]).channels(4)
    assert kept[0].tolist() == [[10, 10, 10, 51], [7, 7, 7, 255]]
    assert stored([10]).channels(4)[0].tolist() == [[10, 10, 10, 255]]


def test_what_is_composited_on_white_is_rounded_to_the_nearest():
    """(c a + 255 (255 - a)) / 255; halves go up, and what is multiplied already is not multiplied again."""
    cases = [(0, 0, 255), (0, 255, 0), (0, 51, 204), (100, 51, 224), (1, 128, 128), (254, 127, 255), (3, 254, 4)]
    values, opacity, shown = (list(column) for column in zip(*cases, strict=True))
    assert stored(values, opacity).opaque()[0, :, 0].tolist() == shown
    assert stored([40, 0, 60], [51, 255, 51], premultiplied=True).opaque()[0, :, 0].tolist() == [244, 0, 255]
    assert stored([3]).opaque()[0, :, 0].tolist() == [3]


@pytest.mark.parametrize(("most", "wanted"), [(1, 255), (3, 255), (255, 65535), (65535, 255), (4095, 65535), (16, 16)])
def test_scaling_takes_the_nearest_value(most, wanted):
    values = np.linspace(0, most, min(most + 1, 4000)).round().astype(int)
    for part in (values, values[::-1]):
        scaled = stored(values, part, most).scaled(wanted)
        assert scaled.most == wanted and not scaled.premultiplied
        for given, found in ((values, scaled.values.ravel()), (part, scaled.opacity.ravel())):
            assert (np.abs(found - given * wanted / most) <= 0.5).all()
            assert (
                found[given * wanted * 2 % (2 * most) == most] * most
                > given[given * wanted * 2 % (2 * most) == most] * wanted
            ).all()
    assert stored([0], [0], premultiplied=True).scaled(1).premultiplied


def test_grey_of_colour_is_its_luma_rounded():
    """ITU-R 601-2 in 65536ths, as Pillow has it for 8 bits."""
    colours = np.random.default_rng(0).integers(0, 256, (40, 1, 3))
    grey = Stored(colours, 255).channels(1)[..., 0]
    assert np.array_equal(grey, np.asarray(Image.fromarray(colours.astype(np.uint8)).convert("L")))
    assert np.array_equal(Stored(colours, 255).channels(3), colours)


@pytest.mark.parametrize(("mode", "values", "opacity"), [
    ("L", 1, False), ("LA", 1, True), ("RGB", 3, False), ("RGBA", 3, True), ("CMYK", 3, False), ("YCbCr", 3, False),
])  # fmt: skip
def test_what_has_no_opacity_is_given_none(mode, values, opacity):
    for transparent in (False, True):
        image = Image.new(mode, (2, 3))
        if transparent and mode in ("L", "RGB"):
            image.info["transparency"] = 0 if mode == "L" else (0, 0, 0)
        found = shallow(image, mode)
        assert found.values.shape == (3, 2, values) and found.most == 255
        assert (found.opacity is not None) == (opacity or "transparency" in image.info)
        if found.opacity is not None:
            assert not found.opacity.any()
    whole = stored([3])
    assert whole.scaled(whole.most) is whole
