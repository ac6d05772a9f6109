#!/usr/bin/env bash
# A picture that was once saved as PNG cannot be a later page of a TIFF.
#
# Expected: what a picture was saved as before has no effect on how it is saved next.
# Seen with Pillow 13.0.0, 12.0.0 and 11.3.0: saving as PNG, JPEG or JPEG 2000 leaves the encoder's settings on the
# image object. Pages after the first of a TIFF, compressed or not, are then written with them, and that is a TypeError
# about the number of arguments of a function that is not named. Pillow 10.4.0 writes the file. A loop that saves each
# sample and then all of them in one TIFF fails at its last line, where the samples exist. GIF, WebP and PDF of the same
# pictures are written. append_images=[image.copy() for image in ...] is the way out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for package in pillow==10.4.0 pillow==13.0.0; do
    "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.2.6 "$package"
    "$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
import PIL
from PIL import Image

failing = PIL.__version__ != "10.4.0"
as_before = True
for first, copied in ((None, False), ("PNG", False), ("JPEG", False), ("PNG", True)):
    for compression in ("raw", "tiff_lzw"):
        images = [Image.fromarray(np.full((8, 8), level, np.uint8)) for level in (1, 2, 3)]
        for image in images if first else ():
            image.save(io.BytesIO(), first)
        later = [image.copy() for image in images[1:]] if copied else images[1:]
        try:
            images[0].save(io.BytesIO(), "TIFF", save_all=True, append_images=later, compression=compression)
            found = "written"
        except TypeError as error:
            found = f"TypeError: {error}"
        before = f"saved as {first} before" + (", copied" if copied else "")
        print(f"Pillow {PIL.__version__}, {before}, TIFF {compression}: {found}")
        as_before &= found.startswith("TypeError" if failing and first and not copied else "written")
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
done
# The output seen with 13.0.0; 10.4.0 writes all of them:
# Pillow 13.0.0, saved as None before, TIFF raw: written
# Pillow 13.0.0, saved as None before, TIFF tiff_lzw: written
# Pillow 13.0.0, saved as PNG before, TIFF raw: TypeError: function takes at most 4 arguments (8 given)
# Pillow 13.0.0, saved as PNG before, TIFF tiff_lzw: TypeError: function takes exactly 6 arguments (10 given)
# Pillow 13.0.0, saved as JPEG before, TIFF raw: TypeError: function takes at most 4 arguments (18 given)
# Pillow 13.0.0, saved as JPEG before, TIFF tiff_lzw: TypeError: function takes exactly 6 arguments (20 given)
# Pillow 13.0.0, saved as PNG before, copied, TIFF raw: written
# Pillow 13.0.0, saved as PNG before, copied, TIFF tiff_lzw: written
# as before
