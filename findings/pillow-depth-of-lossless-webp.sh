#!/usr/bin/env bash
# 16-bit greys saved by Pillow as lossless WebP, GIF or AVIF are white: these three formats clip levels where others keep or refuse them.
#
# Expected: Image.save keeps a picture's levels, or refuses a mode that the format does not have ("cannot write mode I;16 as JPEG").
# Seen with Pillow 13.0.0: of modes I;16, I and F, WebP with lossless=True, GIF and AVIF keep what is below 256 and clip the rest to 255; 17 of 4096
# levels are left. Shades of 0 to 1 in F become 0 and 1, which look black. BMP, TGA, QOI and JPEG refuse all three modes; PNG and JPEG 2000 keep I;16
# and refuse the others; TIFF and IM keep all. There is no warning, though the call says "lossless". A scan of 12 or 16 bits comes back as a white page
# with a few dark spots.
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

levels = (np.arange(64 * 64) * 16).reshape(64, 64)
pictures = {"I;16": levels.astype(np.uint16), "I": levels.astype(np.int32), "F": (levels / 65520).astype(np.float32)}
kept = {"png": "I;16", "jp2": "I;16", "tif": "I;16 I F", "im": "I;16 I F"}
options = {"webp": {"lossless": True}}


def outcome(mode, suffix):
    path = f"{sys.argv[1]}/picture.{suffix}"
    try:
        Image.fromarray(pictures[mode]).save(path, **options.get(suffix, {}))
    except (OSError, ValueError):
        return "refused"
    with Image.open(path) as image:
        read = np.asarray(image.convert("L") if suffix in ("webp", "avif", "gif") else image)
    if np.array_equal(read, pictures[mode]):
        return "kept"
    off = np.abs(read.astype(float) - np.clip(pictures[mode], 0, 255)).max()
    return f"clipped at 255: {read.min()}..{read.max()}, {len(np.unique(read))} of {levels.size} levels" if off <= 3 else f"{off} off when clipped"


print("Pillow", PIL.__version__)
changed = False
for suffix in ("webp", "avif", "gif", "bmp", "jpg", "tga", "qoi", "png", "jp2", "tif", "im"):
    for mode in pictures:
        seen = outcome(mode, suffix)
        expected = "kept" if mode in kept.get(suffix, "").split() else "refused"
        lossy = suffix in ("webp", "avif", "gif")
        changed |= not seen.startswith("clipped") if lossy else seen != expected
        print(f"{suffix}, {mode}: {seen}")
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
