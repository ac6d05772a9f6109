"""Files are known by what they hold where their suffix says nothing, or something else."""

import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from pixkit.errors import DataError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(8):
        Image.new("L", (4, 3), number).save(tmp_path / "pictures" / f"{number}.png")
    return tmp_path / "pictures"


def levels(data):
    parts = [data.batch(split, torch.arange(data.size(split))) for split in ("train", "validation", "test")]
    return sorted(torch.cat([part.x[:, 0, 0, 0] for part in parts]).tolist())


def read(make, **config):
    return make("images", path="pictures", channels=1, **config)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"])
@pytest.mark.parametrize("name", ["x", "x.1", "x.dat", "x.tmp.PNG_", "x.png", "x.jpg"])
def test_pictures_are_read_whatever_they_are_called(make, folder, kind, name):
    options = {"lossless": True} if kind == "WEBP" else {}
    Image.new("L", (4, 3), 64).save(folder / name, kind, **options)
    data = read(make)
    assert levels(data) == [*range(8), 64]
    unnamed = f"1 files in {folder} have no suffix of an image and are images: they were read"
    assert data.notes == (() if name in ("x.png", "x.jpg") else (unnamed,))


def test_what_is_no_image_is_called_by_what_it_is(make, folder):
    (folder / "labels.json").write_text(json.dumps([1]))
    (folder / "notes.txt").write_text("BMW")
    (folder / "BM").write_text("BM, a brand")
    np.save(folder / "a.npy", np.zeros(3))
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("a", "b")
    (folder / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (folder / "x").write_bytes(bytes(range(1, 40)))
    (folder / "gone").symlink_to("nowhere")
    (note,) = read(make).notes
    assert note.startswith("8 other files (") and note.endswith(f") in {folder} are not images and were not read")
    for kind in ("text: 3", "an array of NumPy (.npy): 1", "a zip archive: 1", "an AVIF or HEIF picture: 1"):
        assert kind in note
    assert "of unknown content: 1" in note and "No such file or directory: 1" in note


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"<!DOCTYPE html><html>", "a web page"), (b"", "an empty file"), (b"PK\3\4", "a zip archive")],
)
def test_a_suffix_of_an_image_promises_one(make, folder, content, found):
    (folder / "z.jpg").write_bytes(content)
    with pytest.raises(DataError, match="not a readable image") as caught:
        read(make)
    assert found in caught.value.found


def test_previews_in_cameras_raw_files_are_no_images(make, folder):
    Image.new("L", (4, 3), 99).save(folder / "shot.NEF", "TIFF")
    data = read(make)
    assert levels(data) == list(range(8))
    assert data.notes == (f"1 other files (a camera's raw picture: 1) in {folder} are not images and were not read",)


def test_a_folder_of_nothing_that_is_read(make, tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        (tmp_path / "pictures" / f"{number}.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(DataError, match="there are no images") as caught:
        read(make)
    assert caught.value.found == "3 other files (an AVIF or HEIF picture: 3)"


def test_other_files_beside_splits_are_said_once(make, tmp_path):
    for split in ("train", "test"):
        (tmp_path / "pictures" / split).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (4, 3), number).save(tmp_path / "pictures" / split / f"{number}", "PNG")
    (tmp_path / "pictures" / "about.md").write_text("About")
    folder = tmp_path / "pictures"
    assert read(make).notes == (
        f"8 files in {folder} have no suffix of an image and are images: they were read",
        f"1 other files (text: 1) in {folder} are not images and were not read",
        f"folders of {folder} that are splits: train (train), test (test)",
    )
