#!/usr/bin/env bash
# Seven frames saved by Pillow as GIF or lossless WebP come back as four: a frame that is like the one before is not stored.
#
# Expected: save_all=True stores all the frames it is given, so that frame k of a clip read again is frame k, as it is for APNG, AVIF and TIFF.
# Seen with Pillow 13.0.0: of frames 0, 50, 50, 100, 100, 100, 200 GIF and WebP have 0, 50, 100, 200. GIF adds up the durations if some were given; n_frames is 4 in any case, and frame 2 is
# another. Where durations are equal a player shows the same, an array has lost its time: clips of a still scene, of a digit that rests, or of samples that agree, are shorter than
# their labels, and clips of one data set have different lengths. Nothing is said. APNG keeps all of them, of the same size.
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
for suffix, whole, options in (("gif", False, {}), ("gif", False, {"duration": 100}), ("webp", False, {"lossless": True}), ("png", True, {}), ("avif", True, {"quality": 100}), ("tif", True, {})):
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
