#!/usr/bin/env bash
# A stack of 16-bit greys saved as an animated PNG loses whatever changes among the levels above 255.
#
# Expected: PNG holds 16 bits and Pillow writes them, so frames saved with save_all come back as they were, as they do
# for frames of 8 bits and from a TIFF.
# Seen with Pillow 13.0.0, 12.0.0, 11.3.0 and 10.4.0: to find what changed since the frame before, both are made RGBA,
# which cuts every level above 255 down to 255. Only the rectangle with differences that are left is stored: a pixel
# outside it keeps its old level. Where none is left, a frame with a duration is taken for a repetition and is gone. The
# file opens as mode I;16, with uint16 pixels, and nothing is said. Depth maps, scans and microscope stacks hold almost
# nothing but such levels. A multi-page TIFF, or a file a frame, keeps all of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for package in pillow==10.4.0 pillow==13.0.0; do
    "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$package" numpy==2.2.6
    "$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
import PIL
from PIL import Image, ImageSequence


def given_back(frames, form="PNG", **options):
    file, images = io.BytesIO(), [Image.fromarray(frame) for frame in frames]
    images[0].save(file, form, save_all=True, append_images=images[1:], **options)
    with Image.open(file) as opened:
        return [np.asarray(frame).copy() for frame in ImageSequence.Iterator(opened)]


def flat(kind, *levels):
    return [np.full((4, 4), level, kind) for level in levels]


marked = flat(np.uint16, 1000, 2000, 3000)
for number, frame in enumerate(marked):
    frame[0, 0] = number  # the only pixel whose change is seen
rows = {
    "first two pixels of frames 0 1000, 1 2000, 2 3000": [f[0, :2].tolist() for f in given_back(marked)],
    "with a duration, 1000, 2000, 3000": [f.max() for f in given_back(flat(np.uint16, 1000, 2000, 3000), duration=100)],
    "the same as TIFF": [f.max() for f in given_back(flat(np.uint16, 1000, 2000, 3000), "TIFF")],
    "8 bits with a duration, 100, 200, 250": [f.max() for f in given_back(flat(np.uint8, 100, 200, 250), duration=100)],
}
for what, found in rows.items():
    print(f"Pillow {PIL.__version__}: {what}: {np.array(found).tolist()}")
before = [[[0, 1000], [1, 1000], [2, 1000]], [1000], [1000, 2000, 3000], [100, 200, 250]]
as_before = [np.array(found).tolist() for found in rows.values()] == before
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
done
# The output seen, and the same with Pillow 10.4.0:
# Pillow 13.0.0: first two pixels of frames 0 1000, 1 2000, 2 3000: [[0, 1000], [1, 1000], [2, 1000]]
# Pillow 13.0.0: with a duration, 1000, 2000, 3000: [1000]
# Pillow 13.0.0: the same as TIFF: [1000, 2000, 3000]
# Pillow 13.0.0: 8 bits with a duration, 100, 200, 250: [100, 200, 250]
# as before
