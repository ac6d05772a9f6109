#!/usr/bin/env bash
# A PGM of 16 levels is 0 to 15 or 0 to 255, depending on whether its numbers are written as text.
#
# Expected: a plain PGM (P2, decimal numbers) and a raw one (P5, bytes) with the same levels and the same maximum, 15,
# are the same picture, and a library has one rule for the maximum.
# Seen: OpenCV 5.0.0, also with IMREAD_UNCHANGED, gives the levels of a raw file as they are and stretches those of a
# plain one to 255, rounding down, so that with a maximum of 100 the level 1 becomes 2. Above 255 it stretches neither.
# Pillow 13.0.0 always stretches, to 255 or, above 255 (as a 12-bit camera writes), to 65535. A data set of few levels
# converted from P2 to P5, or read by two libraries, is another data set. The header's maximum has to be read to know
# what levels mean; no reader gives it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 \
    pillow==13.0.0 opencv-python-headless==5.0.0.93
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import pathlib
import sys

import cv2
import numpy as np
from PIL import Image

as_before = True
BEFORE = {
    15: [[0, 17, 119, 255], [0, 17, 119, 255], [0, 1, 7, 15], [0, 17, 119, 255]],
    100: [[0, 2, 127, 255], [0, 3, 128, 255], [0, 1, 50, 100], [0, 3, 128, 255]],
    4095: [[0, 1, 2047, 4095], [0, 16, 32759, 65535], [0, 1, 2047, 4095], [0, 16, 32759, 65535]],
}
for maximum, before in BEFORE.items():
    levels = [0, 1, maximum // 2, maximum]
    found = []
    for magic in ("P2", "P5"):
        text = " ".join(map(str, levels)).encode() + b"\n"
        raw = np.array(levels, ">u2" if maximum > 255 else "u1").tobytes()
        path = pathlib.Path(sys.argv[1], "levels.pgm")
        path.write_bytes(f"{magic}\n4 1\n{maximum}\n".encode() + (text if magic == "P2" else raw))
        found.append(cv2.imread(str(path), cv2.IMREAD_UNCHANGED).ravel().tolist())
        found.append(np.asarray(Image.open(path)).ravel().tolist())
        print(f"{magic} of levels {levels}: OpenCV {found[-2]}, Pillow {found[-1]}")
    as_before &= found == before
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# P2 of levels [0, 1, 7, 15]: OpenCV [0, 17, 119, 255], Pillow [0, 17, 119, 255]
# P5 of levels [0, 1, 7, 15]: OpenCV [0, 1, 7, 15], Pillow [0, 17, 119, 255]
# P2 of levels [0, 1, 50, 100]: OpenCV [0, 2, 127, 255], Pillow [0, 3, 128, 255]
# P5 of levels [0, 1, 50, 100]: OpenCV [0, 1, 50, 100], Pillow [0, 3, 128, 255]
# P2 of levels [0, 1, 2047, 4095]: OpenCV [0, 1, 2047, 4095], Pillow [0, 16, 32759, 65535]
# P5 of levels [0, 1, 2047, 4095]: OpenCV [0, 1, 2047, 4095], Pillow [0, 16, 32759, 65535]
# as before
