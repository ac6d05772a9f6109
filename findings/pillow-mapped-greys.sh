#!/usr/bin/env bash
# A grey picture that Pillow has loaded changes when its file is written over.
#
# Expected: after Image.load(), and all the more after close(), the pixels are in memory: load's documentation says that
# it allocates storage for the image and loads the pixel data, and colour pictures behave so.
# Seen with Pillow 13.0.0 (and 11.3.0) on Linux: of an uncompressed grey file (TIFF of 8 or 16 bits, BMP, TGA, PGM), and
# of RGBA in a TIFF, load() only maps the file. A picture that another program writes into the same file afterwards,
# such as an instrument's "latest frame", shows through the image object of the one that was loaded before. The same
# picture in RGB, or opened from bytes in memory, stays as it was. Image.copy() after opening makes it one's own. A
# writer that renames a new file into place is no danger.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.2.6 pillow==13.0.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import io
import pathlib
import sys

import numpy as np
from PIL import Image

if sys.platform != "linux":
    print("seen on Linux only")
    sys.exit(0)
folder = pathlib.Path(sys.argv[1])


def as_file(form, mode, level):
    file, kind = io.BytesIO(), np.uint16 if mode == "I;16" else np.uint8
    Image.fromarray(np.full((64, 64) + (() if mode in ("L", "I;16") else (len(mode),)), level, kind)).save(file, form)
    return file.getvalue()


KINDS = [("TIFF", mode) for mode in ("L", "I;16", "RGBA", "RGB")] + [(form, "L") for form in ("BMP", "TGA", "PPM")]
found = {}
for number, (form, mode) in enumerate(KINDS):
    path = folder / f"latest-{number}.{form}"
    path.write_bytes(as_file(form, mode, 7))
    with Image.open(path) as image:
        image.load()
    copy = image.copy()
    with Image.open(io.BytesIO(path.read_bytes())) as other:
        other.load()
    before = int(np.array(image).max())
    with open(path, "r+b") as file:  # the next picture: as many bytes, in the same file
        file.write(as_file(form, mode, 99))
    found[form, mode] = [before] + [int(np.array(each).max()) for each in (image, copy, other)]
    print("{} {}: {}; after the next picture {}, its copy {}, one opened from bytes {}".format(form, mode, *found[form, mode]))
as_before = all(row == [7, 7 if mode == "RGB" else 99, 7, 7] for (_, mode), row in found.items())
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# TIFF L: 7; after the next picture 99, its copy 7, one opened from bytes 7
# TIFF I;16: 7; after the next picture 99, its copy 7, one opened from bytes 7
# TIFF RGBA: 7; after the next picture 99, its copy 7, one opened from bytes 7
# TIFF RGB: 7; after the next picture 7, its copy 7, one opened from bytes 7
# BMP L: 7; after the next picture 99, its copy 7, one opened from bytes 7
# TGA L: 7; after the next picture 99, its copy 7, one opened from bytes 7
# PPM L: 7; after the next picture 99, its copy 7, one opened from bytes 7
# as before
