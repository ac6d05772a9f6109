"""Folders of images as people have them: splits, links, files of other sizes, files with several frames."""

from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from PIL import Image

from pixkit.data.fitting import Form
from pixkit.data.folders import Listing, list_pictures, splits_of
from pixkit.data.reading import How, _of_other_depths, left_out, read_folder
from pixkit.errors import DataError


@pytest.fixture
def paint(tmp_path):
    """paint(name, *levels): a picture in the folder `pictures`, with a frame of each level."""

    def painting(name, *levels, size=(4, 3), exif=None):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        first, *others = (Image.new("L", size, level) for level in levels)
        options = {"save_all": True, "append_images": others} if others else {}
        first.save(path, **options, **({} if exif is None else {"exif": exif}))
        return path

    return painting


def levels(data, split):
    return data.batch(split, torch.arange(data.size(split))).x[:, 0, 0, 0].tolist()


def read(make, **config):
    return make("images", path="pictures", channels=1, **config)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "valid", "testing")])
@pytest.mark.parametrize("labels", [False, True])
def test_folders_called_train_val_and_test_are_splits(make, paint, names, labels):
    for number, name in enumerate(names):
        for kind in ("ant", "bee"):
            for row in range(3):
                paint(f"{name}/{kind}/{row}.png", 100 * number + 10 * row + (kind == "bee"))
    data = read(make, labels=labels)
    for number, split in enumerate(("train", "validation", "test")):
        assert sorted(levels(data, split)) == [100 * number + value for value in (0, 1, 10, 11, 20, 21)]
        if labels:
            assert [level % 10 for level in levels(data, split)] == data.labels(split).tolist()
    assert data.class_names == (("ant", "bee") if labels else None)
    assert f"{names[0]} (train), " in data.notes[0] and f"{names[2]} (test)" in data.notes[0]
    if not labels:
        assert read(make, splits="none").size("train") > 6


def test_what_is_not_read_of_a_folder_of_splits_is_said_once(make, paint, tmp_path):
    for name in ("train/1.png", "train/2.png", "test/1.png"):
        paint(name, 1)
    (tmp_path / "pictures" / "test" / "notes.txt").write_text("words")
    notes = [note for note in read(make, validation=0.1).notes if "1 other files" in note]
    assert len(notes) == 1 and f"in {tmp_path / 'pictures'} are not images" in notes[0]


def test_one_of_val_and_test_will_do(make, paint):
    for number in range(10):
        paint(f"train/{number}.png", number)
    paint("test/a.png", 200)
    data = read(make)
    assert levels(data, "test") == [200] and (data.size("train"), data.size("validation")) == (9, 1)
    (paint("val/a.png", 100).parent.parent / "test" / "a.png").unlink()
    data = read(make)
    assert levels(data, "validation") == [100] and (data.size("train"), data.size("test")) == (9, 1)


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"test_path": "held"}, "test_path"),
        ({"test_fraction": 0.3}, "test_fraction"),
        ({"validation": 0.2}, "validation"),
    ],
)
def test_splits_that_a_key_gives_too_are_refused(make, paint, config, where):
    for name in ("train/1.png", "val/1.png", "test/1.png", "../held/1.png"):
        paint(name, 1)
    with pytest.raises(DataError, match="given twice") as caught:
        read(make, **config)
    assert caught.value.where == f"data.{where}" and "data.splits=none" in caught.value.hint


@pytest.mark.parametrize("other", ["extra/1.png", "loose.png", "valid/1.png"])
def test_splits_beside_other_folders_are_refused(make, paint, other):
    for name in ("train/1.png", "val/1.png", other):
        paint(name, 1)
    with pytest.raises(DataError, match="and others beside them") as caught:
        read(make)
    assert "train" in caught.value.found and "data.splits=none" in caught.value.hint
    assert caught.value.found.endswith({"loose.png": ", images in no folder", "extra/1.png": ", extra"}.get(other, ""))


def test_a_class_that_only_a_split_has_is_refused(make, paint):
    for name in ("train/ant/1.png", "train/bee/1.png", "test/cat/1.png"):
        paint(name, 1)
    with pytest.raises(DataError, match="no training image has") as caught:
        read(make, labels=True)
    assert caught.value.found == "cat" and caught.value.where.endswith("test")


def test_links_to_folders_are_followed_once(make, paint, tmp_path):
    for number in range(6):
        paint(f"a/{number}.png", number)
        paint(f"../elsewhere/{number}.png", 100 + number)
    pictures = tmp_path / "pictures"
    (pictures / "b").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (pictures / "c").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (pictures / "a" / "loop").symlink_to(pictures, target_is_directory=True)
    (tmp_path / "elsewhere" / "back").symlink_to(pictures / "a", target_is_directory=True)
    (pictures / "self").symlink_to("self")
    data = read(make, labels=True)
    assert data.class_names == ("a", "b")
    found = [level for split in ("train", "validation", "test") for level in levels(data, split)]
    assert sorted(found) == [*range(6), *range(100, 106)]
    assert any(note.endswith("were not followed: a/loop, b/back, c") for note in data.notes)


def test_the_commonest_size_is_kept(make, paint):
    """Not that of the file whose name comes first."""
    paint("a.png", 50, size=(9, 9))
    for number in range(6):
        paint(f"b{number}.png", number)
    turned = Image.Exif()
    turned[0x0112] = 6
    paint("c.jpg", 80, size=(3, 4), exif=turned)
    data = read(make, on_bad="skip")
    assert data.spec.shape == (1, 3, 4) and "left out 1 of 8" in data.notes[0] and "a.png" in data.notes[0]
    assert 50 not in levels(data, "train") and data.size("train") + data.size("validation") + data.size("test") == 7


def test_with_a_size_files_of_any_are_brought_to_it(make, paint):
    for number in range(3):
        paint(f"{number}.png", number, size=(4, 3))
        paint(f"x{number}.png", 10 + number, size=(5 + number, 9))
    data = read(make, on_bad="skip", size=[2, 3])
    assert data.notes == () and data.spec.shape == (1, 2, 3)
    assert sorted(levels(data, "train") + levels(data, "validation") + levels(data, "test")) == [0, 1, 2, 10, 11, 12]


def test_it_stops_where_most_would_be_left_out(make, paint, tmp_path):
    for number in range(3):
        paint(f"{number}.png", number)
    for number in range(4):
        (tmp_path / "pictures" / f"bad{number}.png").write_bytes(b"")
    with pytest.raises(DataError, match="most of the images would be left out") as caught:
        read(make, on_bad="skip")
    assert "left out 4 of 7" in caught.value.found
    (tmp_path / "pictures" / "bad3.png").unlink()
    assert read(make, on_bad="skip").spec.shape == (1, 3, 4)


@pytest.mark.parametrize("kind", ["gif", "tif", "webp"])
def test_further_frames_are_said_and_can_be_read(make, paint, kind):
    for number in range(5):
        paint(f"{number}.{kind}", *(50 * number + 10 * frame for frame in range(4)))
    paint("single.bmp", 255)
    data = read(make)
    assert sum(data.size(split) for split in ("train", "validation", "test")) == 6
    assert any("5 images in" in note and "data.frames=all" in note for note in data.notes)
    every = read(make, frames="all", test_fraction=0.2, validation=0.2)
    files = [{round(level / 50 - 0.3) for level in levels(every, split)} for split in ("train", "validation", "test")]
    assert sum(every.size(split) for split in ("train", "validation", "test")) == 21
    assert not (files[0] & files[1] or files[0] & files[2] or files[1] & files[2]), "a file's frames are in one split"
    assert all(files)
    assert not any("frames" in note for note in every.notes)


def test_files_are_in_the_order_of_their_folders_and_then_of_their_names(paint, tmp_path):
    """As paths are sorted: images' numbers, and so splits and batches, depend on it."""
    names = ("a/b/1.png", "a/b!.png", "a/1.png", "a!/1.png", "a b/1.png", "a.png", "z/é.png", "B/1.png")
    for name in names:
        paint(name, 5)
    found = list_pictures(tmp_path / "pictures").names
    assert found == [str(path) for path in sorted(PurePosixPath(name) for name in names)] != sorted(names)


def test_other_files_are_counted_the_most_first_and_then_by_name():
    others = Counter({"text": 1, "a zip archive": 2, "a PDF document": 1})
    found = Listing(Path("x"), others=others).in_words()
    assert found == "4 other files (a zip archive: 2, a PDF document: 1, text: 1)"


def test_frames_of_16_bits_keep_them(make, paint, tmp_path):
    array = np.random.default_rng(0).integers(0, 65536, (3, 4, 5), dtype=np.uint16)
    (tmp_path / "pictures").mkdir()
    first, *others = (Image.fromarray(frame) for frame in array)
    first.save(tmp_path / "pictures" / "a.tif", save_all=True, append_images=others)
    data = read(make, frames="all", source_levels=65536, test_fraction=0.0, validation=0.0)
    assert np.array_equal(data.batch("train", torch.arange(3)).x[:, 0].numpy(), array)


def test_other_sizes_are_refused_with_the_key_that_mends_it(make, paint):
    paint("a.png", 1)
    paint("b.png", 1, size=(5, 5))
    with pytest.raises(DataError, match="different size") as caught:
        read(make)
    assert "data.size=" in caught.value.hint


def test_frames_of_two_sizes_are_refused(make, paint, tmp_path):
    path = paint("a.tif", 1)
    Image.new("L", (4, 3), 1).save(path, save_all=True, append_images=[Image.new("L", (5, 3), 2)])
    with pytest.raises(DataError, match="different size") as caught:
        read(make, frames="all", test_fraction=0.0, validation=0.0)
    assert (caught.value.found, caught.value.expected) == ("3 x 5 (height x width)", "3 x 4")
    for number in range(4):
        paint(f"{number}.tif", *range(number, number + 3))
    data = read(make, frames="all", on_bad="skip", test_fraction=0.0, validation=0.0)
    assert data.size("train") == 12 and "left out 1 of 5 images" in data.notes[0]


def test_where_no_image_can_be_used_those_left_out_are_named(make, paint, tmp_path):
    paint("a.png", 1).write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "pictures" / "notes.txt").write_text("words")
    with pytest.raises(DataError, match="none of the images can be used") as caught:
        read(make, on_bad="skip")
    assert caught.value.found.startswith("left out 1 of 1 images")


@pytest.mark.parametrize(("bad", "said"), [
    (0, None), (5, "b0, b1, b2, b3, b4"), (6, "b0, b1, b2, b3, b4 and 1 more"), (7, "b0, b1, b2, b3, b4 and 2 more"),
])  # fmt: skip
def test_five_of_those_left_out_are_named(bad, said):
    listing = Listing(Path("x"), ["a"] * 14)
    notes = [] if said is None else [f"left out {bad} of 14 images in x: {said}"]
    assert left_out([f"b{number}" for number in range(bad)], listing) == notes


def test_half_may_be_left_out_or_all_which_is_an_error_of_its_own():
    for bad in (7, 14):
        assert len(left_out(["b"] * bad, Listing(Path("x"), ["a"] * 14))) == 1
    for bad in (8, 13):
        with pytest.raises(DataError, match="most of the images would be left out"):
            left_out(["b"] * bad, Listing(Path("x"), ["a"] * 14))


def test_of_a_file_with_a_bad_frame_none_is_kept(paint, tmp_path):
    for number in range(3):
        paint(f"{number}.gif", *range(10 * number, 10 * number + 3))
    damaged = tmp_path / "pictures" / "1.gif"
    damaged.write_bytes(damaged.read_bytes()[:-5])
    with damaged.open("rb") as file, Image.open(file) as image:
        image.seek(1)
        image.load()  # two of three frames are sound
    how = How(Form(1, None, "exact", "bicubic", 1000), "skip", "all")
    found = read_folder(list_pictures(tmp_path / "pictures"), how, None)
    assert found.names == ["0.gif"] * 3 + ["2.gif"] * 3 and len(found.pixels) == 6


def test_files_of_other_depths_are_said_for_each_depth():
    listing = Listing(Path("here"))
    depths = {16: 2, 8: 3, 15: 1}
    rounded = "bits a value and were rounded to 8: data.source_levels=65536 keeps them (or 4096, levels of 12 bits)"
    assert _of_other_depths(depths, 256, listing) == [
        f"1 of 6 images in here have 15 {rounded}", f"2 of 6 images in here have 16 {rounded}"
    ]  # fmt: skip
    stretched = "bits a value and were stretched to 65536 levels"
    assert _of_other_depths(depths, 65536, listing) == [
        f"3 of 6 images in here have 8 {stretched}", f"1 of 6 images in here have 15 {stretched}"
    ]  # fmt: skip
    assert _of_other_depths(depths, 255, listing) == []


def test_what_else_a_folder_has_is_said():
    listing = Listing(Path("here"), ["a.png"])
    assert (listing.notes, listing.in_words()) == ([], "no files")
    listing = Listing(Path("here"), ["a.png"], 2, Counter({"text": 1, "a sound": 3, "a PDF": 1}), ["l", "m"])
    assert listing.in_words() == "5 other files (a sound: 3, a PDF: 1, text: 1)"
    assert listing.notes == [
        "2 files in here have no suffix of an image and are images: they were read",
        "5 other files (a sound: 3, a PDF: 1, text: 1) in here are not images and were not read",
        "links in here to folders that are read elsewhere were not followed: l, m",
    ]


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["train/a", "val/b", "test/c"], {"train": ["a"], "test": ["c"], "validation": ["b"]}),
        (["Training/a", "testing/x/c"], {"train": ["a"], "test": ["x/c"]}),
        (["test/a", "val/b"], {"train": ["test/a", "val/b"]}),
        (["train/a", "train/b"], {"train": ["train/a", "train/b"]}),
        (["a", "b/c"], {"train": ["a", "b/c"]}),
    ],
)
def test_folders_are_splits_if_one_of_them_is_for_training(names, parts):
    found = splits_of(Listing(Path("here"), names))
    assert {split: part.names for split, part in found.items()} == parts
    assert next(iter(found)) == "train"
    whole = [part.whole is not None for part in found.values()]
    assert whole == [len(parts) > 1, *[False] * (len(parts) - 1)]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["train/a", "test/b", "more/c"], "test, train, more"),
        (["train/a", "test/b", "c"], "test, train, images in no folder"),
        (["train/a", "val/b", "valid/c"], "train, val, valid"),
    ],
)
def test_splits_with_others_beside_them_are_refused(names, found):
    with pytest.raises(DataError) as caught:
        splits_of(Listing(Path("here"), names))
    error = caught.value
    assert (error.message, error.where) == ("there are folders for splits and others beside them", "here")
    assert (error.found, error.expected) == (found, "only train, val and test, one folder each; or none of them")


@pytest.mark.parametrize("others", [0, 1, 2])
def test_where_no_image_can_be_used_it_is_said_which_were_left_out(make, tmp_path, others):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"none")
    if others:
        (tmp_path / "pictures" / "a.txt").write_text("x")
    if others > 1:
        (tmp_path / "pictures" / "all").symlink_to(tmp_path / "pictures", target_is_directory=True)
    with pytest.raises(DataError, match="none of the images can be used") as caught:
        read(make, on_bad="skip")
    assert caught.value.found.startswith("left out 1 of 1 images")
