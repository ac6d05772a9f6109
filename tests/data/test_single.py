"""One image of a folder is read alone, and is the one that the whole would have given."""

import numpy as np
import pytest
import torch
from PIL import Image

from pixkit.components.spec import ComponentSpec, Entry
from pixkit.data import SOURCES, picture, reading, remembered
from pixkit.data.classes import renumbered
from pixkit.data.images import Images
from pixkit.data.prepare import Outlined, prepare
from pixkit.errors import DataError
from pixkit.image import ImageSpec

CONFIGS = [
    {},
    {"levels": 5, "limit_test": 2, "limit_train": 6},
    {"binarise": "threshold", "channels": 1},
    {"binarise": "static", "size": 3},
    {"binarise": "dynamic", "validation": 0.3, "split_seed": 4},
    {"test_path": "held", "labels": True},
    {"path": "split", "labels": True, "class_names": ["b", "x", "a"]},
    {"path": "split", "binarise": "static"},
    {"labels": "t.csv", "levels": 4, "context": {"code": "code.npy", "small": {"shrink": 2, "by": "every"}}},
]


def turned(_, images):
    """Classes numbered as by a run that knows more of them."""
    return renumbered(images, ("d", "c", "b", "a"))


@pytest.mark.parametrize("config", CONFIGS)
def test_an_image_that_is_read_alone_is_that_of_the_whole(tmp_path, monkeypatch, config):
    rng = np.random.default_rng(0)
    for folder, count in (("all", 14), ("held", 3), ("split/train", 9), ("split/val", 2), ("split/test", 3)):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
            (tmp_path / folder / "ab"[number % 2]).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / "ab"[number % 2] / f"{number}.png")
    (tmp_path / "t.csv").write_text("".join(f"{number},{'cab'[number % 3]}\n" for number in range(14)))
    np.save(tmp_path / "code.npy", np.arange(28).reshape(14, 2))
    ref = ComponentSpec(Entry("data", "images", Images, "pixkit", "0"), Images.Config(**{"path": "all"} | config), "x")
    data = prepare(ref, tmp_path, numbering=turned)
    opened = []
    real = picture.opened
    monkeypatch.setattr(picture, "opened", lambda path: opened.append(path) or real(path))
    alone = Outlined.of(ref, tmp_path, data.spec, turned)
    assert (alone.classes, alone.class_names) == (data.classes, data.class_names)
    for split in data.SPLITS:
        size = data.size(split)
        assert alone.size(split) == size
        for own, whole in (
            (alone.labels(split), data.labels(split)),
            (alone.context(split)[1], data.context(split)[1]),
        ):
            assert torch.equal(own, whole) if isinstance(whole, torch.Tensor) else own is whole
        assert alone.context(split)[0] == data.spec.context
        for number in range(size):
            found, _ = alone.image(split, number)
            assert torch.equal(found, data.batch(split, torch.tensor([number])).x[0])
    assert len(opened) == sum(map(data.size, data.SPLITS)), "no other file was opened"


@pytest.mark.parametrize("config", [{"on_bad": "skip"}, {"frames": "all"}, {"on_bad": "skip", "test_path": "held"}])
def test_which_files_are_used_is_kept_with_what_was_decoded(tmp_path, monkeypatch, config):
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remembered, "FEWEST", 1)
    monkeypatch.setattr(remembered, "SETTLED", -60.0)
    for folder, count in (("all", 9), ("held", 4)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            first, *others = (Image.new("L", (4, 3), 20 * number + frame) for frame in range(1 + number % 3))
            first.save(tmp_path / folder / f"{number}.tif", save_all=True, append_images=others)
        if "on_bad" in config:
            (tmp_path / folder / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
            Image.new("L", (5, 3)).save(tmp_path / folder / "1.png")
    config = {"path": "all", "channels": 1, "test_fraction": 0.2, "validation": 0.2, **config}
    ref = ComponentSpec(Entry("data", "images", Images, "pixkit", "0"), Images.Config(**config), "x")
    data = prepare(ref, tmp_path)
    opened = set()
    real = picture.opened
    monkeypatch.setattr(picture, "opened", lambda path: opened.add(path) or real(path))
    for split in data.SPLITS:
        for number in range(data.size(split)):
            found, _ = (alone := Outlined.of(ref, tmp_path, data.spec)).image(split, number)
            assert torch.equal(found, data.batch(split, torch.tensor([number])).x[0])
            assert alone.size(split) == data.size(split)
            assert len(opened) == 1, "no other file was opened"
            opened.clear()
    (tmp_path / "all" / "9.tif").write_bytes((tmp_path / "all" / "0.tif").read_bytes())
    assert Outlined.of(ref, tmp_path, data.spec) is None, "of other files nothing is known"


def test_other_files_are_known_without_reading_them(tmp_path):
    """By their names, sizes and labels, as long as they are so few that asking for sizes is quick."""
    folder = tmp_path / "all"
    for number in range(6):
        (folder / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("L", (3, 3), number).save(folder / "ab"[number % 2] / f"{number}.png")
    ref = ComponentSpec(Entry("data", "images", Images, "pixkit", "0"), Images.Config(path="all", labels=True), "x")
    data = prepare(ref, tmp_path)

    def files(ref=ref):
        return Outlined.of(ref, tmp_path, data.spec).files

    known = files()
    assert known == data.files == data.labelled_for(2, ("b", "a")).files and known
    file, kept = folder / "a" / "0.png", (folder / "a" / "0.png").read_bytes()
    file.write_bytes(kept + b" ")
    assert files() != known, "another size"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reading, "SIZED", 5)
        without = files()
        file.write_bytes(kept)
        assert files() == without != known, "of more files than that only names and labels"
    assert files() == known
    file.rename(folder / "b" / "0.png")
    assert files() != known, "another label"
    (folder / "b" / "0.png").rename(file)
    Image.new("L", (3, 3), 9).save(folder / "a" / "7.png")
    assert files() != known, "one more"
    unlabelled = ComponentSpec(ref.entry, Images.Config(path="all"), "x")
    assert files(unlabelled) != files()


def test_what_cannot_be_read_alone_is_left_to_the_whole(tmp_path):
    (tmp_path / "all").mkdir()
    for number in range(4):
        Image.new("L", (3, 3)).save(tmp_path / "all" / f"{number}.png")
    for config in ({"on_bad": "skip"}, {"frames": "all"}):
        entry = Entry("data", "images", Images, "pixkit", "0")
        ref = ComponentSpec(entry, Images.Config(path="all", **config), "x")
        assert Outlined.of(ref, tmp_path, prepare(ref, tmp_path).spec) is None
    digits = SOURCES["digits"]
    ref = ComponentSpec(Entry("data", "digits", digits, "pixkit", "0"), digits.Config(), "x")
    assert Outlined.of(ref, tmp_path, prepare(ref, tmp_path).spec) is None


def test_labels_that_do_not_fit_are_refused_as_by_the_whole(tmp_path):
    for folder in ("all/a", "all/b", "held/c"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(2):
            Image.new("L", (3, 3)).save(tmp_path / folder / f"{number}.png")
    (tmp_path / "t.csv").write_text("a/0,x\na/1,x\nb/0,y\n")
    for config in ({"labels": True, "test_path": "held"}, {"labels": "t.csv"}):
        entry = Entry("data", "images", Images, "pixkit", "0")
        ref, said = ComponentSpec(entry, Images.Config(path="all", **config), "x"), []
        for read in (prepare, lambda ref, base: Outlined.of(ref, base, ImageSpec(3, 3, 3, 256))):
            with pytest.raises(DataError) as caught:
                read(ref, tmp_path)
            said.append(str(caught.value))
        assert said[0] == said[1]
