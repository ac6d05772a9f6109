#!/usr/bin/env bash
# A boolean mask written by tifffile is the opposite mask for Pillow and OpenCV.
#
# Expected: a boolean array written to a TIFF file reads as the same mask in any library, as one written by Pillow does.
# Seen with tifffile 2026.3.3: where nothing else is asked, booleans are labelled "0 is white" (MINISWHITE) and their
# bits are written as they are. tifffile does not look at that label when it reads; Pillow 13.0.0 and OpenCV 5.0.0 do,
# and turn True into black. imageio 2.38.1 writes by tifffile where that is installed, and reads back with either: the
# same call with plugin="pillow" gives the opposite mask. A mask of what is missing becomes one of what is known. And of
# a boolean colour image written with photometric="rgb", tifffile itself reads other pixels than it wrote.
# tifffile.imwrite(..., photometric="minisblack"), or mask.astype("uint8") * 255, is read alike everywhere.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 tifffile==2026.3.3 \
    pillow==13.0.0 opencv-python-headless==5.0.0.93 imageio==2.38.1
"$folder/venv/bin/python" - "$folder/mask.tif" <<'PYTHON'
import sys

import cv2
import imageio.v3 as iio
import numpy as np
import tifffile
from PIL import Image

path = sys.argv[1]
mask = np.zeros((2, 8), bool)
mask[0, :3] = True
READERS = {
    "tifffile": tifffile.imread,
    "Pillow": lambda path: np.asarray(Image.open(path)),
    "OpenCV": lambda path: cv2.imread(path, cv2.IMREAD_UNCHANGED),
    "imageio by Pillow": lambda path: iio.imread(path, plugin="pillow"),
}
WRITERS = {
    "tifffile": lambda: tifffile.imwrite(path, mask),
    "imageio": lambda: iio.imwrite(path, mask),
    "tifffile, minisblack": lambda: tifffile.imwrite(path, mask, photometric="minisblack"),
    "Pillow": lambda: Image.fromarray(mask).save(path),
}
found = {}
for writer, write in WRITERS.items():
    write()
    found[writer] = [int((read(path) > 0).sum()) for read in READERS.values()]
    print(f"3 of 16 are True, written by {writer}; read by {', '.join(READERS)}: {found[writer]}")
colours = np.zeros((4, 8, 3), bool)
colours[1, 2] = True, False, True
tifffile.imwrite(path, colours, photometric="rgb")
wrong = int((tifffile.imread(path) != colours).sum())
print(f"a colour image of booleans: {wrong} of {colours.size} samples are others when tifffile reads it")
as_before = list(found.values()) == [[3, 13, 13, 13]] * 2 + [[3] * 4] * 2 and wrong > 0
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# 3 of 16 are True, written by tifffile; read by tifffile, Pillow, OpenCV, imageio by Pillow: [3, 13, 13, 13]
# 3 of 16 are True, written by imageio; read by tifffile, Pillow, OpenCV, imageio by Pillow: [3, 13, 13, 13]
# 3 of 16 are True, written by tifffile, minisblack; read by tifffile, Pillow, OpenCV, imageio by Pillow: [3, 3, 3, 3]
# 3 of 16 are True, written by Pillow; read by tifffile, Pillow, OpenCV, imageio by Pillow: [3, 3, 3, 3]
# a colour image of booleans: 4 of 96 samples are others when tifffile reads it
# as before
