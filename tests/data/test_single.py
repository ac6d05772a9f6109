"""One image of a folder is read alone, and is the one that the whole would have given."""

import numpy as np
import pytest
import torch
from PIL import Image

from pixkit.components.spec import ComponentSpec, Entry
from pixkit.data import SOURCES, picture
from pixkit.data.images import Images
from pixkit.data.prepare import prepare, prepare_one

CONFIGS = [
    {},
    {"levels": 5, "limit_test": 2, "limit_train": 6},
    {"binarise": "threshold", "channels": 1},
    {"binarise": "static", "size": 3},
    {"binarise": "dynamic", "validation": 0.3, "split_seed": 4},
    {"test_path": "held", "labels": False},
    {"path": "split"},
]


@pytest.mark.parametrize("config", CONFIGS)
def test_an_image_that_is_read_alone_is_that_of_the_whole(tmp_path, monkeypatch, config):
    rng = np.random.default_rng(0)
    for folder, count in (("all", 14), ("held", 3), ("split/train", 9), ("split/val", 2), ("split/test", 3)):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    ref = ComponentSpec(Entry("data", "images", Images, "pixkit", "0"), Images.Config(**{"path": "all"} | config), "x")
    data = prepare(ref, tmp_path)
    opened = []
    real = picture.opened
    monkeypatch.setattr(picture, "opened", lambda path: opened.append(path) or real(path))
    for split in data.SPLITS:
        size = data.size(split)
        for number in range(size):
            found, count, _ = prepare_one(ref, tmp_path, data.spec, split, number)
            assert torch.equal(found, data.batch(split, torch.tensor([number])).x[0]) and count == size
        assert prepare_one(ref, tmp_path, data.spec, split, size) == (None, size, None)
    assert len(opened) == sum(map(data.size, data.SPLITS)), "no other file was opened"


def test_what_cannot_be_read_alone_is_left_to_the_whole(tmp_path):
    (tmp_path / "all").mkdir()
    for number in range(4):
        Image.new("L", (3, 3)).save(tmp_path / "all" / f"{number}.png")
    for config in ({"on_bad": "skip"}, {"frames": "all"}):
        entry = Entry("data", "images", Images, "pixkit", "0")
        ref = ComponentSpec(entry, Images.Config(path="all", **config), "x")
        assert prepare_one(ref, tmp_path, prepare(ref, tmp_path).spec, "test", 0) == (None, 0, None)
    digits = SOURCES["digits"]
    ref = ComponentSpec(Entry("data", "digits", digits, "pixkit", "0"), digits.Config(), "x")
    assert prepare_one(ref, tmp_path, prepare(ref, tmp_path).spec, "test", 0) == (None, 0, None)
