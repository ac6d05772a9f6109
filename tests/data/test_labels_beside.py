"""Labels of images in files beside them, as archives of WebDataset have them."""

import io
import tarfile

import pytest
import torch
from PIL import Image

from pixkit.data.labels_beside import MOST, suffix_of
from pixkit.data.picture import BadPicture
from pixkit.errors import DataError


def png(level):
    file = io.BytesIO()
    Image.new("L", (4, 3), level).save(file, "PNG")
    return file.getvalue()


def samples(count=12, start=0):
    """Pictures 0000.png ...; the n'th has the level n and the class n % 3, as WebDataset writes integers."""
    numbers = range(start, start + count)
    found = {}
    for n in numbers:
        found |= {f"{n:04}.cls": str(n % 3).encode(), f"{n:04}.png": png(n), f"{n:04}.json": b'{"width": 4}'}
    return found


@pytest.fixture
def place(tmp_path):
    """place(files, name): an archive NAME.tar of these, or a folder of another name."""

    def write(files, name="set.tar"):
        if not name.endswith(".tar"):
            for each, content in files.items():
                path = tmp_path / name / each
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            return name
        with tarfile.open(tmp_path / name, "w") as target:
            for each, content in files.items():
                info = tarfile.TarInfo(each)
                info.size = len(content)
                target.addfile(info, io.BytesIO(content))
        return name

    return write


def read(make, path="set.tar", **config):
    return make("images", **{"path": path, "channels": 1, "labels": ".cls"} | config)


def pairs(data, split):
    """The level and the class, by name, of each image of a split."""
    batch = data.batch(split, torch.arange(data.size(split)))
    return [(int(x), data.class_names[n]) for x, n in zip(batch.x[:, 0, 0, 0], batch.labels, strict=True)]


@pytest.mark.parametrize("name", ["set.tar", "set"])
def test_a_samples_label_is_in_its_file(make, place, name):
    data = read(make, place(samples(), name))
    found = [pair for split in ("train", "validation", "test") for pair in pairs(data, split)]
    assert sorted(found) == [(n, str(n % 3)) for n in range(12)]
    assert len(data.notes) == 1 and "12 other files" in data.notes[0], "those of JSON"
    outline = data.source.outline(data.spec)[0]
    assert torch.equal(outline.train.labels, data.source.load().train.labels)
    assert read(make, name, labels=False).labels("train") is None


def test_names_of_classes_folders_of_splits_and_several_pictures_of_a_sample(make, place):
    files = {
        "train/a/1.png": png(1), "train/a/1.cls": b"\xef\xbb\xbf ant \r\n", "train/b/1.png": png(2),
        "train/b/1.cls": b"bee", "train/b/7.left.png": png(3), "train/b/7.right.png": png(4), "train/b/7.cls": b"ant",
        "train/b/7.right.cls": b"bee", "train/b/7.x.y.png": png(6), "test/1.png": png(5), "test/1.cls": b"bee",
    }  # fmt: skip
    for name in ("set.tar", "set"):
        data = read(make, place(files, name), validation=0)
        assert pairs(data, "train") == [(1, "ant"), (2, "bee"), (3, "ant"), (4, "bee"), (6, "ant")]
        assert pairs(data, "test") == [(5, "bee")] and data.class_names == ("ant", "bee")
        assert data.notes[-1] == "classes: ant, bee" and len(data.notes) == 2


def test_images_without_a_label_are_refused_or_left_out(make, place, tmp_path):
    files = samples()
    del files["0003.cls"], files["0007.cls"], files["0005.png"]
    path = place(files)
    with pytest.raises(DataError, match="images without a file of their label") as caught:
        read(make, path)
    assert caught.value.where == str(tmp_path / "set.tar")
    assert caught.value.found == "2 of 11: 0003.png, 0007.png"
    assert caught.value.expected == "a file .cls beside each image, with the same name"
    assert caught.value.hint == "data.on_bad=skip leaves them out"
    data = read(make, path, on_bad="skip")
    assert sum(data.size(split) for split in ("train", "validation", "test")) == 9
    assert f"1 of 10 files .cls in {tmp_path / 'set.tar'} match no image" in data.notes
    assert any("0003.png (no .cls)" in note for note in data.notes)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "nothing"), (b" \n", "nothing"), (b"ant\nbee\n", "ant, bee"), (b"\xff\xfe", "2 bytes"),
        (b"a" * (MOST + 1), f"{MOST + 1} bytes"),
    ],
)  # fmt: skip
def test_what_is_no_label(make, place, tmp_path, content, found):
    for name in ("set.tar", "set"):
        with pytest.raises(DataError, match="not a label") as caught:
            read(make, place(samples() | {"0004.cls": content}, name))
        assert (caught.value.where, caught.value.found) == (str(tmp_path / name / "0004.cls"), found)
        several = "several labels for each image are not supported" if found == "ant, bee" else None
        assert caught.value.hint == several
    assert read(make, place(samples() | {"0004.cls": b"a" * MOST}, "long")).classes == 4


def test_a_suffix_is_one_of_files_of_labels():
    assert [suffix_of(each) for each in (".cls", ".cls.txt", ".CSV", ".txt", "a.cls", "./a", False, True)] == [
        ".cls", ".cls.txt", None, None, None, None, None, None,
    ]  # fmt: skip
    with pytest.raises(DataError, match="pictures are no labels"):
        suffix_of(".png")


def test_a_word_is_told_of_suffixes(make, place):
    with pytest.raises(DataError, match=r"or \.cls, the suffix of a file beside each image"):
        read(make, place(samples()), labels="cls")


def test_files_of_labels_that_cannot_be_read_say_so(make, place, tmp_path):
    place(samples(), "set")
    (tmp_path / "set" / "0002.cls").unlink()
    (tmp_path / "set" / "0002.cls").symlink_to("nowhere")
    with pytest.raises(DataError, match="cannot be read") as caught:
        read(make, "set")
    assert caught.value.where == str(tmp_path / "set" / "0002.cls") and not isinstance(caught.value, BadPicture)
