#!/usr/bin/env bash
# Through a mask Pillow mixes bytes: of a 16-bit grey the right half is not pasted, and a mean of two floats is 1e38 or NaN.
#
# Expected: Image.composite and paste with a mask of greys mix what the pictures hold, of 16-bit, integer and float greys as of 8-bit ones, or refuse
# their mode, as Image.blend, ImageChops, filters and enhancers do. With a mask of 0 and 255 alone each pixel is one of the two.
# Seen with Pillow 13.0.0: a pixel of the mask is taken for a byte. Of mode I;16, whose pixels have two, the right half of a row stays as it was,
# and in the left half a pixel gets its lower byte by one pixel of the mask and its upper by the next, so that a mask of 0 and 255 makes levels that
# neither picture has. Of modes I and F, which have four, a soft mask mixes the four each for itself: the mean of 1.5 and -0.25 becomes 1e38.
# A fill of I;16 through a mask of mode "1" repeats one byte, 16448 (0x4040) for 40000. Masks of mode "1" between two pictures are right.
# Nothing is said. It is how one puts known pixels beside completed ones; np.where does it for any type.
# The same in turning: rotate() and transform() of I;16, smoothly (bilinear, bicubic), take each byte for a pixel, so that no level above 255 is left;
# with the nearest pixel they are right, resize() is right with all filters, and of modes I and F all three are.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from PIL import Image

changed = []


def seen(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        changed.append(what)


random = np.random.default_rng(0)
known, drawn = random.integers(0, 65536, (2, 8, 8)).astype(np.uint16)
hard = random.random((8, 8)) < 0.5
soft = random.integers(0, 256, (8, 8), dtype=np.uint8)
wanted = np.where(hard, known, drawn)
mixed = drawn + (known - drawn.astype(float)) * (soft / 255)


def composed(mode, mask):
    return np.asarray(Image.composite(Image.fromarray(known).convert(mode), Image.fromarray(drawn).convert(mode), mask)).astype(float)


bits, greys = Image.fromarray(hard), Image.fromarray((hard * 255).astype(np.uint8))
seen("I;16, a mask of mode 1: right", np.array_equal(composed("I;16", bits), wanted))
got = composed("I;16", greys)
seen("I;16, the same mask in mode L: the right half is left out", np.array_equal(got[:, 4:], drawn[:, 4:]))
strange = ((got != known) & (got != drawn))[:, :4]
print(f"of the 32 pixels in the left half {strange.sum()} are of neither picture")
by_bytes = np.where(hard, *(picture[:, :4].copy().view(np.uint8) for picture in (known, drawn))).view(np.uint16)
seen("I;16, the same mask in mode L: each byte by a pixel of the mask", np.array_equal(got[:, :4], by_bytes))
seen("I and F, the same mask in mode L: right", all(np.array_equal(composed(mode, greys), wanted) for mode in "IF"))

shades = Image.fromarray(soft)
seen("I;16, a soft mask: off by more than 10,000 levels", np.abs(composed("I;16", shades) - mixed).max() > 10_000)
seen("I, a soft mask: off by 50 to 130 levels", 50 < np.abs(composed("I", shades) - mixed).max() < 130)
a, b = (Image.new("F", (1, 1), value) for value in (1.5, -0.25))
middle = Image.composite(a, b, Image.new("L", (1, 1), 128)).getpixel((0, 0))
print(f"F: between 1.5 and -0.25 lies {middle:.3g}")
seen("F, a soft mask: beyond 1e38", not abs(middle) < 1e38)
eight = np.asarray(Image.composite(Image.new("L", (1, 1), 150), Image.new("L", (1, 1), 50), Image.new("L", (1, 1), 128)))
seen("L, a soft mask: right", eight.item() == 100)

page = Image.new("I;16", (8, 1))
page.paste(40000, (0, 0, 8, 1), Image.new("1", (8, 1), 1))
print("a fill of 40000:", np.asarray(page)[0].tolist())
seen("a fill: one byte of it, in the left half", np.asarray(page)[0].tolist() == [0x4040] * 4 + [0] * 4)

ramp = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
smooth, still = Image.Resampling.BILINEAR, Image.Transform.AFFINE
turned = {mode: np.asarray(ramp.convert(mode).rotate(10, smooth)).astype(float) for mode in ("I;16", "I", "F")}
print("turned by ten degrees, row 3:", turned["I;16"][3].astype(int).tolist(), "of", turned["I"][3].astype(int).tolist())
seen("I;16, turned: nothing above 255", turned["I;16"].max() <= 255)
seen("I and F, turned: the same to rounding", np.abs(turned["I"] - turned["F"]).max() <= 1 and turned["I"].max() > 50_000)
moved = np.asarray(ramp.transform(ramp.size, still, (1, 0, 0, 0, 1, 0), smooth))
seen("I;16, transformed by nothing: nothing above 255", moved.max() <= 255)
nearest = np.asarray(ramp.transform(ramp.size, still, (1, 0, 0, 0, 1, 0), Image.Resampling.NEAREST))
seen("I;16, the nearest pixel: right", np.array_equal(nearest, np.asarray(ramp)))
small = np.asarray(ramp.resize((4, 4), Image.Resampling.BOX)).astype(float)
seen("I;16, resized: right", np.abs(small - np.asarray(ramp).reshape(4, 2, 4, 2).mean((1, 3))).max() <= 1)
sys.exit(bool(changed))
PYTHON
