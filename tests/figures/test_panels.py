import numpy as np
import pytest
import torch
from PIL import Image

from pixkit.figures import fields
from pixkit.figures.fields import LINE, MARGIN, RAMP, _panel
from pixkit.figures.panels import HIDDEN, SIDE, Panel, completion_panels, save_panels, shades
from pixkit.readiness.report import WORDS, Sight


def panels(channels=1):
    original = (torch.arange(channels * 12) % 5).view(1, channels, 3, 4)
    known = torch.ones(channels, 3, 4, dtype=torch.bool)
    known[:, 1:, 2:] = False
    samples = original.repeat(8, 1, 1, 1)
    samples[:, :, 1:, 2:] = torch.arange(8).view(8, 1, 1, 1) % 5
    uncertainty = torch.zeros(3, 4, dtype=torch.float64)
    uncertainty[1, 2], uncertainty[2, 3] = 0.5, 1.25
    return completion_panels(original, known, samples, uncertainty, 5), original, known, samples


def test_a_field_of_what_a_prediction_sees_is_its_picture(tmp_path):
    kinds = np.resize([int(Sight.SEEN), int(Sight.LATER), int(Sight.ITSELF)], (2, 3, 4))
    legend = {int(kind): (word, fields.SIGHT_COLOURS[kind.name]) for kind, word in WORDS.items()}
    paths = fields.save_field(kinds, legend, tmp_path / "a.png"), fields.save_sight(kinds, tmp_path / "b.png")
    assert paths[0] == tmp_path / "a.png" and paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_completion_shows_original_given_uncertainty_and_the_samples(channels):
    rows, original, known, samples = panels(channels)
    assert [len(row) for row in rows] == [3, 4, 4]
    whole, given, uncertainty = rows[0]
    bytes_of = np.rint(original[0].numpy() * 255 / 4).transpose(1, 2, 0)
    assert np.array_equal(whole.pixels, np.broadcast_to(bytes_of, (3, 4, 3)))
    missing = ~known[0].numpy()
    assert (given.pixels[missing] == HIDDEN).all()
    assert np.array_equal(given.pixels[~missing], whole.pixels[~missing])
    assert "1.25" in uncertainty.title
    assert tuple(uncertainty.pixels[2, 3]) == RAMP[-1]
    assert tuple(uncertainty.pixels[0, 0]) == RAMP[0]
    drawn = [panel for row in rows[1:] for panel in row]
    assert [panel.title for panel in drawn] == [f"completion {number}" for number in range(8)]
    for panel, sample in zip(drawn, samples, strict=True):
        assert np.array_equal(panel.pixels[..., 0], np.rint(sample[0].numpy() * 255 / 4))


def test_every_panel_is_at_its_place(tmp_path):
    rows = panels()[0]
    image = np.asarray(Image.open(save_panels(rows, tmp_path / "deep" / "x.png", note="a note")))
    scale = SIDE // 4
    column, row_height = SIDE + MARGIN, LINE + 3 * scale + MARGIN
    assert image.shape == (MARGIN + 3 * row_height + LINE, MARGIN + 4 * column, 3)
    for number, row in enumerate(rows):
        for place, panel in enumerate(row):
            top, left = MARGIN + number * row_height + LINE, MARGIN + place * column
            found = image[top : top + 3 * scale, left : left + 4 * scale]
            for corner in (0, scale - 1):
                assert np.array_equal(found[corner::scale, corner::scale], panel.pixels)
    assert (image[-LINE:] < 128).any(), "the note"


def test_titles_and_notes_are_not_cut_off(tmp_path):
    narrow = Panel("a title that is wider than its panel is", np.zeros((200, 1, 3), np.uint8))
    first = Image.open(save_panels([[narrow]], tmp_path / "a.png")).size
    second = Image.open(save_panels([[narrow]], tmp_path / "b.png", note="and a note that is longer still " * 4)).size
    assert first[0] > 150 and first[1] == MARGIN + LINE + 200 + MARGIN
    assert second[0] > 2 * first[0]


@pytest.mark.parametrize(
    ("step", "last", "colour"),
    [(0, 0, RAMP[0]), (0, 1, RAMP[0]), (1, 1, RAMP[-1]), (1, 4, RAMP[1]), (3, 8, (35, 140, 175)), (3, 3, RAMP[-1])],
)
def test_steps_go_from_dark_to_bright_however_few_they_are(step, last, colour):
    assert fields.shade(step, last) == colour


def test_no_uncertainty_at_all_is_dark():
    assert (shades(np.zeros((2, 2))) == RAMP[0]).all()


@pytest.mark.parametrize(("count", "rows"), [(3, [3]), (4, [3, 1]), (6, [3, 3]), (7, [3, 3, 1])])
def test_every_sample_has_a_panel(count, rows):
    grey, known = torch.zeros(1, 1, 2, 2, dtype=torch.int64), torch.ones(1, 2, 2, dtype=torch.bool)
    found = completion_panels(grey, known, grey.expand(count, -1, -1, -1), torch.zeros(2, 2), 2)
    assert [len(row) for row in found] == [3, *rows]
    assert [panel.title for row in found[1:] for panel in row] == [f"completion {number}" for number in range(count)]


def test_squares_of_a_field_are_apart_where_there_is_room():
    white = np.full((2, 3, 3), 255, np.uint8)
    for cell, lines in ((5, []), (6, [5, 11])):
        picture = np.asarray(_panel(white, cell))
        assert picture.shape == (2 * cell, 3 * cell, 3)
        assert np.flatnonzero((picture[:, 0] < 255).all(1)).tolist() == lines
        assert np.flatnonzero((picture[0] < 255).all(1)).tolist() == (lines and [*lines, 17])
