#!/usr/bin/env bash
# SimpleITK reads the half-precision floats of a TIFF as whole numbers, their bits: 1.0 becomes 15360, and nothing says so.
#
# Expected: 16-bit floats are read as 32-bit floats, or refused, as 64-bit ones are.
# Seen with SimpleITK 2.5.7: the image has the type "16-bit unsigned integer", and its values are the bit patterns of the floats. They grow with the
# floats, so the picture looks plausible, with a strange contrast. 32-bit floats are read right; 64-bit floats and integers are refused with an error.
# A palette is another case of the same kind: the colours of a TIFF's 8-bit palette are read as 16-bit integers of 256 times the level (255 becomes 65280, which
# is not white in 16 bits), while the same picture as PNG or BMP gives 8-bit integers.
# Maps of scores that are stored in half precision should be converted to float32 before other programs read them. pixkit refuses such a file, and reads the palette's colours as 8 bits.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check SimpleITK==2.5.7 tifffile==2026.3.3 pillow==12.2.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import SimpleITK as sitk
import tifffile
from PIL import Image

failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


def read(path):
    image = sitk.ReadImage(path)
    return image.GetPixelIDTypeAsString(), sitk.GetArrayFromImage(image)


levels = np.array([[0.0, 0.5], [1.0, 2.0]])
for dtype in (np.float32, np.float16):
    tifffile.imwrite("floats.tif", levels.astype(dtype))
    kind, values = read("floats.tif")
    right = np.array_equal(values, levels)
    bits = np.array_equal(values, levels.astype(np.float16).view(np.uint16))
    expect(f"{np.dtype(dtype)}: {kind}, {values.ravel().tolist()}", right if dtype is np.float32 else bits)
tifffile.imwrite("floats.tif", levels)
try:
    read("floats.tif")
    expect("float64 is read", False)
except RuntimeError:
    expect("float64 is refused", True)

colours = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8), "P")
colours.putpalette([0, 0, 0, 255, 128, 255])
for suffix, largest in (("png", 255), ("bmp", 255), ("tif", 65280)):
    colours.save(f"colours.{suffix}")
    kind, values = read(f"colours.{suffix}")
    expect(f"a palette in {suffix}: {kind}, the largest {values.max()}", values.max() == largest)
sys.exit(bool(failures))
PYTHON
# The output seen:
# as before: float32: 32-bit float, [0.0, 0.5, 1.0, 2.0]
# as before: float16: 16-bit unsigned integer, [0, 14336, 15360, 16384]
# as before: float64 is refused
# as before: a palette in png: vector of 8-bit unsigned integer, the largest 255
# as before: a palette in bmp: vector of 8-bit unsigned integer, the largest 255
# as before: a palette in tif: vector of 16-bit unsigned integer, the largest 65280
