#!/usr/bin/env bash
# SimpleITK saves a stack of images as a PNG of the first one, without an error or a warning.
#
# Expected: WriteImage of an array [N, H, W] to a format of one picture is refused: that is what it does for JPEG and BMP ("can only write
# 2-dimensional images"), and for types that PNG has not.
# Seen with SimpleITK 2.5.7: the PNG holds slice 0; the others are lost. TIFF keeps all of them as pages. One picture a slice is written by
# sitk.ImageSeriesWriter with a list of names.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check SimpleITK==2.5.7 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import SimpleITK as sitk

stack = np.arange(1, 13, dtype=np.uint8).reshape(3, 2, 2)
sitk.ProcessObject.SetGlobalWarningDisplay(True)
seen = {}
for suffix in ("tif", "png", "jpg", "bmp"):
    try:
        sitk.WriteImage(sitk.GetImageFromArray(stack), f"stack.{suffix}")
        seen[suffix] = sitk.GetArrayFromImage(sitk.ReadImage(f"stack.{suffix}")).tolist()
    except RuntimeError:
        seen[suffix] = "refused"
for suffix, found in seen.items():
    print(f"{suffix}: {found}")
as_before = seen == {"tif": stack.tolist(), "png": stack[0].tolist(), "jpg": "refused", "bmp": "refused"}
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# tif: [[[1, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 10], [11, 12]]]
# png: [[1, 2], [3, 4]]
# jpg: refused
# bmp: refused
# as before
