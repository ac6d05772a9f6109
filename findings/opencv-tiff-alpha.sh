#!/usr/bin/env bash
# OpenCV's IMREAD_UNCHANGED darkens the half-transparent pixels of a TIFF, and drops the transparency of grey ones.
#
# Expected: IMREAD_UNCHANGED, "return the loaded image as is (with alpha channel)", gives the colours that are in the
# file, as it does for a PNG of the same picture.
# Seen with opencv-python-headless 5.0.0.93, and with 4.10: of an 8-bit TIFF with plain (unassociated) transparency,
# which is what Pillow and image editors write, the colours come multiplied by it. Where it is 0 they are gone. Of 16
# bits they come as they are, and so they do of a PNG. A grey TIFF with transparency comes without it. Whoever
# composites on a background afterwards multiplies twice: edges turn dark, in TIFF only, in 8 bits only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 pillow==13.0.0 \
    tifffile==2026.3.3 opencv-python-headless==5.0.0.93
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os
import sys

import cv2
import numpy as np
import tifffile
from PIL import Image

os.chdir(sys.argv[1])
colours = np.array([[[200, 100, 50, 128], [200, 100, 50, 0], [200, 100, 50, 255]]], np.uint8)
greys = colours[..., [0, 3]]
for name in ("rgba.png", "rgba.tif"):
    Image.fromarray(colours).save(name)
tifffile.imwrite("rgba16.tif", colours.astype(np.uint16) * 257, photometric="rgb", extrasamples=["unassalpha"])
Image.fromarray(greys, "LA").save("la.png")
Image.fromarray(greys, "LA").save("la.tif")


def read(name):
    image = cv2.imread(name, cv2.IMREAD_UNCHANGED)
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    return (image // 257 if image.dtype == np.uint16 else image)[0].tolist()


found = {}
for name in ("rgba.png", "rgba.tif", "rgba16.tif", "la.png", "la.tif"):
    found[name] = read(name)
    print(f"{name}: {found[name]}")
stored = colours[0].tolist()
as_before = found["rgba.png"] == found["rgba16.tif"] == stored and found["la.tif"] == [200] * 3
as_before &= found["rgba.tif"] == [[100, 50, 25, 128], [0, 0, 0, 0], [200, 100, 50, 255]]
as_before &= [pixel[::3] for pixel in found["la.png"]] == greys[0].tolist()
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# rgba.png: [[200, 100, 50, 128], [200, 100, 50, 0], [200, 100, 50, 255]]
# rgba.tif: [[100, 50, 25, 128], [0, 0, 0, 0], [200, 100, 50, 255]]
# rgba16.tif: [[200, 100, 50, 128], [200, 100, 50, 0], [200, 100, 50, 255]]
# la.png: [[200, 200, 200, 128], [200, 200, 200, 0], [200, 200, 200, 255]]
# la.tif: [200, 200, 200]
# as before
