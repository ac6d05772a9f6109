"""Images that are given by file are what a run's own data would have been."""

import os
import shutil
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pixkit import figures
from pixkit.data import DataConfig, given_array, stored
from pixkit.data.fitting import Form, OtherSize
from pixkit.data.given import Reader
from pixkit.data.idx import read_idx
from pixkit.data.layout import orders_of, size_in
from pixkit.data.palette import as_tokens
from pixkit.data.unchanged import shows
from pixkit.data.written import KEYWORD
from pixkit.errors import DataError
from pixkit.image import ImageSpec, Palette
from pixkit.tasks import read_images, read_mask

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (9, 14, 3), dtype=np.uint8)


def reader_of(data):
    return Reader(data.spec, data.source)


@pytest.mark.parametrize(
    "config",
    [
        {"size": 6},
        {"size": [6, 5], "fit": "pad", "levels": 7},
        {"size": 6, "fit": "resize", "resample": "nearest", "channels": 1},
        {"size": 6, "binarise": "threshold", "threshold": 0.3},
        {"size": 6, "binarise": "static", "split_seed": 5},
        {"size": 6, "binarise": "dynamic", "channels": 1},
        {"levels": 64},
        {"size": 6, "palette": 7},
    ],
)
@pytest.mark.parametrize("source", ["images", "one_image"])
def test_a_picture_given_by_file_is_as_the_same_picture_in_the_data(make, tmp_path, config, source):
    for folder in ("pictures", "held"):
        (tmp_path / folder).mkdir()
        Image.fromarray(PHOTO).save(tmp_path / folder / "p.png")
    if source == "images":
        data = make("images", path="pictures", test_path="held", validation=0.0, **config)
    else:
        data = make("one_image", path="pictures/p.png", **config)
    ((name, found),) = reader_of(data).read(tmp_path / "held" / "p.png")
    assert name == str(tmp_path / "held" / "p.png") and found.dtype == torch.int64
    assert torch.equal(found, data.batch("test", torch.tensor([0])).x[0])


def test_pictures_of_another_size_are_brought_to_the_datas_unless_they_have_to_be_of_one(make, tmp_path):
    (tmp_path / "pictures").mkdir()
    Image.fromarray(PHOTO).save(tmp_path / "pictures" / "p.png")
    data = make("images", path="pictures", size=6, test_fraction=0.0, validation=0.0)
    small = data.spec.of_size(3, 4)
    Image.fromarray(PHOTO[:3, :4]).save(tmp_path / "small.png")
    exact = Reader(small, data.source, exact=True)
    ((_, found),) = exact.read(tmp_path / "small.png")
    assert torch.equal(found, torch.from_numpy(PHOTO[:3, :4]).permute(2, 0, 1).long())
    with pytest.raises(DataError, match=r"3 x 4|4 x 3"):
        exact.read(tmp_path / "pictures" / "p.png")
    assert reader_of(data).read(tmp_path / "small.png")[0][1].shape == (3, 6, 6)


def test_a_folder_is_all_its_pictures(make, tmp_path):
    (tmp_path / "pictures" / "b").mkdir(parents=True)
    for name in ("z.png", "b/a.png"):
        Image.fromarray(PHOTO).save(tmp_path / "pictures" / name)
    data = make("images", path="pictures", size=6, test_fraction=0.0, validation=0.0)
    names = [name for name, _ in reader_of(data).read(tmp_path / "pictures")]
    assert names == [str(tmp_path / "pictures" / name) for name in ("b/a.png", "z.png")]
    assert [*map(str, reader_of(data).parts(tmp_path / "pictures"))] == names


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_is_all_its_pictures_or_those_of_a_folder_in_it(make, tmp_path, kind):
    """Pictures that pixkit wrote among them, which are read back exactly there, too."""
    (tmp_path / "pictures" / "b").mkdir(parents=True)
    for name in ("z.png", "b/a.png"):
        Image.fromarray(PHOTO).save(tmp_path / "pictures" / name)
    data = make("images", path="pictures", size=6, test_fraction=0.0, validation=0.0, levels=7)
    own = torch.from_numpy(RNG.integers(0, 7, (1, 3, 6, 6)))
    figures.save_images(own, 7, tmp_path / "pictures" / "b" / "own")
    path = shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path / "pictures")
    plain, found = (reader_of(data).read(place) for place in (tmp_path / "pictures", path))
    assert [name.removeprefix(path) for name, _ in found] == [
        name.removeprefix(f"{tmp_path}/pictures") for name, _ in plain
    ]
    assert all(torch.equal(one, other) for (_, one), (_, other) in zip(found, plain, strict=True)) and len(found) == 3
    inside = reader_of(data).read(f"{path}/b")
    assert len(inside) == 2 and sum(torch.equal(image, own[0]) for _, image in inside) == 1


def test_all_frames_are_read_where_the_data_are_of_all_frames(make, tmp_path):
    (tmp_path / "films").mkdir()
    frames = [Image.fromarray(RNG.integers(0, 256, (6, 6), dtype=np.uint8)) for _ in range(4)]
    frames[0].save(tmp_path / "films" / "a.tif", save_all=True, append_images=frames[1:])
    keys = {"path": "films", "channels": 1, "test_fraction": 0.0, "validation": 0.0}
    whole = reader_of(make("images", frames="all", **keys))
    found = whole.read(tmp_path / "films" / "a.tif")
    assert [name for name, _ in found] == [f"{tmp_path}/films/a.tif {number}" for number in range(4)]
    assert np.array_equal(torch.stack([image[0] for _, image in found]), np.stack(list(map(np.asarray, frames))))
    assert whole.notes == [] and len(whole.read(tmp_path / "films")) == 4
    first = reader_of(make("images", **keys))
    ((_, image),) = first.read(tmp_path / "films" / "a.tif")
    assert torch.equal(image, found[0][1]) and "of which the first was read" in first.notes[0]


def test_how_far_the_colours_of_an_array_are_moved_is_of_all_its_images(tmp_path):
    spec = ImageSpec(1, 2, 2, 2, palette=Palette(bytes([0, 0, 0, 200, 200, 200])))
    x = torch.from_numpy(RNG.integers(0, 256, (4, 3, 2, 2)).astype(np.uint8)) // torch.tensor([1, 3, 50, 7]).view(
        -1, 1, 1, 1
    )
    np.save(tmp_path / "a.npy", x.numpy())
    reader = Reader(spec)
    for _ in range(2):  # the second time does not add to the first
        found = torch.stack([image for _, image in reader.read(tmp_path / "a.npy")])
        tokens, moved = as_tokens(x, spec.palette)
        assert torch.equal(found, tokens.long())
        assert reader.moved == {str(tmp_path / "a.npy"): pytest.approx(moved, rel=1e-9)}


def test_a_note_says_how_far_colours_were_moved_once_one_file_has_others_than_the_palettes(tmp_path):
    reader, notes = Reader(ImageSpec(1, 2, 2, 2, palette=Palette(bytes([0, 0, 0, 200, 200, 200])))), []
    for name, grey in (("own.npy", 200), ("other.npy", 197)):
        np.save(tmp_path / name, np.full((3, 2, 2), grey, np.uint8))
        reader.read(tmp_path / name)
        notes.append(reader.notes)
    said = f"{tmp_path}/own.npy 0.00, {tmp_path}/other.npy 3.00"
    assert notes == [[], [f"colours were moved to the nearest of 2, by levels RMS: {said}"]]


def test_frames_whose_levels_do_not_show_the_file_are_named(make, tmp_path):
    (tmp_path / "films").mkdir()
    frames = [Image.fromarray(np.full((6, 6), level, np.uint8)) for level in (0, 100, 255)]
    frames[0].save(tmp_path / "films" / "a.tif", save_all=True, append_images=frames[1:])
    keys = {"path": "films", "channels": 1, "test_fraction": 0.0, "validation": 0.0, "frames": "all"}
    for more, lost in (({}, []), ({"levels": 4}, [1])):
        data, changed = make("images", **keys, **more), []
        Reader(data.spec, data.source, changed=changed).read(tmp_path / "films" / "a.tif")
        assert changed == [f"{tmp_path}/films/a.tif {number}" for number in lost]


def test_levels_as_the_data_have_them(make, tmp_path, monkeypatch):
    """Of a run of 64 levels, made of 4096: an array, not a picture of 8 bits, has them all."""
    array = RNG.integers(0, 4096, (20, 4, 4), dtype=np.uint16)
    array[0, 0, 0] = 4095
    np.save(tmp_path / "a.npy", array)
    data = make("arrays", path="a.npy", source_levels=4096, levels=64, test_fraction=0.0, validation=0.0)
    found = torch.stack([image for _, image in reader_of(data).read(tmp_path / "a.npy")])
    assert torch.equal(found, data.batch("train", torch.arange(20)).x)
    names = [name for name, _ in reader_of(data).read(tmp_path / "a.npy")]
    assert names[3] == f"{tmp_path / 'a.npy'} 3"
    np.save(tmp_path / "b.npy", array.astype(np.int64) * 2)
    with pytest.raises(DataError, match="not levels of the data") as caught:
        reader_of(data).read(tmp_path / "b.npy")
    assert caught.value.expected == "0..4095" and "samples" in caught.value.hint
    assert caught.value.hint.endswith("0..63")
    monkeypatch.setattr(given_array, "AT_ONCE", 16)  # an image at a time
    changed = []
    pairs = Reader(data.spec, data.source, changed=changed).read(tmp_path / "a.npy")
    assert torch.equal(torch.stack([image for _, image in pairs]), found) and changed == [str(tmp_path / "a.npy")]
    np.save(tmp_path / "b.npy", found[:, 0].numpy() * 65)  # 4095 / 63
    Reader(data.spec, data.source, changed=changed).read(tmp_path / "b.npy")
    assert len(changed) == 1


def test_an_archive_of_pixkits_holds_the_models_levels(make, tmp_path):
    data = make("digits", binarise="threshold")
    x = data.batch("test", torch.arange(3)).x
    figures.save_npz(x, 2, tmp_path / "x.npz")
    assert torch.equal(read_images([tmp_path / "x.npz"], data.spec), x)
    pairs = reader_of(data).read(tmp_path / "x.npz")
    assert torch.equal(torch.stack([image for _, image in pairs]), x)
    grey = make("digits").batch("test", torch.arange(3)).x
    np.savez(tmp_path / "x.npz", a=grey.numpy(), samples=x.numpy())
    assert torch.equal(read_images([tmp_path / "x.npz"], data.spec), x)
    np.savez(tmp_path / "x.npz", a=x.numpy())
    assert torch.equal(read_images([tmp_path / "x.npz"], data.spec), x)
    np.savez(tmp_path / "y.npz", a=grey.numpy(), b=x.numpy())
    with pytest.raises(DataError, match="which of the arrays") as caught:
        reader_of(data).read(tmp_path / "y.npz")
    assert caught.value.found == "a, b"
    found = reader_of(data).read(f"{tmp_path / 'y.npz'}:a")
    assert torch.equal(torch.stack([image for _, image in found]), x), "thresholded as the data are"
    with pytest.raises(DataError, match="only zeros and ones"):
        reader_of(data).read(f"{tmp_path / 'y.npz'}:b")


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (4, 5, 1), (3, 4, 5), (3, 1, 4, 5), (3, 4, 5, 1)])
def test_axes_of_arrays(tmp_path, shape):
    array = RNG.integers(0, 8, shape)
    np.save(tmp_path / "a.npy", array)
    found = read_images([tmp_path / "a.npy"], ImageSpec(1, 4, 5, 8))
    assert np.array_equal(found.numpy().ravel(), array.ravel())


def test_axes_that_can_be_told_in_two_ways_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", RNG.integers(0, 8, (3, 3, 3)))
    with pytest.raises(DataError, match="in two ways"):
        read_images([tmp_path / "a.npy"], ImageSpec(3, 3, 3, 8))
    with pytest.raises(DataError, match="shape does not fit"):
        read_images([tmp_path / "a.npy"], ImageSpec(3, 4, 3, 8))
    np.save(tmp_path / "b.npy", RNG.integers(0, 8, (3, 4, 3)))
    assert read_images([tmp_path / "b.npy"], ImageSpec(3, 3, 4, 8)).shape == (1, 3, 3, 4)


@pytest.mark.parametrize("levels", [2, 3, 17, 200, 255, 256, 257, 4096, 60000, 65536])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_pixkit_writes_it_reads_back(tmp_path, levels, channels):
    spec = ImageSpec(channels, 16, 17, levels)
    x = torch.randint(levels, (2, *spec.shape), generator=torch.Generator().manual_seed(levels))
    x[0, 0, 0, :2] = torch.tensor([0, levels - 1])
    paths = figures.save_images(x, levels, tmp_path / "out")
    assert torch.equal(read_images(paths, spec), x)
    assert torch.equal(read_images([tmp_path / "out"], spec), x)
    with Image.open(paths[0]) as image:
        assert image.info[KEYWORD] == f"levels={levels} channels={channels}"
        assert image.size == (17 * (channels if channels != 3 else 1), 16)
        assert image.mode == ("RGB" if channels == 3 else "L" if levels <= 256 else "I;16")


def test_all_levels_of_a_picture_are_read_back(tmp_path):
    for levels in (60000, 65536):
        x = torch.arange(levels).view(1, 1, 200, -1) if levels == 60000 else torch.arange(levels).view(1, 1, 256, 256)
        (path,) = figures.save_images(x, levels, tmp_path / str(levels))
        assert torch.equal(read_images([path], ImageSpec(1, *x.shape[2:], levels)), x)


def test_colour_for_a_model_of_grey_images_is_refused(make, tmp_path):
    data = make("digits")
    levels = RNG.integers(0, 17, (8, 8))
    grey = np.rint(levels * 255 / 16).astype(np.uint8)
    Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2)).save(tmp_path / "grey.png")
    assert np.array_equal(reader_of(data).read(tmp_path / "grey.png")[0][1][0].numpy(), levels)
    Image.fromarray(RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "colour.png")
    with pytest.raises(DataError, match="in colour"):
        reader_of(data).read(tmp_path / "colour.png")
    Image.new("L", (9, 8)).save(tmp_path / "wide.png")
    with pytest.raises(DataError, match="8 x 8"):
        reader_of(data).read(tmp_path / "wide.png")


def test_pictures_for_data_that_are_none_are_read_as_they_are_or_rounded_to_8_bits(make, tmp_path):
    """Of four channels; grey ones of 16 bits; and of 9, which hold all levels of data with 512."""
    clear = RNG.integers(0, 256, (3, 4, 4), dtype=np.uint8)
    Image.fromarray(clear, "RGBA").save(tmp_path / "clear.png")
    assert np.array_equal(Reader(ImageSpec(4, 3, 4, 256)).read(tmp_path / "clear.png")[0][1], clear.transpose(2, 0, 1))
    with pytest.raises(DataError, match="pictures have 1, 3 or 4 channels") as caught:
        Reader(ImageSpec(2, 3, 4, 256)).read(tmp_path / "clear.png")
    assert caught.value.where == str(tmp_path / "clear.png")
    reader, levels = reader_of(make("digits")), RNG.integers(0, 17, (8, 8))
    Image.fromarray((levels * 65535 // 16).astype(np.uint16)).save(tmp_path / "deep.png")
    assert np.array_equal(reader.read(tmp_path / "deep.png")[0][1][0], levels)
    assert reader.rounded == [str(tmp_path / "deep.png")]
    codes = RNG.integers(0, 512, (3, 4))
    (tmp_path / "nine.pgm").write_bytes(b"P5 4 3 511\n" + codes.astype(">u2").tobytes())
    assert np.array_equal(Reader(ImageSpec(1, 3, 4, 512)).read(tmp_path / "nine.pgm")[0][1][0], codes)


def test_a_photo_for_a_model_of_codes_is_refused(make, tmp_path):
    np.save(tmp_path / "a.npy", RNG.integers(0, 512, (20, 8, 8)))
    codes = make("arrays", path="a.npy", layout="NHW", source_levels=512)
    for number, mode in enumerate(("L", "RGB")):
        path = tmp_path / f"{number}.png"
        Image.fromarray(RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)).convert(mode).save(path)
        with pytest.raises(DataError, match=r"in colour|too few levels"):
            reader_of(codes).read(path)


@pytest.mark.parametrize("highest", [1, 255])
def test_a_mask_of_0_and_1_is_one_of_black_and_white(tmp_path, highest):
    missing = np.zeros((4, 5), np.uint8)
    missing[2:] = 1
    Image.fromarray(missing * highest).save(tmp_path / "mask.png")
    np.save(tmp_path / "mask.npy", missing * highest)
    np.savez(tmp_path / "mask.npz", anything=missing.astype(bool))
    expected = torch.tensor(missing == 0).expand(3, 4, 5)
    for name in ("mask.png", "mask.npy", "mask.npz"):
        assert torch.equal(read_mask(tmp_path / name, ImageSpec(3, 4, 5, 256)), expected)
    np.savez(tmp_path / "done.npz", known=expected.numpy(), samples=np.zeros(3))
    assert torch.equal(read_mask(tmp_path / "done.npz", ImageSpec(3, 4, 5, 256)), expected)


def test_white_begins_in_the_middle_and_two_is_no_white(tmp_path):
    np.save(tmp_path / "mask.npy", np.array([[0, 1], [127, 128]], np.uint8))
    assert read_mask(tmp_path / "mask.npy", ImageSpec(1, 2, 2, 4)).tolist() == [[[True, True], [True, False]]]
    np.save(tmp_path / "mask.npy", np.zeros((2, 2), np.uint8))
    assert read_mask(tmp_path / "mask.npy", ImageSpec(1, 2, 2, 4)).all()
    for highest in (2, 127):
        np.save(tmp_path / "mask.npy", np.array([[0, 1], [1, highest]], np.uint8))
        with pytest.raises(DataError, match="marks nothing as missing"):
            read_mask(tmp_path / "mask.npy", ImageSpec(1, 2, 2, 4))


def test_a_mask_without_white_says_what_it_takes_for_missing(tmp_path):
    Image.fromarray(np.array([[0, 3], [17, 100]], np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match="marks nothing as missing") as caught:
        read_mask(tmp_path / "mask.png", ImageSpec(1, 2, 2, 4))
    assert caught.value.found == "values 0..100" and "128..255" in caught.value.expected
    with pytest.raises(DataError, match="different size"):
        read_mask(tmp_path / "mask.png", ImageSpec(1, 2, 3, 4))


def test_pictures_for_a_model_whose_data_have_12_bits(make, tmp_path):
    """A file of 16 bits holds the data's levels as they are; one of 8 bits is white at 255; others are refused."""
    array = RNG.integers(0, 4096, (20, 4, 4), dtype=np.uint16)
    array[0, 0] = [0, 4095, 64, 63]
    np.save(tmp_path / "a.npy", array)
    data = make("arrays", path="a.npy", source_levels=4096, levels=64, test_fraction=0.0, validation=0.0)
    Image.fromarray(array[0]).save(tmp_path / "twelve.png")
    ((_, found),) = reader_of(data).read(tmp_path / "twelve.png")
    assert torch.equal(found, data.batch("train", torch.tensor([0])).x[0]) and found[0, 0].tolist() == [0, 63, 1, 0]
    Image.fromarray((array[0] // 16).astype(np.uint8)).save(tmp_path / "eight.png")
    assert torch.equal(reader_of(data).read(tmp_path / "eight.png")[0][1], found)
    Image.fromarray(array[0] * 16).save(tmp_path / "sixteen.png")
    with pytest.raises(DataError, match="levels beyond") as caught:
        reader_of(data).read(tmp_path / "sixteen.png")
    assert caught.value.expected.startswith("0..4095")


def test_pictures_of_12_bits_in_a_folder_and_by_file(make, tmp_path):
    (tmp_path / "pictures").mkdir()
    array = RNG.integers(0, 4096, (4, 4), dtype=np.uint16)
    Image.fromarray(array).save(tmp_path / "pictures" / "a.png")
    options = {"channels": 1, "source_levels": 4096, "levels": 64, "test_fraction": 0.0, "validation": 0.0}
    data = make("images", path="pictures", **options)
    ((_, found),) = reader_of(data).read(tmp_path / "pictures" / "a.png")
    assert np.array_equal(found[0].numpy(), array // 64)
    assert torch.equal(found, data.batch("train", torch.tensor([0])).x[0])
    Image.fromarray((array // 16).astype(np.uint8)).save(tmp_path / "pictures" / "eight.png")
    for read in (
        lambda: reader_of(data).read(tmp_path / "pictures" / "eight.png"),
        lambda: make("images", path="pictures", **options),
    ):
        with pytest.raises(DataError, match="too few bits") as caught:
            read()
        assert caught.value.where == str(tmp_path / "pictures" / "eight.png")
        assert caught.value.expected == "a file that can hold 0..4095"


def test_arrays_of_floats_are_not_cut_to_levels(tmp_path):
    np.savez(tmp_path / "floats.npz", x=np.full((4, 4), 0.7), known=np.full((4, 4), 0.7))
    for read in (lambda path: Reader(SMALL).read(f"{path}:x"), lambda path: read_mask(path, SMALL)):
        with pytest.raises(DataError, match="not an array of integers"):
            read(tmp_path / "floats.npz")


SMALL = ImageSpec(1, 4, 4, 256)


def test_an_array_without_an_image_is_refused(tmp_path):
    for shape in ((0, 4, 5), (0, 1, 4, 5), (0, 4, 5, 1), (0, 5), (0,)):
        np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
        with pytest.raises(DataError, match="without an image") as caught:
            read_images([tmp_path / "a.npy"], ImageSpec(1, 4, 5, 8))
        assert caught.value.found == str(shape) and "(1, 4, 5)" in caught.value.expected


def test_zeros_and_ones_are_told_from_values_out_of_range(make, tmp_path):
    data = make("digits")
    np.save(tmp_path / "a.npy", np.eye(8, dtype=np.uint8))
    with pytest.raises(DataError, match="only zeros and ones") as caught:
        reader_of(data).read(tmp_path / "a.npy")
    assert caught.value.found == "0..1" and caught.value.hint == "black and white are 0 and 16"
    np.save(tmp_path / "a.npy", np.eye(8, dtype=np.int8) - 1)
    with pytest.raises(DataError, match="not levels of the data") as caught:
        reader_of(data).read(tmp_path / "a.npy")
    assert caught.value.found == "-1..0"


@pytest.mark.parametrize(
    ("shape", "found"),
    [((0, 0), "0 x 0 (height x width)"), ((4, 6), "4 x 6 (height x width)"), ((3, 4, 5), "3 x 4 x 5"), ((4,), "4")],
)
def test_the_size_of_a_mask_that_does_not_fit_is_told(tmp_path, shape, found):
    np.save(tmp_path / "mask.npy", np.ones(shape, np.uint8))
    with pytest.raises(DataError, match="different size") as caught:
        read_mask(tmp_path / "mask.npy", ImageSpec(1, 4, 5, 8))
    assert caught.value.found == found


def test_what_is_left_out_of_pictures_is_said_once(make, tmp_path):
    for folder in ("pictures", "deep"):
        (tmp_path / folder).mkdir()
    frames = [Image.fromarray(RNG.integers(0, 256, (6, 5), dtype=np.uint8)) for _ in range(2)]
    frames[0].save(tmp_path / "pictures" / "plain.png")
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    for name in ("a", "b"):
        Image.fromarray(RNG.integers(0, 65536, (6, 5), dtype=np.uint16)).save(tmp_path / "deep" / f"{name}.png")
    reader = reader_of(make("images", path="pictures", channels=1, test_fraction=0.0, validation=0.0))
    reader.read(tmp_path / "pictures")
    assert not reader.notes
    for name in ("deep", "moving.gif"):
        reader.read(tmp_path / name)
    rounded, cut = reader.notes
    assert "rounded to 8" in rounded and all(str(tmp_path / "deep" / name) in rounded for name in ("a.png", "b.png"))
    assert "further frames" in cut and cut.endswith(str(tmp_path / "moving.gif"))
    with pytest.warns(RuntimeWarning) as said:
        read_images([tmp_path / "deep", tmp_path / "moving.gif"], ImageSpec(1, 6, 5, 256))
    assert len(said) == 2
    deep = reader_of(make("images", path="deep", channels=1, source_levels=65536, test_fraction=0.5, validation=0.0))
    deep.read(tmp_path / "deep")
    assert not deep.notes


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("read", [
    lambda path: read_images([path], ImageSpec(1, 2, 2, 4)),
    lambda path: read_mask(path, ImageSpec(1, 2, 2, 4)),
    lambda path: read_idx(path, 3),
])  # fmt: skip
def test_a_pipe_in_place_of_an_array_is_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(DataError, match="cannot be read") as caught:
        read(tmp_path / "x.npy")
    assert (caught.value.where, caught.value.found) == (str(tmp_path / "x.npy"), "a pipe or a device")


def test_pictures_and_arrays_keep_their_own_size_if_that_is_asked_for(make, tmp_path):
    (tmp_path / "pictures").mkdir()
    Image.fromarray(PHOTO).save(tmp_path / "pictures" / "p.png")
    turned = Image.Exif()
    turned[274] = 6
    Image.fromarray(PHOTO[:, :3]).save(tmp_path / "turned.png", exif=turned)
    data = make("images", path="pictures", size=6, levels=8, test_fraction=0.0, validation=0.0)
    changed = []
    reader = Reader(data.spec, data.source, changed=changed, own_size=True)
    ((_, found),) = reader.read(tmp_path / "pictures")
    assert torch.equal(found, torch.from_numpy(PHOTO // 32).permute(2, 0, 1).long())
    assert reader.read(tmp_path / "turned.png")[0][1].shape == (3, 3, 9)
    assert changed == [str(tmp_path / "pictures" / "p.png"), str(tmp_path / "turned.png")]
    for channels in (1, 2, 3, 4):  # two and four lie in a row
        x = torch.from_numpy(RNG.integers(8, size=(2, channels, 4, 5)))
        spec, folder = ImageSpec(channels, 6, 6, 8), tmp_path / str(channels)
        figures.save_images(x, spec.of_size(4, 5), folder)
        figures.save_npz(x, spec.of_size(4, 5), tmp_path / f"{channels}.npz")
        for name in (folder, tmp_path / f"{channels}.npz"):
            assert torch.equal(torch.stack([image for _, image in Reader(spec, own_size=True).read(name)]), x)
    (tmp_path / "none.png").write_bytes(b"none")
    with pytest.raises(DataError, match="not a readable image"):
        reader.read(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("shape", "channels", "size"),
    [
        ((4, 5), 1, (4, 5)),
        ((7, 4, 5), 1, (4, 5)),
        ((1, 4, 5), 1, (4, 5)),
        ((3, 4, 5), 3, (4, 5)),
        ((4, 5, 3), 3, (4, 5)),
        ((7, 3, 4, 5), 3, (4, 5)),
        ((7, 4, 5, 1), 1, (4, 5)),
        ((3, 4, 3), 3, "two ways"),
        ((4, 5, 1), 1, "two ways"),
        ((4, 5), 3, "no images"),
        ((7, 4, 5), 3, "no images"),
        ((2, 7, 3, 4, 5), 3, "no images"),
        ((5,), 1, "no images"),
    ],
)
def test_the_size_of_an_arrays_images_is_told_from_where_the_channels_are(shape, channels, size):
    if isinstance(size, str):
        with pytest.raises(DataError, match=size):
            size_in(shape, channels, "here")
    else:
        assert size_in(shape, channels, "here") == size


@pytest.mark.parametrize("kind", ["npy", "fortran", "npz", "compressed"])
def test_of_an_array_some_images_are_in_memory_at_a_time(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(stored, "AT_ONCE", 2**15)
    monkeypatch.setattr(given_array, "AT_ONCE", 2**13)
    x = np.random.default_rng(0).integers(0, 9, (700, 1, 32, 32), dtype=np.uint8)
    path = tmp_path / ("x.npz" if kind in ("npz", "compressed") else "x.npy")
    if path.suffix == ".npz":
        (np.savez if kind == "npz" else np.savez_compressed)(path, samples=x)
    else:
        np.save(path, np.asfortranarray(x) if kind == "fortran" else x)
    reader = Reader(ImageSpec(1, 32, 32, 9))
    found = reader.images(path)
    monkeypatch.setattr(given_array, "MAX_BYTES", x.nbytes - 1)  # of what may have to be unpacked whole
    if kind == "compressed":
        with pytest.raises(DataError, match="too large to be unpacked") as caught:
            reader.images(path)
        assert (caught.value.found, caught.value.expected) == ("716800 bytes", "at most 716799")
    else:
        assert reader.images(path).count == 700
    count, held = 0, set()
    tracemalloc.start()
    for number, (name, image) in enumerate(found.each):
        assert name == f"{path} {number}" and np.array_equal(image, x[number])
        count += 1
        held.add(image.untyped_storage().nbytes() // 2**13)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held == {8, 4}, "so many images at a time, and what is left"
    assert count == found.count == 700 and peak < x.nbytes // 2 < 8 * x.nbytes


@pytest.mark.parametrize(
    ("place", "value", "found"), [(0, 8, "0..8"), (5, 8, "0..8"), (0, -1, "-1..2"), (5, -1, "-1..2")]
)
def test_a_level_out_of_range_is_found_in_any_block(tmp_path, monkeypatch, place, value, found):
    monkeypatch.setattr(given_array, "AT_ONCE", 12)
    array = np.array([0, 1, 2] * 24).reshape(6, 3, 4)
    array[place, 1, 1] = value
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match="not levels") as caught:
        read_images([tmp_path / "a.npy"], ImageSpec(1, 3, 4, 8))
    assert (caught.value.found, caught.value.expected) == (found, "0..7")
    monkeypatch.setattr(given_array.GivenArray, "check", lambda *given: None)
    with pytest.raises(DataError, match="changed while it was read"):
        read_images([tmp_path / "a.npy"], ImageSpec(1, 3, 4, 8))


def test_an_array_of_which_one_level_is_lost_is_named(make, tmp_path):
    np.save(tmp_path / "a.npy", np.array([0, 85, 170, 255] * 6, np.uint8).reshape(2, 3, 4))
    data, changed = make("arrays", path="a.npy", levels=4, test_fraction=0.0, validation=0.0), []
    reader = Reader(data.spec, data.source, changed=changed)
    reader.read(tmp_path / "a.npy")
    assert changed == [] and reader.parts(tmp_path / "a.npy") == [tmp_path / "a.npy"]
    np.save(tmp_path / "a.npy", np.array([0] * 23 + [3], np.uint8).reshape(2, 3, 4))
    reader.read(tmp_path / "a.npy")
    assert changed == [str(tmp_path / "a.npy")]


def test_pictures_of_a_source_that_keeps_their_sizes_are_checked(tmp_path):
    """A source of a plugin may say no size, and fewer levels than the model has."""
    form = Form(1, None, "crop", "bicubic", 10**4)
    source = SimpleNamespace(config=DataConfig(), picture_form=lambda spec: form, source_levels=256)
    Image.fromarray(PHOTO[:3, :4, 0]).save(tmp_path / "a.png")
    ((_, found),) = Reader(ImageSpec(1, 3, 4, 256), source).read(tmp_path / "a.png")
    assert np.array_equal(found[0].numpy(), PHOTO[:3, :4, 0])
    for spec, message, said in (
        (ImageSpec(1, 4, 3, 256), "a different size", ("3 x 4 (height x width)", "4 x 3")),
        (ImageSpec(1, 3, 4, 257), "too few levels for this model", ("256 levels", "257")),
    ):
        with pytest.raises(DataError, match=message) as caught:
            Reader(spec, source).read(tmp_path / "a.png")
        assert (caught.value.found, caught.value.expected) == said
    with pytest.raises(OtherSize) as caught:
        Reader(ImageSpec(1, 4, 3, 256)).read(tmp_path / "a.png")
    assert caught.value.hint == "bring the picture to this size first"  # not a recipe's key


@pytest.mark.parametrize(("levels", "fits"), [(256, True), (257, False)])
def test_eight_bits_are_enough_for_as_many_levels(make, tmp_path, levels, fits):
    """Of data with 65536, of which the model has fewer."""
    np.save(tmp_path / "a.npy", np.full((2, 3, 4), 65535, np.uint16))
    data = make("arrays", path="a.npy", source_levels=65536, levels=levels, test_fraction=0.0, validation=0.0)
    Image.fromarray(PHOTO[:3, :4, 0]).save(tmp_path / "a.png")
    if fits:
        assert np.array_equal(reader_of(data).read(tmp_path / "a.png")[0][1][0].numpy(), PHOTO[:3, :4, 0])
        return
    with pytest.raises(DataError, match="too few levels for this model") as caught:
        reader_of(data).read(tmp_path / "a.png")
    assert (caught.value.where, caught.value.found) == (str(tmp_path / "a.png"), "256 levels")


@pytest.mark.parametrize(("values", "count"), [(11, 1), (12, 1), (24, 2), (47, 3), (10**6, 6)])
def test_so_many_images_of_an_array_are_prepared_at_a_time(tmp_path, monkeypatch, values, count):
    """At least one, and as many as have so many values."""
    monkeypatch.setattr(given_array, "AT_ONCE", values)
    spec, array = ImageSpec(1, 3, 4, 8), RNG.integers(0, 8, (6, 3, 4))
    np.save(tmp_path / "a.npy", array)
    found = given_array.GivenArray.of(tmp_path / "a.npy", None, 10**4)
    blocks = [*found.blocks(orders_of(array.shape, spec, ""), spec)]
    assert len(blocks[0]) == count and np.array_equal(np.concatenate(blocks)[:, 0], array)


@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("value", [0, 1])
def test_one_level_for_all_is_black_and_white_as_well(tmp_path, levels, value):
    np.save(tmp_path / "a.npy", np.full((2, 3, 4), value))
    if levels == 2:
        assert (read_images([tmp_path / "a.npy"], ImageSpec(1, 3, 4, 2)) == value).all()
        return
    with pytest.raises(DataError, match="only zeros and ones") as caught:
        read_images([tmp_path / "a.npy"], ImageSpec(1, 3, 4, 3))
    assert (caught.value.found, caught.value.expected) == (f"{value}..{value}", "0..2")


def test_a_packed_array_has_so_many_bytes_at_most(tmp_path, monkeypatch):
    array, spec = RNG.integers(0, 8, (2, 3, 4)).astype(np.uint16), ImageSpec(1, 3, 4, 8)
    np.savez_compressed(tmp_path / "a.npz", a=array)
    monkeypatch.setattr(given_array, "MAX_BYTES", 48)
    assert np.array_equal(read_images([tmp_path / "a.npz"], spec)[:, 0].numpy(), array)
    monkeypatch.setattr(given_array, "MAX_BYTES", 47)
    with pytest.raises(DataError, match="too large to be unpacked") as caught:
        read_images([tmp_path / "a.npz"], spec)
    assert (caught.value.found, caught.value.expected) == ("48 bytes", "at most 47")
    np.savez(tmp_path / "a.npz", a=array)
    assert len(read_images([tmp_path / "a.npz"], spec)) == 2


def test_of_data_that_are_not_changed_a_file_has_the_models_levels(make, tmp_path):
    """Whatever their source says by default: booleans have two."""
    array = RNG.integers(0, 2, (5, 3, 4)).astype(bool)
    np.save(tmp_path / "a.npy", array)
    data = make("arrays", path="a.npy", test_fraction=0.0, validation=0.0)
    assert np.array_equal(torch.cat([image for _, image in reader_of(data).read(tmp_path / "a.npy")]), array)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_picture_shows_levels_of_its_size_and_of_one_three_or_four_channels(channels):
    levels = RNG.integers(0, 256, (channels, 2, 3))
    pixels = np.concatenate([np.broadcast_to(levels, (3, 2, 3)) if channels == 1 else levels, np.full((1, 2, 3), 255)])
    whole = pixels[:4] * 257
    assert shows(levels, 256, whole) == (channels != 2)
    assert not shows(levels, 256, whole[:, :, :2]) and not shows(levels[:, :1], 256, whole)
    changed = whole.copy()
    changed[-1, 1, 2] -= 257
    assert not shows(levels, 256, changed)
