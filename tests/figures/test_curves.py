"""Curves over steps."""

import numpy as np
import pytest
from PIL import Image

from pixkit.figures import Curve, save_curves
from pixkit.figures.curves import COLOURS, HEIGHT, LEFT, LINE, WIDTH, ticks

FALLING = [(0, 4.0), (50, 2.0), (100, 1.0)]


def drawn(tmp_path, *curves):
    path = save_curves(curves, tmp_path / "c.png", across="step", up="bits/dim")
    return np.asarray(Image.open(path)).astype(int)


def within(pixels):
    return pixels[LINE : LINE + HEIGHT, LEFT : LEFT + WIDTH]


def centre(pixels, colour):
    """Rows and columns of the pixels that have a colour."""
    return np.argwhere((abs(within(pixels) - colour) <= 2).all(-1))


def test_a_curve_goes_through_its_points(tmp_path):
    places = centre(drawn(tmp_path, Curve("a", FALLING)), COLOURS[0])
    first, last = places[places[:, 1].argmin()], places[places[:, 1].argmax()]
    assert first[0] == pytest.approx(HEIGHT * 0.05 / 1.1, abs=5) and last[0] == pytest.approx(
        HEIGHT * 1.05 / 1.1, abs=5
    )
    middle = places[abs(places[:, 1] - WIDTH * 50 / 101) <= 1]
    assert middle[:, 0].mean() == pytest.approx(HEIGHT * (4.15 - 2) / 3.3, abs=3)


def test_the_range_is_that_of_the_dots_and_thin_lines_are_cut_off(tmp_path):
    alone = centre(drawn(tmp_path, Curve("a", FALLING)), COLOURS[0])
    beside = drawn(tmp_path, Curve("a", FALLING, thin=[(1, 900.0), (90, 1.5)]))
    assert (abs(centre(beside, COLOURS[0]).mean(0) - alone.mean(0)) < 3).all()


@pytest.mark.parametrize("spike", [1e9, 1e22, 1.7e308])
def test_a_curve_that_leaves_for_the_sky_comes_back(tmp_path, spike):
    flat = [(step, 1.5) for step in range(1, 100)]
    pixels = drawn(tmp_path, Curve("a", FALLING, thin=[(x, spike if x == 60 else y) for x, y in flat]))
    blue = within(pixels)[..., 2] - within(pixels)[..., 0] > 20
    assert blue[:12, WIDTH * 58 // 101 : WIDTH * 62 // 101].any(), "up"
    assert not blue[:12, : WIDTH // 2].any() and blue[380:410, WIDTH * 97 // 101 :].any(), "and back"
    drawn(tmp_path, Curve("a", [(1, spike), (2, -spike)]))


def test_every_curve_has_a_line_in_the_legend(tmp_path):
    one = drawn(tmp_path, Curve("a", FALLING))
    curves = [Curve(f"{number} Ω\n" * 200, [(1, float(number))]) for number in range(8)]
    curves.append(Curve("a run that was not scored yet", []))
    many = drawn(tmp_path, *curves)
    assert many.shape[0] - one.shape[0] == 8 * LINE and many.shape[1] == one.shape[1]
    foot = many[LINE + HEIGHT + 34 :, LEFT + 7]
    assert len({tuple(pixel) for pixel in foot}) == 10, "nine colours and paper"


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (1.93, 2.31, [1.95, 2, 2.05, 2.1, 2.15, 2.2, 2.25, 2.3]),
        (-1e-4, 1e-4, [-1e-4, -5e-5, 0, 5e-5, 1e-4]),
    ],
)
def test_ticks_are_round(low, high, found):
    assert ticks(low, high) == found
