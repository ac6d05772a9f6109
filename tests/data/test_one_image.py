"""One image as a data set: the embedded one, a file, and what becomes of splits."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from pixkit.data.one_image import boat
from pixkit.errors import DataError
from pixkit.image import ImageSpec
from pixkit.testing import check_data, named


def test_the_embedded_image_keeps_its_contract_and_is_training_and_test_image():
    data = check_data(named("data", "one_image"))
    assert data.spec == ImageSpec(3, 32, 32, 256)
    assert data.classes is None
    assert [data.size(split) for split in ("train", "validation", "test")] == [1, 0, 1]
    first = torch.arange(1)
    assert torch.equal(data.batch("train", first).x, data.batch("test", first).x)
    assert "are the same" in data.notes[0]


def test_the_embedded_image_is_the_same_everywhere():
    assert hashlib.sha256(boat().tobytes()).hexdigest() == (
        "3aeec547978485b8d3726e43120f9ae5a5be0c4a05c7927a6b194bdd357c1351"
    )


def test_binarised_it_has_all_eight_colours():
    bits = boat() >= 127.5
    assert len(np.unique(bits.reshape(3, -1), axis=1).T) == 8


def test_a_file_of_ones_own(make, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "my.png")
    data = make("one_image", path="my.png")
    assert np.array_equal(data.batch("train", torch.arange(1)).x[0].permute(1, 2, 0).numpy(), pixels)
    assert make("one_image", path="my.png", size=4).spec == ImageSpec(3, 4, 4, 256)
    assert make("one_image", path="my.png", size=(3, 4), channels=1).spec == ImageSpec(1, 3, 4, 256)
    assert make("one_image", path="my.png", binarise="threshold").spec.levels == 2
    form = make("one_image", path="my.png").source.picture_form(ImageSpec(3, 6, 5, 256))
    assert (form.size, form.fit) == ((6, 5), "exact")
    form = make("one_image", path="my.png", size=(3, 4)).source.picture_form(ImageSpec(3, 3, 4, 256))
    assert (form.size, form.fit) == ((3, 4), "crop")


def test_what_cannot_be_read_or_split_says_why(make):
    with pytest.raises(DataError, match="not a readable image"):
        make("one_image", path="absent.png")
    with pytest.raises(DataError, match="too few images") as caught:
        make("one_image", validation=0.1)
    assert "data.validation=0" in str(caught.value)
