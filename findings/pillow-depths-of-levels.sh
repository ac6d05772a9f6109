#!/usr/bin/env bash
# Pillow multiplies the levels of a 12-bit JPEG 2000 by 16, and reads -1 of a signed TIFF as 255.
#
# Expected: the levels of a lossless file are those that were stored, or the reader says by what they were scaled;
# numbers that a mode cannot hold are refused.
# Seen with Pillow 13.0.0:
#   - A JPEG 2000 of 10, 12 or 14 bits, as scanners and satellites write, opens as I;16 with levels shifted to the top:
#     white is 65520 of 12 bits. Of a PGM of 12 bits white is 65535 (a factor of 16.004), of a 16-bit PNG or TIFF that
#     holds the same numbers 4095. OpenCV 5.0.0 and imagecodecs 2026.3.6 give the numbers that were stored.
#   - int8 in a TIFF opens as L: -1 is 255, and -128, the darkest, is brighter than 127. uint32 opens as I, which is
#     signed: 3,000,000,000 is negative. int16 and int32 are right, and so is OpenCV about all of them.
# The mode and the size of such an image look right. Levels have to be compared with the file's own header. pixkit
# refuses signed bytes and numbers beyond 16 bits, and stretches the 12 bits of a TIFF, which Pillow leaves as they are.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 pillow==13.0.0 \
    imagecodecs==2026.3.6 tifffile==2026.3.3 opencv-python-headless==5.0.0.93
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import pathlib
import sys

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import Image

as_before = True


def show(what, path, by_pillow, by_opencv):
    global as_before
    with Image.open(path) as image:
        found = [np.asarray(image).ravel().tolist(), cv2.imread(str(path), cv2.IMREAD_UNCHANGED).ravel().tolist()]
        print(f"{what}: Pillow {image.mode} {found[0]}, OpenCV {found[1]}")
    as_before &= found == [by_pillow, by_opencv]


folder, levels = pathlib.Path(sys.argv[1]), np.array([[1, 300, 4095]], np.uint16)
path = folder / "levels.jp2"
path.write_bytes(imagecodecs.jpeg2k_encode(levels, bitspersample=12))
show("JPEG 2000 of 12 bits", path, [16, 4800, 65520], [1, 300, 4095])
as_before &= np.array_equal(imagecodecs.jpeg2k_decode(path.read_bytes()), levels)
path = folder / "levels.pgm"
path.write_bytes(b"P5\n3 1\n4095\n" + levels.astype(">u2").tobytes())
show("PGM of 12 bits", path, [16, 4801, 65535], [1, 300, 4095])
path = folder / "levels.tif"
tifffile.imwrite(path, levels)
show("TIFF with the same numbers", path, [1, 300, 4095], [1, 300, 4095])
for kind, stored, by_pillow in (
    ("int8", [-128, -1, 127], [128, 255, 127]),
    ("uint32", [1, 3_000_000_000], [1, -1_294_967_296]),
    ("int16", [-5, 300], [-5, 300]),
):
    tifffile.imwrite(path, np.array([stored], kind))
    show(f"TIFF of {kind} {stored}", path, by_pillow, stored)
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# JPEG 2000 of 12 bits: Pillow I;16 [16, 4800, 65520], OpenCV [1, 300, 4095]
# PGM of 12 bits: Pillow I [16, 4801, 65535], OpenCV [1, 300, 4095]
# TIFF with the same numbers: Pillow I;16 [1, 300, 4095], OpenCV [1, 300, 4095]
# TIFF of int8 [-128, -1, 127]: Pillow L [128, 255, 127], OpenCV [-128, -1, 127]
# TIFF of uint32 [1, 3000000000]: Pillow I [1, -1294967296], OpenCV [1, 3000000000]
# TIFF of int16 [-5, 300]: Pillow I [-5, 300], OpenCV [-5, 300]
# as before
