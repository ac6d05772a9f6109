import errno
import io
import os

import numpy as np
import pytest
import torch
from PIL import Image
from png_files import deep_png
from pydantic import ValidationError

from pixkit.data import watched
from pixkit.data.images import Images
from pixkit.errors import DataError
from pixkit.image import ImageSpec


@pytest.fixture
def paint(tmp_path):
    """paint(name, level, size): a grey picture in the folder `pictures`."""

    def painting(name, level=0, size=(4, 3)):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size, level).save(path)
        return path

    return painting


@pytest.fixture
def folder(paint, tmp_path):
    for number in range(20):
        paint(f"{'abc'[number % 3]}/{number:02}.png", number)
    return tmp_path / "pictures"


def levels(data, split):
    """The levels of the images of a split, each of one level."""
    return [int(value) for value in data.batch(split, torch.arange(data.size(split))).x[:, 0, 0, 0]]


def names(data):
    return sorted(levels(data, "train") + levels(data, "validation") + levels(data, "test"))


def test_a_folder_and_its_subfolders(make, folder):
    data = make("images", path="pictures", channels=1)
    assert data.spec == ImageSpec(1, 3, 4, 256) and data.classes is None
    assert [data.size(split) for split in ("train", "validation", "test")] == [16, 2, 2]
    assert names(data) == list(range(20))
    assert data.notes == ()
    assert make("images", path="pictures").spec.channels == 3


@pytest.mark.parametrize(("size", "shape"), [(5, (5, 5)), ([2, 6], (2, 6)), ((2, 6), (2, 6))])
def test_sizes(make, folder, paint, size, shape):
    paint("other.png", 30, (9, 9))
    data = make("images", path="pictures", size=size)
    assert data.spec.shape == (3, *shape) and names(data) == [*range(20), 30]


def test_without_a_size_images_must_agree(make, folder, paint):
    paint("z.png", 30, (9, 9))
    with pytest.raises(DataError, match="different size") as caught:
        make("images", path="pictures")
    assert caught.value.where.endswith("z.png") and "9 x 9" in caught.value.found
    with pytest.raises(DataError, match="different size"):
        make("images", path="pictures", size=9, fit="exact")


def test_the_split_is_seeded_and_keeps_to_the_files_names(make, folder, paint):
    def tests(**config):
        return set(levels(make("images", path="pictures", test_fraction=0.25, **config), "test"))

    first = tests()
    assert len(first) == 5 and first == tests()
    assert first != tests(split_seed=1)
    paint("d/new.png", 50)
    assert len(first - tests()) <= 1  # the others' order does not move when a file comes


def test_a_folder_of_test_images(make, folder, paint):
    paint("../held/1.png", 100)
    data = make("images", path="pictures", test_path="held")
    assert levels(data, "test") == [100]
    assert data.size("train") + data.size("validation") == 20
    paint("../held/2.png", 100, (9, 9))
    with pytest.raises(DataError, match="different size"):
        make("images", path="pictures", test_path="held")
    assert make("images", path="pictures", test_path="held", size=4).size("test") == 2


def test_a_folder_of_images_for_validation(make, folder, paint):
    for number in range(3):
        paint(f"../seen/b/{number}.png", 100 + number)
    data = make("images", path="pictures", validation_path="seen", labels=True)
    assert levels(data, "validation") == [100, 101, 102] and data.size("train") == 18
    assert data.labels("validation").tolist() == [1, 1, 1] and not any("splits" in note for note in data.notes)
    paint("../seen/d/0.png", 1)
    with pytest.raises(DataError, match="no training image has"):
        make("images", path="pictures", validation_path="seen", labels=True)


def test_folders_as_classes(make, folder):
    data = make("images", path="pictures", labels=True)
    assert data.classes == 3 and data.notes == ("classes: a, b, c",)
    for split in ("train", "validation", "test"):
        batch = data.batch(split, torch.arange(data.size(split)))
        assert torch.equal(batch.labels, batch.x[:, 0, 0, 0] % 3)


def test_classes_must_be_folders_and_the_same_ones(make, folder, paint):
    paint("../held/b/1.png", 1)
    data = make("images", path="pictures", test_path="held", labels=True)
    assert data.batch("test", torch.arange(1)).labels.tolist() == [1]
    paint("../held/d/1.png", 1)
    with pytest.raises(DataError, match="no training image has") as caught:
        make("images", path="pictures", test_path="held", labels=True)
    assert caught.value.found == "d"
    paint("loose.png")
    with pytest.raises(DataError, match="outside the classes' folders") as caught:
        make("images", path="pictures", labels=True)
    assert caught.value.found == "loose.png" and "data.labels=FILE.csv" in caught.value.hint


def test_one_bad_image_among_many(make, folder):
    bad = folder / "b" / "07x.png"
    bad.write_bytes((folder / "b" / "07.png").read_bytes()[:40])
    with pytest.raises(DataError, match="not a readable image") as caught:
        make("images", path="pictures")
    assert caught.value.where == str(bad) and caught.value.hint == "data.on_bad=skip leaves such files out"
    data = make("images", path="pictures", on_bad="skip", channels=1, labels=True)
    assert names(data) == list(range(20))
    assert "left out 1 of 21 images" in data.notes[0] and "b/07x.png (not a readable image" in data.notes[0]
    batch = data.batch("train", torch.arange(data.size("train")))
    assert torch.equal(batch.labels, batch.x[:, 0, 0, 0] % 3)


def test_a_long_list_of_bad_images_is_cut(make, folder):
    for number in range(9):
        (folder / f"bad{number}.png").write_bytes(b"")
    (note,) = make("images", path="pictures", on_bad="skip").notes
    assert "left out 9 of 29" in note and note.endswith("and 4 more") and note.count("png (not a") == 5
    for number in range(5, 9):
        (folder / f"bad{number}.png").unlink()
    (note,) = make("images", path="pictures", on_bad="skip").notes
    assert "left out 5 of 25" in note and " more" not in note and note.count("png (not a") == 5


def test_skipping_an_image_of_another_size(make, folder, paint):
    paint("z.png", 30, (9, 9))
    data = make("images", path="pictures", on_bad="skip")
    assert names(data) == list(range(20)) and "different size: 9 x 9" in data.notes[0]


@pytest.mark.parametrize(("name", "hint"), [
    ("shard-*.tar", "data.path is one folder or archive"), ("shard-{0..9}.tar", "data.path is one folder or archive"),
    ("none", None),
])  # fmt: skip
def test_a_folder_that_is_not_there(make, name, hint):
    with pytest.raises(DataError, match="cannot be read") as caught:
        make("images", path=name)
    assert caught.value.hint == hint


def test_arrays_in_a_folder_are_left_to_another_source(make, tmp_path):
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "0.npy", np.zeros((3, 3)))
    with pytest.raises(DataError, match="there are no images") as caught:
        make("images", path="arrays")
    assert caught.value.hint == "data.source=arrays reads arrays"


def test_files_of_sixteen_bits_are_kept_or_said_to_be_rounded(make, folder):
    (folder / "a" / "deep.png").write_bytes(deep_png(np.full((3, 4, 3), 32768, np.uint16)))
    assert make("images", path="pictures").notes == (
        f"1 of 21 images in {folder} have 16 bits a value and were rounded to 8: data.source_levels=65536 keeps them "
        "(or 4096, levels of 12 bits)",
    )
    data = make("images", path="pictures", source_levels=65536)
    assert data.spec.levels == 65536 and names(data) == [*(257 * level for level in range(20)), 32768]
    assert data.notes == (f"20 of 21 images in {folder} have 8 bits a value and were stretched to 65536 levels",)
    assert names(make("images", path="pictures", source_levels=65536, levels=256)) == [*range(20), 128]


def test_masks_of_0_and_1_have_two_levels(make, paint):
    for number in range(20):
        paint(f"{number}.png", number % 2)
    data = make("images", path="pictures", channels=1, source_levels=2)
    assert data.spec.levels == 2 and names(data) == [0] * 10 + [1] * 10 and data.values == "values 0..1"
    assert make("images", path="pictures", channels=1).values == "values 0..1 of 0..255"
    paint("2.png", 255)
    with pytest.raises(DataError, match="levels beyond the given number"):
        make("images", path="pictures", channels=1, source_levels=2)


def test_nothing_usable(make, tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DataError, match="there are no images"):
        make("images", path="pictures")
    (tmp_path / "pictures" / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="there are no images") as caught:
        make("images", path="pictures")
    assert caught.value.found == "1 other files (text: 1)"
    (tmp_path / "pictures" / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the images"):
        make("images", path="pictures", on_bad="skip")
    with pytest.raises(DataError, match="cannot be read"):
        make("images", path="none")
    with pytest.raises(DataError, match="neither a folder nor an archive"):
        make("images", path="pictures/a.png")


def test_too_few_images_to_hold_some_out(make, paint):
    paint("only.png", 5)
    with pytest.raises(DataError, match="too few") as caught:
        make("images", path="pictures")
    assert "data.test_fraction=0" in caught.value.hint
    assert make("images", path="pictures", test_fraction=0.0, validation=0.0).size("train") == 1


def test_other_files_are_counted_and_hidden_ones_ignored(make, folder, paint):
    (folder / "a" / "readme.txt").write_text("x")
    (folder / ".hidden.png").write_bytes(b"")
    paint(".cache/1.png")
    (folder / "a" / "00.png").rename(folder / "a" / "00.PNG")
    data = make("images", path="pictures")
    assert names(data) == list(range(20))
    assert data.notes == (f"1 other files (text: 1) in {folder} are not images and were not read",)


def test_links_that_lead_in_circles_are_not_followed(make, folder):
    (folder / "a" / "loop").symlink_to(folder, target_is_directory=True)
    assert names(make("images", path="pictures")) == list(range(20))


def test_progress_is_told(make, folder):
    told = []
    make("images", path="pictures", progress=lambda *what: told.append(what))
    assert told == [("reading pictures", number + 1, 20) for number in range(20)]


def test_images_are_kept_as_bytes(folder, tmp_path):
    images = Images(Images.Config(path="pictures"), tmp_path).load()
    assert images.train.pixels.dtype == torch.uint8
    assert np.array_equal(images.train.pixels[:, 0], images.train.pixels[:, 2])


@pytest.mark.parametrize(
    "config",
    [
        {"size": "8"},
        {"size": True},
        {"size": 0},
        {"size": [1, 2, 3]},
        {"size": ["8", 8]},
        {"channels": 2},
        {"fit": "zoom"},
    ],
)
def test_configuration_is_checked(config):
    with pytest.raises(ValidationError):
        Images.Config(path="a", **config)


def failing_disk(monkeypatch, path, number, at):
    """One call of the system that concerns a file fails: its opening, or reading from it, the n'th time."""
    real, calls = watched.open_regular, []

    class Failing(io.BytesIO):
        def readinto(self, buffer):
            calls.append(1)
            if len(calls) == at:
                raise OSError(number, os.strerror(number))
            return super().readinto(buffer)

    def opened(file):
        if file != path:
            return real(file)
        if at == 0:
            raise OSError(number, os.strerror(number), str(file))
        return Failing(path.read_bytes())

    monkeypatch.setattr(watched, "open_regular", opened)
    return calls


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "gif", "webp", "tif", "ppm"])
@pytest.mark.parametrize(("number", "at"), [(errno.EIO, 0), (errno.ESTALE, 0), (errno.EACCES, 0), (errno.EIO, 1)])
def test_a_disk_that_fails_is_not_a_bad_picture(make, folder, monkeypatch, kind, number, at):
    """Else `on_bad: skip` would train on other images than there are."""
    path = folder / f"z.{kind}"
    Image.new("RGB", (5, 4)).save(path)
    failing_disk(monkeypatch, path, number, at)
    with pytest.raises(DataError, match="cannot be read") as caught:
        make("images", path="pictures", on_bad="skip")
    assert caught.value.where == str(path) and caught.value.found == os.strerror(number)


@pytest.mark.parametrize(("kind", "options"), [("png", {}), ("bmp", {}), ("tif", {"compression": "tiff_lzw"})])
@pytest.mark.filterwarnings("ignore:.*Input/output error:UserWarning")  # Pillow, of a TIFF, which it goes on reading
def test_a_disk_that_fails_in_the_middle_of_a_picture_is_not_a_bad_picture(make, folder, monkeypatch, kind, options):
    path = folder / f"z.{kind}"
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, **options)
    size = {"size": 4, "on_bad": "skip"}
    with monkeypatch.context() as patched:
        calls = failing_disk(patched, path, errno.EIO, -1)
        make("images", path="pictures", **size)
        last = len(calls)
    assert last > 1
    for at in range(1, last + 1):
        with monkeypatch.context() as patched:
            failing_disk(patched, path, errno.EIO, at)
            with pytest.raises(DataError, match="cannot be read"):
                make("images", path="pictures", **size)


def test_what_is_no_file_is_a_bad_picture(make, folder):
    """It will be none the next time either: a link that leads nowhere, a pipe that is not waited for."""
    (folder / "x.png").symlink_to("nothing")
    os.mkfifo(folder / "y.png")
    (note,) = make("images", path="pictures", on_bad="skip").notes
    assert "left out 2 of 22 images" in note and "a pipe" in note
