"""A palette that is given by file: as an array, or as an indexed picture; and what is none."""

import contextlib
import os

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from pixkit.data.palette_file import read_palette
from pixkit.errors import DataError

FOUR = np.array([[9, 8, 30], [10, 150, 40], [250, 60, 20], [255, 250, 255]], np.uint8)
"""From dark to bright."""


def saved(folder, kind):
    match kind:
        case "npy":
            np.save(folder / "p.npy", FOUR)
        case "npz:table":
            np.savez(folder / "p.npz", table=FOUR.astype(np.float64), other=np.zeros(3))
        case "safetensors":
            save_file({"colours": FOUR.astype(np.int64)}, folder / "p.safetensors")
        case "png" | "gif" | "bmp" | "tif":
            image = Image.fromarray(np.arange(4, dtype=np.uint8)[None], mode="P")
            image.putpalette(FOUR.tobytes())
            image.save(folder / f"p.{kind}")
    return f"p.{kind}"


@pytest.mark.parametrize("kind", ["npy", "npz:table", "safetensors", "png", "gif", "bmp", "tif"])
def test_a_palette_from_a_file(make, tmp_path, kind):
    rng = np.random.default_rng(7)
    np.save(tmp_path / "x.npy", rng.integers(0, 256, (10, 3, 3, 3), dtype=np.uint8))
    data = make("arrays", train="x.npy", test=None, layout="NHWC", palette=saved(tmp_path, kind))
    assert data.spec.palette.array()[:4].tolist() == FOUR.tolist()
    assert data.spec.levels == len(data.spec.palette)


@pytest.mark.parametrize(("colours", "text"), [
    (FOUR[:, :2], "this is not a palette"),
    (FOUR[0], "this is not a palette"),
    (FOUR[:1], "1 colours"),
    (FOUR / 127.5 - 1, r"numpy.rint\(127.5 \* \(colours \+ 1\)\)"),
    (FOUR / 255 - 8 / 255, "not levels of colours"),
    ((FOUR - 8.0) / 247, r"for 0..1: numpy.rint\(255 \* colours\)"),
    (FOUR // 200, r"for 0..1: numpy.rint\(255 \* colours\)"),
    (FOUR[:0], "0 colours"),
    (FOUR.astype(np.int64) + 10, "not levels of colours"),
    (-FOUR.astype(np.int64), "not levels of colours"),
    (FOUR + np.nan, "not levels of colours"),
    (FOUR > 99, "this is not a palette"),
])  # fmt: skip
def test_a_file_that_is_no_palette_is_refused(make, tmp_path, colours, text):
    np.save(tmp_path / "x.npy", np.zeros((10, 3, 3, 3), np.uint8))
    np.save(tmp_path / "p.npy", colours)
    with pytest.raises(DataError, match=text) as caught:
        make("arrays", train="x.npy", test=None, layout="NHWC", palette="p.npy")
    assert str(tmp_path / "p.npy") in caught.value.where


def test_a_picture_without_a_table_of_colours_is_no_palette(make, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((10, 3, 3, 3), np.uint8))
    Image.fromarray(FOUR[None]).save(tmp_path / "p.png")
    with pytest.raises(DataError, match="no table of colours") as caught:
        make("arrays", train="x.npy", test=None, layout="NHWC", palette="p.png")
    assert caught.value.found == "mode RGB"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize(("name", "text"), [
    ("none.png", r"no such file(.|\n)*data\.palette=FILE"),
    ("p.txt", r"text is not a palette(.|\n)*numpy\.loadtxt"),
    (".", "cannot be read(.|\n)*a folder"),
    ("pipe", "cannot be read(.|\n)*a pipe or a device"),
])  # fmt: skip
def test_what_is_no_file_of_colours_is_called_by_what_it_is(make, tmp_path, name, text):
    np.save(tmp_path / "x.npy", np.zeros((10, 3, 3, 3), np.uint8))
    (tmp_path / "p.txt").write_text("0 0 0\n255 255 255\n")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=text) as caught:
        make("arrays", train="x.npy", test=None, layout="NHWC", palette=name)
    assert caught.value.where == str(tmp_path / name)


def test_colours_that_occur_twice_count_once(make, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((10, 3, 3, 3), np.uint8))
    np.save(tmp_path / "p.npy", FOUR[[2, 0, 2, 1, 0]])
    data = make("arrays", train="x.npy", test=None, layout="NHWC", palette="p.npy")
    assert data.spec.palette.array().tolist() == FOUR[[2, 0, 1]].tolist()
    assert any("of 5 colours 2 occur before" in note for note in data.notes)


def test_any_level_and_as_many_colours_as_16_bits_tell_apart_make_a_palette(tmp_path):
    many = np.stack(np.unravel_index(np.arange(65537), (256, 256, 2)), 1)
    np.save(tmp_path / "p.npy", many[:-1])
    assert len(read_palette("p.npy", tmp_path.joinpath)[0]) == 65536
    np.save(tmp_path / "p.npy", many)
    with pytest.raises(DataError, match="65537 colours"):
        read_palette("p.npy", tmp_path.joinpath)
    for highest, text in ((255, None), (256, "not levels of colours")):
        np.save(tmp_path / "p.npy", np.array([[0, 0, 0], [0, 0, highest]]))
        with pytest.raises(DataError, match=text) if text else contextlib.nullcontext():
            read_palette("p.npy", tmp_path.joinpath)


def test_of_a_file_without_arrays_it_is_said_that_none_is_named(tmp_path):
    np.savez(tmp_path / "p.npz")
    with pytest.raises(DataError, match="which of the arrays") as caught:
        read_palette("p.npz", tmp_path.joinpath)
    assert caught.value.found == "[]"
