#!/usr/bin/env bash
# Pillow reads an uncompressed TIFF of 16-bit colour in planes as noise, without an error.
#
# Expected: RGB of 16 bits a colour, which Pillow gives as the higher 8 bits of each, is the same picture whether a file
# stores its colours pixel by pixel or plane by plane, compressed or not.
# Seen with Pillow 13.0.0: pixel by pixel, and compressed plane by plane, it is. Uncompressed plane by plane
# (PlanarConfiguration 2, which tifffile writes for arrays of shape (3, H, W)) the bytes of a plane are taken for values
# of 8 bits: low and high bytes of the first half of each row stand side by side as pixels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 pillow==13.0.0 \
    tifffile==2026.3.3
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os
import sys

import numpy as np
import tifffile
from PIL import Image

os.chdir(sys.argv[1])
planes = np.arange(24, dtype=np.uint16).reshape(3, 2, 4) * 2700
expected = (planes >> 8).transpose(1, 2, 0)
same = {}
for name, array, options in (
    ("pixel by pixel", planes.transpose(1, 2, 0).copy(), {}),
    ("in planes, deflated", planes, {"planarconfig": "separate", "compression": "zlib"}),
    ("in planes", planes, {"planarconfig": "separate"}),
):
    tifffile.imwrite("a.tif", array, photometric="rgb", **options)
    found = np.asarray(Image.open("a.tif"))
    same[name] = np.array_equal(found, expected)
    print(f"{name}: red, first row {found[0, :, 0].tolist()}, expected {expected[0, :, 0].tolist()}")
as_before = same == {"pixel by pixel": True, "in planes, deflated": True, "in planes": False}
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# pixel by pixel: red, first row [0, 10, 21, 31], expected [0, 10, 21, 31]
# in planes, deflated: red, first row [0, 10, 21, 31], expected [0, 10, 21, 31]
# in planes: red, first row [0, 0, 140, 10], expected [0, 10, 21, 31]
# as before
