#!/usr/bin/env bash
# A TIFF file in which 0 is white is inverted when it has 8 bits, and is not when it has 16.
#
# Expected: a reader either turns "0 is white" files round, whatever their depth, or leaves the stored levels alone.
# Seen: Pillow 13.0.0 inverts 1 and 8 bits and gives 16 bits as stored, so that one scanner's files come as positives
# and as negatives, by depth. OpenCV 5.0.0 with IMREAD_UNCHANGED does the same, and inverts the very same 16-bit file
# when it is read by a plain imread, as 8 bits: the two calls give a negative of each other. tifffile 2026.3.3 never
# inverts, and imageio and scikit-image read by it. X-ray pictures and fax scans are stored like this. Whoever reads by
# several libraries has to look at the depth and at tag 262, PhotometricInterpretation (0 is MINISWHITE). pixkit turns
# such files round at every depth.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 tifffile==2026.3.3 \
    pillow==13.0.0 opencv-python-headless==5.0.0.93
"$folder/venv/bin/python" - "$folder/scan.tif" <<'PYTHON'
import sys

import cv2
import numpy as np
import tifffile
from PIL import Image

path = sys.argv[1]
READERS = {
    "tifffile": tifffile.imread,
    "Pillow": lambda path: np.asarray(Image.open(path)),
    "OpenCV, unchanged": lambda path: cv2.imread(path, cv2.IMREAD_UNCHANGED),
    "OpenCV, plain": lambda path: cv2.imread(path)[..., 0],
}
BEFORE = {
    8: [[0, 10, 255], [255, 245, 0], [255, 245, 0], [255, 245, 0]],
    16: [[0, 2560, 65535], [0, 2560, 65535], [0, 2560, 65535], [255, 245, 0]],
}
as_before = True
for bits, kind in ((8, np.uint8), (16, np.uint16)):
    stored = np.array([[0, 10 << bits - 8, (1 << bits) - 1]], kind)
    tifffile.imwrite(path, stored, photometric="miniswhite")
    found = {name: read(path).ravel().tolist() for name, read in READERS.items()}
    print(f"{bits} bits, stored {stored.ravel().tolist()}:", "; ".join(f"{name} {row}" for name, row in found.items()))
    as_before &= list(found.values()) == BEFORE[bits]
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# 8 bits, stored [0, 10, 255]: tifffile [0, 10, 255]; Pillow [255, 245, 0]; OpenCV, unchanged [255, 245, 0]; OpenCV, plain [255, 245, 0]
# 16 bits, stored [0, 2560, 65535]: tifffile [0, 2560, 65535]; Pillow [0, 2560, 65535]; OpenCV, unchanged [0, 2560, 65535]; OpenCV, plain [255, 245, 0]
# as before
