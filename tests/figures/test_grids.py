import errno
import re

import numpy as np
import pytest
import torch
from PIL import Image

from pixkit.errors import DataError, RunError
from pixkit.figures import grids as figures


def ramp(count, channels, height, width, levels):
    return (torch.arange(count * channels * height * width) % levels).reshape(count, channels, height, width)


@pytest.mark.parametrize("levels", [2, 3, 16, 17, 256, 1024])
def test_levels_are_spread_over_the_bytes_by_rounding(levels):
    values = np.arange(levels).reshape(1, 1, 1, levels)
    expected = [round(v * 255 / (levels - 1)) for v in range(levels)]
    assert figures.to_bytes(values, levels).ravel().tolist() == expected


@pytest.mark.parametrize(
    "bad", [torch.rand(1, 1, 2, 2), torch.zeros(2, 2, dtype=torch.int64), torch.tensor([[[[-1, 4]]]]), np.array(3)]
)
def test_what_is_no_batch_of_levels_is_refused(bad):
    with pytest.raises(DataError):
        figures.to_bytes(bad, 4)


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no images"):
        figures.save_grid(torch.zeros(0, 1, 2, 2, dtype=torch.int64), 2, tmp_path / "g.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("shape", "mode"), [((1, 5, 3), "L"), ((3, 4, 6), "RGB")])
def test_a_grid_holds_every_image_at_its_place(tmp_path, shape, mode):
    x = ramp(10, *shape, 17)
    path = figures.save_grid(x, 17, tmp_path / "deep" / "grid.png")
    image = Image.open(path)
    assert image.mode == mode
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    scale = figures.CELL // max(shape[1:])
    expected = figures.to_bytes(x, 17).transpose(0, 2, 3, 1)
    for number in range(10):
        top = figures.LINE + number // 5 * (shape[1] * scale + figures.LINE)
        left = figures.LINE + number % 5 * (shape[2] * scale + figures.LINE)
        cell = pixels[top : top + shape[1] * scale, left : left + shape[2] * scale]
        for dy in (0, scale - 1):
            assert np.array_equal(cell[dy::scale, dy::scale], expected[number])
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["grid.png"]


def test_columns_can_be_given_and_other_channel_counts_lie_in_a_row(tmp_path):
    path = figures.save_grid(ramp(4, 2, 8, 8, 2), 2, tmp_path / "g.png", columns=1)
    width = 2 * 8 * (figures.CELL // 16) + 2 * figures.LINE
    assert Image.open(path).size[0] == width


def test_an_image_that_is_larger_than_a_cell_keeps_its_size(tmp_path):
    path = figures.save_grid(ramp(1, 1, 70, 3, 2), 2, tmp_path / "g.png")
    assert Image.open(path).size == (3 + 2 * figures.LINE, 70 + 2 * figures.LINE)


def test_a_large_grid_is_not_enlarged_beyond_measure(tmp_path):
    path = figures.save_grid(torch.zeros(1, 1, 2, 2, dtype=torch.int64).expand(40_000, 1, 2, 2), 2, tmp_path / "g.png")
    assert max(Image.open(path).size) <= figures.LARGEST + figures.LINE * 201


@pytest.mark.parametrize(
    ("count", "columns"),
    [(1, 1), (2, 2), (3, 3), (4, 2), (7, 3), (10, 5), (12, 4), (14, 7), (16, 4), (64, 8), (100, 10)],
)
def test_grids_are_nearly_square(count, columns):
    assert figures.grid_columns(count) == columns


@pytest.mark.parametrize(
    ("name", "room", "shown"),
    [("abc", 12, "abc"), ("abc", 11, "ab.."), ("abc", 9, "a.."), ("abc", 5, "a"), ("漢字", 8, "??")],
)
def test_of_a_name_as_much_is_shown_as_there_is_room_for(name, room, shown):
    """Dots are narrower than letters, so that all but the last letter may fit with them."""
    width = {".": 1}
    assert figures._cut(name, lambda text: sum(width.get(letter, 4) for letter in text) <= room) == shown


def test_a_folder_of_pictures_in_their_own_size(tmp_path):
    x = ramp(3, 1, 4, 5, 2)
    paths = figures.save_images(x, 2, tmp_path / "out")
    assert [path.name for path in paths] == ["00000.png", "00001.png", "00002.png"]
    assert np.array_equal(np.asarray(Image.open(paths[2])), x[2, 0].numpy() * 255)
    with pytest.raises(RunError, match="not an empty folder"):
        figures.save_images(x, 2, tmp_path / "out")


@pytest.mark.parametrize(("levels", "dtype"), [(2, np.uint8), (256, np.uint8), (257, np.int32)])
def test_archives_hold_the_levels_themselves(tmp_path, levels, dtype):
    x = ramp(5, 3, 10, 10, levels)
    path = figures.save_npz(x, levels, tmp_path / "samples.npz")
    with np.load(path) as archive:
        assert archive.files == ["samples"]
        assert archive["samples"].dtype == dtype
        assert np.array_equal(archive["samples"], x.numpy())
    assert [p.name for p in tmp_path.iterdir()] == ["samples.npz"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = figures.save_npz(ramp(1, 1, 2, 2, 2), 2, tmp_path / "samples.npz")
    before = path.read_bytes()

    def fail(file, **_):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        figures.save_npz(ramp(2, 1, 2, 2, 2), 2, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["samples.npz"]


def visible(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_of_a_folder_that_cannot_be_written_whole_nothing_stays(tmp_path, monkeypatch):
    """So that the same command can be given again."""
    real, x = figures._write, ramp(3, 1, 2, 2, 2)

    def full(content, path):
        if path.name == "00002.png":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(content, path)

    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(figures, "_write", full)
    for folder in (tmp_path / "new", tmp_path / "empty"):
        with pytest.raises(RunError, match="cannot be written") as caught:
            figures.save_images(x, 2, folder)
        assert (caught.value.where, caught.value.found) == (str(folder), "No space left on device")
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]
    monkeypatch.undo()
    assert [path.read_bytes()[1:4] for path in figures.save_images(x, 2, tmp_path / "empty")] == [b"PNG"] * 3


def test_a_preview_fits_the_terminal():
    text = figures.preview(ramp(9, 1, 8, 8, 17), 17, figures.truecolour, width=30, lines=9)
    rows = visible(text).split("\n")
    assert max(map(len, rows)) == 3 * 8 + 2
    assert len(rows) == 4 + 1 + 4
    wide = figures.preview(ramp(2, 3, 64, 64, 256), 256, figures.truecolour, width=20, lines=5)
    assert max(map(len, visible(wide).split("\n"))) == 20


def test_a_preview_shows_the_upper_and_the_lower_pixel():
    x = torch.tensor([[[[0, 1], [1, 0], [1, 1]]]])
    first, last = figures.preview(x, 2, figures.truecolour, lines=1).split("\n")
    assert "\x1b[38;2;0;0;0;48;2;255;255;255m▀\x1b[38;2;255;255;255;48;2;0;0;0m▀" in first
    assert last.count("48;2;255;255;255") == 2


def test_a_flat_picture_keeps_a_row_when_it_is_averaged_down():
    assert figures.preview(ramp(1, 1, 1, 24, 2), 2, figures.shades, width=6) == figures.SHADES[5] * 6


def test_a_preview_shows_every_line_of_every_image_that_fits():
    """Three images in two rows of two; of three lines of pixels the last stands above itself."""
    x = torch.arange(3).view(3, 1, 1, 1).expand(3, 1, 3, 2).clone()
    x[:, :, 2] += 3

    def paint(upper, lower):
        return f"{upper[0, 0]}{lower[0, 0]}"

    text = figures.preview(x, 256, paint, width=5, lines=5)
    assert text == "00 11\n33 44\n\n22\n55"


def test_a_preview_without_colour_is_plain_text():
    x = torch.tensor([[[[0, 8, 16], [0, 8, 16]]]])
    text = figures.preview(x, 17, figures.shades)
    assert text == figures.SHADES[0] + figures.SHADES[5] + figures.SHADES[9]
