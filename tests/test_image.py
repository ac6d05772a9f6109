"""What an image is: shapes, ranges, units."""

import hashlib
import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from pixkit.errors import DataError, UsageError
from pixkit.image import Batch, ImageSpec, Palette, Shown

SPEC = ImageSpec(3, 4, 5, 16)


def test_counts_and_words():
    assert (SPEC.shape, SPEC.dims, SPEC.sites) == ((3, 4, 5), 60, 20)
    assert str(SPEC) == "3x4x5, K = 16"


def test_bits_per_dim():
    """784 ln 2 nats of a binary 28x28 image are one bit a pixel; 256 uniform levels are eight."""
    assert ImageSpec(1, 28, 28, 2).bits_per_dim(784 * math.log(2)) == pytest.approx(1)
    assert ImageSpec(3, 32, 32, 256).bits_per_dim(3072 * math.log(256)) == pytest.approx(8)


@pytest.mark.parametrize(("values", "name"), [
    ((0, 4, 5, 2), "channels"), ((1, 0, 5, 2), "height"), ((1, 4, -1, 2), "width"), ((1, 4, 5, 1), "levels"),
])  # fmt: skip
def test_impossible_images(values, name):
    with pytest.raises(DataError, match=f"{name} is too small"):
        ImageSpec(*values)


def test_what_fits_is_given_back():
    for dtype in (torch.int64, torch.uint8, torch.int16):
        x = torch.randint(16, (2, *SPEC.shape)).to(dtype)
        assert SPEC.check(x) is x
    assert SPEC.check(torch.empty(0, *SPEC.shape, dtype=torch.int64)).shape[0] == 0


@pytest.mark.parametrize(("x", "text"), [
    (torch.zeros(3, 4, 5, dtype=torch.int64), "wrong shape"),
    (torch.zeros(2, 3, 5, 4, dtype=torch.int64), "wrong shape"),
    (torch.zeros(2, 3, 4, 5, dtype=torch.int64).to_sparse(), "images must be dense"),
    (torch.zeros(2, 3, 4, 5), "levels must be integers"),
    (torch.zeros(2, 3, 4, 5, dtype=torch.complex64), "levels must be integers"),
    (torch.full((2, 3, 4, 5), 16), "out of range"),
    (torch.arange(120).view(2, 3, 4, 5) % 17, "out of range"),
    (torch.arange(120).view(2, 3, 4, 5) % 17 - 1, "out of range"),
    (torch.full((2, 3, 4, 5), -1), "out of range"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(x, text):
    with pytest.raises(DataError, match=text) as error:
        SPEC.check(x, where="the test's images")
    assert str(error.value).startswith("the test's images: ")
    assert error.value.exit_code == 3
    if text == "out of range":
        assert error.value.found == f"{x.min()}..{x.max()}" and error.value.expected == "0..15"


@pytest.mark.parametrize(("x", "found"), [([[0]], "builtins.list"), (np.zeros((1, 3, 4, 5)), "numpy.ndarray")])
def test_images_are_a_tensor(x, found):
    with pytest.raises(DataError, match="here: images must be a tensor") as error:
        SPEC.check(x, where="here")
    assert (error.value.found, error.value.expected) == (found, "int64 [B, 3, 4, 5]")
    assert error.value.hint == "torch.as_tensor makes one of an array or a list"


def test_a_batch_moves_with_or_without_labels():
    x, rows = torch.zeros(2, 1, 2, 2, dtype=torch.int64), torch.arange(2)
    assert Batch(x, None, rows).to("cpu").labels is None
    moved = Batch(x, rows, rows).to("meta")
    assert {moved.x.device.type, moved.labels.device.type, moved.indices.device.type} == {"meta"}


@pytest.mark.parametrize(("images", "parts", "sizes"), [(6, 3, [2, 2, 2]), (7, 3, [3, 2, 2]), (2, 3, [1, 1, 0])])
def test_a_batch_is_split_into_so_many_parts_of_nearly_one_size(images, parts, sizes):
    x = torch.arange(images).view(-1, 1, 1, 1)
    found = list(Batch(x, torch.arange(images) + 1, torch.arange(images) + 2).split(parts))
    assert [len(part.x) for part in found] == sizes
    assert torch.cat([part.x for part in found]).equal(x)
    assert all(part.labels.tolist() == [i + 1 for i in part.x.flatten().tolist()] for part in found)
    assert all(part.indices.tolist() == [i + 2 for i in part.x.flatten().tolist()] for part in found)
    assert [part.labels for part in Batch(x, None, x).split(2)] == [None, None]


def test_the_darkest_colour_of_a_palette():
    """By what people see of it: blue is darker than red, and both than green."""
    for place in range(3):
        colours = [(0, 255, 0), (255, 0, 0)]
        colours.insert(place, (0, 0, 255))
        assert Palette.of(np.array(colours, np.uint8)).darkest == place


def test_colours_are_as_dark_as_the_luma_of_television_says():
    """299, 587 and 114 thousandths (ITU-R BT.601): one more or less of any tells neighbours apart."""
    near = [d for d in itertools.product(range(-25, 26), repeat=3) if abs(299 * d[0] + 587 * d[1] + 114 * d[2]) == 1]
    assert near
    for red, green, blue in near:
        grey, other = (128, 128, 128), (128 + red, 128 + green, 128 + blue)
        darker = 299 * red + 587 * green + 114 * blue < 0
        assert Palette.of([grey, other]).darkest == int(darker) and Palette.of([other, grey]).darkest == int(not darker)


FEW = Palette.of([[0, 0, 0], [255, 0, 1], [2, 3, 255]])


def test_a_palette_is_its_colours():
    assert len(FEW) == 3 and FEW.array().tolist() == [[0, 0, 0], [255, 0, 1], [2, 3, 255]]
    assert FEW.rows() == [bytes(3), bytes([255, 0, 1]), bytes([2, 3, 255])]
    assert (
        FEW.digest == hashlib.sha256(FEW.colours).hexdigest() and repr(FEW) == f"Palette(3 colours, {FEW.digest[:8]})"
    )
    whole = b"".join(number.to_bytes(3, "big") for number in range(65537))
    assert len(Palette(whole[:-3])) == 65536
    for colours, found in (
        (whole, "65537 colours"),
        (whole[:3], "1 colours"),
        (whole[:7], "2 colours"),
        (b"", "0 colours"),
    ):
        with pytest.raises(DataError, match="this is not a palette") as caught:
            Palette(colours)
        assert caught.value.found == found


@pytest.mark.parametrize(("colours", "text", "found"), [
    ([1, 2, 3], "not a palette", "int64 of shape (3,)"), ([[1, 2]], "not a palette", "int64 of shape (1, 2)"),
    ([[0, 0, 256], [0, 0, 1]], "not levels", "int64 in 0..256"),
    ([[0, 0, -1], [0, 0, 1]], "not levels", "int64 in -1..1"),
    ([[0, 0, 0.5], [0, 0, 1]], "not levels", "float64 in 0..1"),
    ([[0, 0, 1], [1, 1, 1], [0, 0, 1]], "all different", "2 of 3"),
])  # fmt: skip
def test_what_is_no_palette(colours, text, found):
    with pytest.raises(DataError, match=text) as caught:
        Palette.of(colours, "mine")
    assert caught.value.found == found and caught.value.where == (None if text == "all different" else "mine")


def test_images_of_tokens_and_of_pixels():
    plain, tokens = ImageSpec(1, 2, 5, 3), ImageSpec(1, 2, 5, 3, FEW)
    assert plain.pictures is plain and tokens.pictures == ImageSpec(3, 2, 5, 256)
    assert (plain.blank, plain.rate, plain.bits(7.0)) == (0, "bits_per_dim", plain.bits_per_dim(7.0))
    assert (tokens.blank, tokens.rate, tokens.bits(7.0)) == (0, "bits_per_token", 0.7 / math.log(2))
    with pytest.raises(UsageError, match="tokens are not in bits/dim"):
        tokens.bits_per_dim(7.0)
    assert tokens.of_size(4, 6) == ImageSpec(1, 4, 6, 3, FEW) and plain.of_size(4, 6).shape == (1, 4, 6)
    assert tokens.dump() == plain.dump() | {"palette": FEW.digest} and set(plain.dump().values()) == {1, 2, 5, 3}
    assert str(tokens) == f"{plain}, palette {FEW.digest[:8]}"
    for channels, levels in ((3, 3), (1, 4)):
        with pytest.raises(DataError, match="tokens have one channel") as caught:
            ImageSpec(channels, 2, 5, levels, FEW)
        assert caught.value.found == f"channels = {channels}, levels = {levels}" and caught.value.expected == "1 and 3"


def test_tensors_are_shown_by_their_types_and_shapes():
    x = torch.zeros(2, 1, 2, 2, dtype=torch.int64)
    assert repr(Batch(x, None, torch.arange(2))) == "Batch(x=int64 [2, 1, 2, 2], indices=int64 [2])"

    @dataclass(frozen=True, repr=False)
    class Several(Shown):
        parts: list
        name: str
        how: object

    assert repr(Several([1.5, x], "", len)) == "Several(parts=<2 tensors>, how=len)"
    assert repr(Several((x, x, x), "a", None)) == "Several(parts=<3 tensors>, name='a')"
    assert repr(Several([1.5], "a", x[0])) == "Several(parts=[1.5], name='a', how=int64 [1, 2, 2])"
