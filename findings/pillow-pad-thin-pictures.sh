#!/usr/bin/env bash
# A picture that is very long and thin vanishes when it is padded to a square.
#
# Expected: ImageOps.pad of a white line of 1000 x 1 pixels into 16 x 16 gives a white line one pixel high on the colour
# of the padding, as Image.thumbnail makes it 16 x 1; or it is an error.
# Seen: with Pillow 13.0.0 the result is all padding. ImageOps.contain rounds the shorter side to 0 and gives an image of
# 16 x 0, which is pasted without a word. With Pillow 11.3.0 both raise "height and width must be > 0". Scans of single
# rows, spectra and rulers have such shapes; a data set that is padded this way holds blank images, with labels.
# pixkit's `data.fit: pad` keeps one pixel, whatever Pillow is installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
try() {
    python3 -m venv "$folder/$1"
    "$folder/$1/bin/python" -m pip install --quiet --disable-pip-version-check "pillow==$1"
    "$folder/$1/bin/python" - "$2" <<'PYTHON'
import sys

import PIL
from PIL import Image, ImageOps

line = Image.new("L", (1000, 1), 255)
found = []
for name in ("contain", "pad"):
    try:
        made = getattr(ImageOps, name)(line, (16, 16))
        found.append(f"{name} {made.size[0]} x {made.size[1]}" + (f", values {made.getextrema()}" if all(made.size) else ""))
    except ValueError as error:
        found.append(f"{name} {error}")
small = line.copy()
small.thumbnail((16, 16))
found.append(f"thumbnail {small.size[0]} x {small.size[1]}, values {small.getextrema()}")
text = "; ".join(found)
print(f"Pillow {PIL.__version__}: {text}")
if text != sys.argv[1]:
    sys.exit(f"CHANGED, it was: {sys.argv[1]}")
PYTHON
}
# pillow==13.0.0 and pillow==11.3.0; the texts are the output seen.
try 13.0.0 "contain 16 x 0; pad 16 x 16, values (0, 0); thumbnail 16 x 1, values (255, 255)"
try 11.3.0 "contain height and width must be > 0; pad height and width must be > 0; thumbnail 16 x 1, values (255, 255)"
