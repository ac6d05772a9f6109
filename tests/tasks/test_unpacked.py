"""Images written as they arrive: into new folders and empty ones, with labels, and over what was left behind."""

import numpy as np
import pytest

from pixkit.errors import RunError, UsageError
from pixkit.files import temporary_of
from pixkit.image import ImageSpec, Palette
from pixkit.tasks.unpacked import require_target, unpacked

SPEC = ImageSpec(1, 2, 3, 9)
IMAGES = np.arange(30).reshape(5, 1, 2, 3) % 9


def written(out, spec=SPEC, labels=None, parts=((0, 2), (2, 2), (2, 5))):
    with unpacked(out, spec, 5) as write:
        for start, stop in parts:
            write(start, IMAGES[start:stop], None if labels is None else labels[start:stop])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("labels", [None, np.array([3, 1, 2, 0, 4])])
def test_a_folder_has_a_picture_for_each_and_their_labels(tmp_path, labels):
    out = tmp_path / "deep" / "folder"
    left = temporary_of(out)
    left.mkdir(parents=True)
    (left / "old.png").touch()
    written(out, labels=labels)
    pictures = [f"0000{number}.png" for number in range(5)]
    assert names(out) == (pictures if labels is None else [*pictures, "labels.npy"]) and names(out.parent) == ["folder"]
    if labels is not None:
        assert np.load(out / "labels.npy").tolist() == labels.tolist()


def test_a_new_folder_is_made_with_those_above_it_and_an_empty_one_stays(tmp_path):
    written(tmp_path / "a" / "b" / "c")
    (tmp_path / "empty").mkdir()
    before = (tmp_path / "empty").stat().st_ino
    (tmp_path / "empty" / temporary_of(tmp_path / "empty").name).mkdir()
    with pytest.raises(RunError, match="not an empty folder"):
        written(tmp_path / "empty")
    (tmp_path / "empty" / temporary_of(tmp_path / "empty").name).rmdir()
    written(tmp_path / "empty")
    assert (tmp_path / "empty").stat().st_ino == before
    assert len(names(tmp_path / "empty")) == len(names(tmp_path / "a" / "b" / "c")) == 5


@pytest.mark.parametrize(("levels", "kept"), [(9, np.uint8), (256, np.uint8), (257, np.int32)])
def test_an_archive_has_the_levels_and_labels_if_there_are_any(tmp_path, levels, kept):
    spec = ImageSpec(1, 2, 3, levels)
    written(tmp_path / "x.npz", spec)
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays.files == ["samples"] and arrays["samples"].dtype == kept
        assert np.array_equal(arrays["samples"], IMAGES)
    written(tmp_path / "X.NPZ", spec, np.arange(5))
    with np.load(tmp_path / "X.NPZ") as arrays:
        assert arrays["labels"].tolist() == [0, 1, 2, 3, 4] and np.array_equal(arrays["samples"], IMAGES)


@pytest.mark.parametrize("out", ["folder", "empty", "x.npz"])
def test_what_fails_leaves_nothing(tmp_path, out):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="on the way"), unpacked(tmp_path / out, SPEC, 5) as write:
        write(0, IMAGES[:2], None)
        raise ValueError("on the way")
    assert names(tmp_path) == ["empty"] and names(tmp_path / "empty") == []


def test_where_images_go(tmp_path):
    assert require_target(tmp_path / "new.folder") == tmp_path / "new.folder"
    for name in ("x.png", "x.npy", "X.JPG"):
        with pytest.raises(UsageError, match="cannot be written to this kind of file"):
            require_target(tmp_path / name)
        (tmp_path / name).mkdir()
        assert require_target(tmp_path / name) == tmp_path / name
    (tmp_path / "x.npz").mkdir()
    with pytest.raises(RunError, match="cannot be written"):
        require_target(tmp_path / "x.npz")
    tokens = ImageSpec(1, 2, 3, 2, Palette.of([[0, 0, 0], [255, 0, 0]]))
    with unpacked(tmp_path / "tokens", tokens, 1) as write:
        write(7, IMAGES[:1] % 2, None)
    assert names(tmp_path / "tokens") == ["00007.png"]
