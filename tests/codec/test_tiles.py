"""Images of any size as tiles: they come back whole; sizes and counts that cannot be take no memory."""

import io
import math
from dataclasses import replace
from unittest import mock

import damage
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import NETS, net_of
from teacher import GREY

import pixkit
from pixkit.codec import codec as reading
from pixkit.codec import coder as coding
from pixkit.codec import tiles as tiling_module
from pixkit.codec.codec import Codec
from pixkit.codec.container import Head, Reader, Writer
from pixkit.codec.freezing import freeze
from pixkit.codec.packing import Packer
from pixkit.codec.part import Part
from pixkit.codec.portable import PortableWalk
from pixkit.codec.strict import StrictWalk
from pixkit.codec.tiles import MOST_SIZES, MOST_SUBPIXELS, Size, Tiles, Tiling, assembled
from pixkit.codec.walk import likeliest
from pixkit.errors import DataError
from pixkit.tasks import codec_of
from pixkit.testing.parts import randomise

SIZES = [(4, 5), (3, 4), (3, 5), (3, 5), (1, 1), (2, 5)]
"""Of images whose tiles are 3 x 4: 4, 1, 2, 2, 1 and 2 of them."""
NAMES = [f"{number}.png" for number in range(len(SIZES))]


@pytest.fixture(scope="module")
def codec():
    return Codec(freeze(net_of(NETS["Plain"], GREY).float().eval()), walk=PortableWalk, threads=1)


@pytest.fixture(scope="module")
def images():
    generator = np.random.default_rng(5)
    return [generator.integers(GREY.levels, size=(1, *size)) for size in SIZES]


def in_small_blocks():
    """Of six tiles, three at a time: the third image has one in the first block, and one in the second."""
    return mock.patch.multiple(coding, TOGETHER=3, MOST=4 * 12)


@pytest.fixture(scope="module")
def file(codec, images):
    with in_small_blocks():
        return codec.encode(images, NAMES, tiles=True)


def same(found, images):
    return len(found) == len(images) and all(map(np.array_equal, found, images))


def test_a_tile_may_have_any_levels_beyond_an_edge(codec):
    cut = Tiles([np.arange(2).reshape(1, 1, 2), np.arange(20).reshape(1, 4, 5) % 3], codec.program)
    assert (len(cut), cut.each) == (5, [1, 4])
    assert cut[:1].tolist() == [[[[0, 1, -1, -1], [-1] * 4, [-1] * 4]]]
    whole = np.full((6, 8), -1)
    whole[:4, :5] = cut.images[1]
    expected = [whole[row : row + 3, column : column + 4] for row in (0, 3) for column in (0, 4)]
    assert (cut[1:5] == np.stack(expected)[:, None]).all()


def test_of_any_levels_the_likeliest_digits_are_put(codec):
    walk, put = PortableWalk(codec.program, 2), []
    packer = mock.Mock(put=lambda below, digit: put.append((np.diff(below), digit)))
    levels = np.full(walk.levels.shape, -1)
    levels[1:3, 0] = 2
    walk.encode(levels, packer)
    known = levels.ravel() >= 0
    assert len(put) == len(known)
    assert [digit for _, digit in put] == [
        2 if own else share.argmax() for own, (share, _) in zip(known, put, strict=True)
    ]
    assert walk.levels.ravel().tolist() == [digit for _, digit in put]
    assert likeliest([0, 2, 5, 8, 9]) == 1


@pytest.mark.needs_compiler
def test_of_digits_that_are_equally_likely_the_first_is_put_by_the_kernel_and_numpy():
    network = net_of(NETS["Plain"], GREY).float().eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False).zero_()
    for kind in (StrictWalk, PortableWalk):
        walk = kind(freeze(network), 2)
        walk.encode(np.full(walk.levels.shape, -1), Packer())
        assert not walk.levels.any()


@pytest.mark.needs_compiler
@pytest.mark.parametrize("head", damage.HEADS)
def test_the_kernel_and_numpy_write_the_same_tiles(head):
    compiled = damage.coded(head, 3)[1]
    plain = Codec(compiled.codec.program, walk=PortableWalk, threads=1)
    with mock.patch.multiple(coding, TOGETHER=damage.TOGETHER, BLOCK=damage.BLOCK):
        assert plain.encode(compiled.images[:5], tiles=True) == compiled.codec.encode(compiled.images[:5], tiles=True)
        less = [compiled.images[0][:, :1, :2]]  # the first tile of all has any levels, too
        assert plain.encode(less, tiles=True) == compiled.codec.encode(less, tiles=True)
    assert (plain.decode(compiled.data, images=range(2)) == compiled.images[:2]).all()


def test_images_of_several_sizes_come_back_all_or_some(codec, images, file):
    told, parallel = [], Codec(codec.program, codec.content, PortableWalk, threads=2)
    with in_small_blocks():
        assert parallel.encode(images, NAMES, lambda *done: told.append(done), tiles=True) == file
    assert same(parallel.decode(file, lambda *done: told.append(done)), images)
    assert told == [(6, 12), (12, 12)] * 2
    reader = Reader(io.BytesIO(file))
    assert [*reader.scan()] == [6, 6]
    assert reader.head.sizes == ((1, 4, 5), (1, 3, 4), (2, 3, 5), (1, 1, 1), (1, 2, 5))
    parts = [*codec.read(reader, range(1, 6))]
    assert [(part.first, len(part.images)) for part in parts] == [(1, 1), (2, 2), (4, 1), (5, 1)]
    assert same([image for part in parts for image in part.images], images[1:])
    assert reader.names == NAMES
    assert same(codec.decode(file, images=range(5, 9)), images[5:])
    assert codec.decode(file, images=range(2, 2)).shape == (0, *GREY.shape)
    both = codec.decode(file, images=range(2, 4))
    assert both.shape == (2, 1, 3, 5)
    assert same(both, images[2:4])


def test_of_some_images_no_other_blocks_are_read(codec, images, file):
    damaged, opened = bytearray(file), io.BytesIO(file)
    next(Reader(opened).blocks())
    damaged[opened.tell() + 12] ^= 1  # a word of the second block
    assert same(codec.decode(bytes(damaged), images=range(2)), images[:2])
    with pytest.raises(DataError, match="checksum of the block from image 6 on"):
        codec.decode(bytes(damaged), images=range(1, 3))


def test_images_of_the_models_size_are_one_tile_each_and_no_image_is_no_tile(codec, images):
    own = np.stack([images[1]] * 3)
    plain, tiled = codec.encode(own), codec.encode(own, tiles=True)
    assert (plain[4], tiled[4], len(tiled) - len(plain)) == (1, 2, 4)
    assert (codec.decode(tiled) == own).all()
    assert codec.encode([], tiles=True) == codec.encode(own[:0])


def test_every_flipped_bit_and_every_cut_is_refused(codec, images):
    def refused(data):
        with pytest.raises(DataError) as error:
            list(Reader(io.BytesIO(data)).blocks())
        return error.value.exit_code == 3

    file = codec.encode(images[1:3], NAMES[1:3], tiles=True)
    assert all(refused(file[:end]) for end in range(len(file)))
    flips = ((byte, bit) for byte in range(len(file)) for bit in range(8))
    assert all(refused(file[:byte] + bytes([file[byte] ^ 1 << bit]) + file[byte + 1 :]) for byte, bit in flips)


def forged(codec, sizes, tiles, words=(1, 2, 3)):
    """A file that says of its images what it likes, under checksums that are right."""
    head = Head(bytes.fromhex(codec.sha)[:16], GREY.shape, GREY.levels, 3, 1, 0, tuple(Size(*size) for size in sizes))
    file = io.BytesIO()
    writer = Writer(file, head)
    for count in tiles:
        writer.write(count, words, b"abcd")
    writer.end()
    return file.getvalue()


@pytest.mark.parametrize(
    "sizes",
    [
        [(0, 3, 4)],
        [(1, 0, 4)],
        [(1, 3, 4), (1, 3, 0)],
        [(1, 1 << 32, 1 << 32)],
        [(1, 1 << 14, (1 << 14) + 1)],
        [(1 << 34, 3, 4), (1 << 34, 3, 4), (1, 3, 4)],
        [(1 << 35, 3, 5)],
        [(1, 1 << 36, 1)],
    ],
)
def test_sizes_that_images_cannot_have_are_refused(codec, sizes):
    with pytest.raises(DataError, match="damaged") as error:
        Reader(io.BytesIO(forged(codec, sizes, [])))
    assert (error.value.exit_code, error.value.found) in [
        (3, "impossible image sizes"),
        (3, "an impossible number"),
    ]


def test_the_largest_sizes_are_read_and_more_of_them_are_not(codec, monkeypatch):
    reader = Reader(io.BytesIO(forged(codec, [(1, 1 << 14, 1 << 14), (1 << 34, 3, 4)], [])))
    assert math.prod(reader.head.sizes[0]) == MOST_SUBPIXELS
    monkeypatch.setattr(tiling_module, "MOST_SIZES", 2)
    assert Reader(io.BytesIO(forged(codec, [(1, 3, 4)] * 2, [2]))).scan() == [2]
    with pytest.raises(DataError, match="damaged"):
        Reader(io.BytesIO(forged(codec, [(1, 3, 4)] * 3, [3])))
    monkeypatch.undo()
    many = forged(codec, [], [])[:28] + b"\x81\x80\x40"  # of which it would read on
    with pytest.raises(DataError, match="damaged") as error:
        Reader(io.BytesIO(many[:4] + b"\2" + many[5:] + bytes(9)))
    assert (error.value.found, MOST_SIZES) == ("an impossible number", 1 << 20)


@pytest.mark.parametrize(
    ("sizes", "tiles", "said"),
    [
        ([(1, 6, 8)], [3], ("damaged", "3 tiles of images that have 4")),
        ([(1, 6, 8)], [3, 2], ("damaged", "5 tiles of images that have 4")),
        ([(1, 1 << 14, 1 << 14)], [1], ("damaged", f"1 tiles of images that have {5462 << 12}")),
        ([(1, 3 << 10, 4 << 10)], [1, (1 << 20) - 1], ("a damaged stream", None)),  # more than a block may have
    ],
)
def test_counts_that_do_not_match_are_refused_before_memory_is_taken(codec, sizes, tiles, said, monkeypatch):
    data = forged(codec, sizes, tiles)
    monkeypatch.setattr(coding, "MOST", 12 << 10)
    monkeypatch.setattr(reading, "check_fits", None)  # what would be called next
    with pytest.raises(DataError) as error:
        codec.decode(data)
    assert (error.value.message, error.value.found, error.value.exit_code) == (*said, 3)


def test_a_block_has_at_most_the_tiles_that_an_encoder_puts_into_one(codec, monkeypatch):
    """Whole batches of three until there are 4 * 12 sub-pixels: six."""

    class Asked(Exception):
        """A block of this many is decoded."""

    monkeypatch.setattr(coding, "MOST", 4 * 12)
    monkeypatch.setattr(reading, "check_fits", mock.Mock(side_effect=Asked))
    for tiles, refused in ((6, Asked), (7, DataError)):
        with pytest.raises(refused):
            codec.decode(forged(codec, [(tiles, 3, 4)], [tiles]))


def test_memory_is_asked_for_the_largest_image_that_is_wanted(codec, images, file, monkeypatch):
    asked = []
    monkeypatch.setattr(reading, "check_fits", lambda needed, device, what, hint: asked.append((what, needed)))
    for wanted, needed in ((range(2), 8 * 20), (range(1, 2), 8 * 12), (range(2, 2), 0)):
        asked.clear()
        assert same(codec.decode(file, images=wanted), images[wanted.start : wanted.stop])
        assert asked[0] == ("the largest image", needed)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)), max_size=4), st.data())
def test_which_tiles_images_have_is_as_if_they_were_counted_one_by_one(sizes, data):
    tiling = Tiling([Size(*size) for size in sizes], (1, 3, 4))
    each = [size[1:] for size in sizes for _ in range(size[0])]
    counts = [math.ceil(height / 3) * math.ceil(width / 4) for height, width in each]
    assert (tiling.images, tiling.tiles) == (len(each), sum(counts))
    first, end = sorted(data.draw(st.lists(st.integers(0, len(each)), min_size=2, max_size=2)))
    assert tiling.before(end) == sum(counts[:end])
    found = tiling.within(range(first, end))
    assert [size[1:] for size in found for _ in range(size.many)] == each[first:end]
    assert all(size.many for size in found)


def test_images_keep_one_label_and_tiles_of_several_are_refused(images):
    backbone = {"type": "pixelcnn", "width": 4, "layers": 1}
    model = {"type": "autoregressive", "backbone": backbone, "context": {"type": "label"}}
    model = pixkit.build_model(model, (*GREY.shape, GREY.levels, 5)).eval()
    randomise(model.network, 0)
    codec = Codec.from_bytes(codec_of(model).content, walk=PortableWalk)
    file = codec.encode(images[1:4], labels=np.array([4, 0, 3]), tiles=True)
    parts = [*codec.read(Reader(io.BytesIO(file)), range(1, 3))]
    assert [part.labels.tolist() for part in parts] == [[0, 3]]
    assert same(parts[0].images, images[2:4])
    with pytest.raises(DataError, match="labels") as error:
        codec.encode(images, labels=np.zeros(12, int), tiles=True)
    assert (error.value.found, error.value.expected) == ("int64 (12,)", "integers (6,)")
    tiles, tiling = np.zeros((2, 1, 3, 4), np.int64), Tiling([Size(1, 3, 8)], (1, 3, 4))
    halves = [Part(number, tiles[:1], np.array([number])) for number in range(2)]
    for wrong in ([Part(0, tiles, np.array([1, 2]))], halves):
        with pytest.raises(DataError, match="damaged"):
            list(assembled(wrong, tiling, range(1)))


def test_what_is_put_together_otherwise_is_not_written(codec, images, monkeypatch):
    def wrong(parts, tiling, wanted):
        for part in assembled(parts, tiling, wanted):
            yield part._replace(images=part.images + (np.arange(len(part.images)) == 1)[:, None, None, None])

    monkeypatch.setattr(tiling_module, "assembled", wrong)
    with pytest.raises(DataError, match=r"images 3..3: decoding does not give back what was encoded"):
        codec.encode(images, tiles=True)
    assert same(codec.decode(codec.encode(images, tiles=True, verify=False)), images)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (np.zeros((1, 2, 3, 4), int), "int64 (1, 2, 3, 4)"),
        (np.zeros((2, 3, 4), int), "int64 (2, 3, 4)"),
        (np.zeros((1, 3, 4)), "float64 (1, 3, 4)"),
        (np.zeros((1, 0, 4), int), "int64 (1, 0, 4)"),
        (np.full((1, 3, 9), GREY.levels), "3..3"),
        (np.zeros((1, 5, 5), int), "25 sub-pixels, 2 changes of size"),
    ],
)
def test_what_is_no_image_for_tiles_is_refused(codec, images, wrong, found, monkeypatch):
    monkeypatch.setattr(tiling_module, "MOST_SUBPIXELS", 24)
    with pytest.raises(DataError) as refused:
        codec.encode([images[1], wrong], tiles=True)
    error = refused.value
    said = {
        "3..3": ("not levels of this model", None, "0..2"),
        "25 sub-pixels, 2 changes of size": (
            "images that are too large, or of too many sizes", "images", f"at most 24 and {MOST_SIZES}"),
    }.get(found, ("not an image of this model", "image 1", "integers [1, height, width]"))  # fmt: skip
    assert (error.message, error.where, error.expected, error.found) == (*said, found)
    assert len(Tiles([images[1], np.zeros((1, 4, 6), int)], codec.program)) == 5


def test_without_tiles_another_size_is_refused_and_told_of_them(codec, images):
    with pytest.raises(DataError, match="tiles=True"):
        codec.encode(images[0][None])
    with pytest.raises(DataError) as error:
        codec.encode(images[0])
    assert error.value.hint is None
    other, head = io.BytesIO(), Reader(io.BytesIO(forged(codec, [(1, 4, 5)], []))).head
    writer = Writer(other, replace(head, shape=(1, 4, 5)))
    writer.write(1, [1], b"abcd")
    writer.end()
    with pytest.raises(DataError, match="another model"):
        codec.decode(other.getvalue())
