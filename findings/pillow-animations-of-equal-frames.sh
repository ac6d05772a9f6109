#!/usr/bin/env bash
# Seven frames saved by Pillow as GIF or lossless WebP, or as APNG with durations, come back as four: it drops a frame that equals the one before.
#
# Expected: save_all=True stores all frames, so that frame k of the file is frame k, as for AVIF, TIFF and APNG without durations.
# Seen with Pillow 13.0.0: of frames 0, 50, 50, 100, 100, 100, 200 the file has 0, 50, 100, 200, and n_frames is 4. Durations that were given are added
# up, so that a player shows the same; an array read from the file has lost its time. Clips of a still scene, of a digit that rests, or of samples that
# agree are shorter than their labels, and clips of one data set differ in length. There is no warning.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 pillow==13.0.0
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys

import numpy as np
import PIL
from PIL import Image

levels = [0, 50, 50, 100, 100, 100, 200]
print("Pillow", PIL.__version__)
changed = False
for suffix, whole, options in (
    ("gif", False, {}),
    ("gif", False, {"duration": 100}),
    ("webp", False, {"lossless": True}),
    ("png", False, {"duration": 100}),
    ("png", True, {}),
    ("avif", True, {"quality": 100}),
    ("tif", True, {}),
):
    frames = [Image.fromarray(np.full((8, 8), level, np.uint8)) for level in levels]
    path = f"{sys.argv[1]}/clip.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    read, durations = [], []
    with Image.open(path) as image:
        for k in range(image.n_frames):
            image.seek(k)
            read.append(int(np.asarray(image.convert("L"))[0, 0]))
            durations.append(image.info.get("duration"))
    changed |= (read == levels) != whole or (not whole and read != [0, 50, 100, 200])
    print(f"{suffix} {options}: frames {read}" + (f", durations {durations}" if "duration" in options else ""))
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
