#!/usr/bin/env bash
# scikit-image scales a 16-bit frame to bytes by its brightest pixel, and an int64 image to white below black.
#
# Expected: img_as_ubyte divides uint16 by 256 (65535 becomes 255) whatever is in the picture, and rescale_intensity
# stretches an image of any integer type so that its brightest pixel stays the brightest.
# Seen with scikit-image 0.26.0:
#   - A uint16 image whose brightest pixel is 255 or less is not divided at all. Of two frames of a film, the one that
#     peaks at 255 comes out 255 times as bright as the one that peaks at 300. int64, which numpy gives for lists, goes
#     the same way: with a 256 in it, all of an image becomes 0. A warning tells of the frame that was not divided.
#   - rescale_intensity of int64 makes the brightest pixel -2**63 on x86-64, the darkest of all: the upper end, 2**63-1,
#     is not a float64, and the next one does not fit. uint64's becomes 0. int32 and less are right.
# Choose the range by hand, and convert to uint8 or float with numpy before scikit-image sees the image.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 scikit-image==0.26.0
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import platform
import sys

import numpy as np
from skimage.exposure import rescale_intensity
from skimage.util import img_as_ubyte

failures = []


def show(what, found, before):
    found = np.asarray(found).ravel().tolist()
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was {before}"))
    if found != before:
        failures.append(what)


for kind, brightest, before in (
    ("uint16", 255, [0, 100, 255]),
    ("uint16", 300, [0, 0, 1]),
    ("uint16", 65535, [0, 0, 255]),
    ("int64", 255, [0, 100, 255]),
    ("int64", 256, [0, 0, 0]),
):
    show(f"bytes of {kind} [0, 100, {brightest}]", img_as_ubyte(np.array([[0, 100, brightest]], kind)), before)
for kind, before in (("int32", [0, 2**31 - 1]), ("int64", [0, -(2**63)]), ("uint64", [0, 0])):
    if kind == "int32" or platform.machine() in ("x86_64", "AMD64"):  # others round what does not fit otherwise
        show(f"{kind} [10, 20], stretched", rescale_intensity(np.array([[10, 20]], kind)), before)
sys.exit(bool(failures))
PYTHON
# The output seen:
# bytes of uint16 [0, 100, 255]: [0, 100, 255]
# bytes of uint16 [0, 100, 300]: [0, 0, 1]
# bytes of uint16 [0, 100, 65535]: [0, 0, 255]
# bytes of int64 [0, 100, 255]: [0, 100, 255]
# bytes of int64 [0, 100, 256]: [0, 0, 0]
# int32 [10, 20], stretched: [0, 2147483647]
# int64 [10, 20], stretched: [0, -9223372036854775808]
# uint64 [10, 20], stretched: [0, 0]
