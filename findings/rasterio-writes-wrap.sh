#!/usr/bin/env bash
# rasterio clips and rounds what it reads, but wraps and truncates what it writes: 256 becomes 0.
#
# Expected: values outside a file's type are clipped and fractions rounded, as GDAL does whenever it converts, and as rasterio does with out_dtype, out
# and reproject; or they are refused.
# Seen with rasterio 1.4.4 (its wheel, with GDAL 3.10.3, on x86-64): -1, 1.7, 255.4, 256 and 300 read from a file of floats as uint8 are 0, 2, 255, 255,
# 255; written to a uint8 file they are 255, 1, 255, 0, 44, as numpy casts the array before GDAL sees it. uint16 and int64 written to a file of bytes
# keep their low byte. Samples or a filtered tile that exceed the range a little get black dots in white areas and white ones in black, and levels are
# half a level too dark on average. There is no warning. Call np.rint and np.clip before write.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 rasterio==1.4.4
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys

import numpy as np
import rasterio
from rasterio.warp import reproject

place = {"transform": rasterio.transform.from_origin(0, 1, 1, 1), "crs": "EPSG:3857"}
values = np.array([[-1, 1.7, 255.4, 256, 300]], np.float32)


def write(array, kind):
    path = f"{sys.argv[1]}/tile.tif"
    with rasterio.open(path, "w", driver="GTiff", height=1, width=array.shape[1], count=1, dtype=kind, **place) as file:
        file.write(array, 1)
    return path


with rasterio.open(write(values, "float32")) as file:
    read = file.read(1, out_dtype="uint8")
warped = np.zeros((1, 5), np.uint8)
reproject(values, warped, src_transform=place["transform"], dst_transform=place["transform"], src_crs=place["crs"], dst_crs=place["crs"])
with rasterio.open(write(values, "uint8")) as file:
    written = file.read(1)
with rasterio.open(write(np.array([[0, 255, 256, 65535]], np.uint16), "uint8")) as file:
    low_bytes = file.read(1)
print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
changed = False
for name, array, seen in (
    ("read as uint8", read, [0, 2, 255, 255, 255]),
    ("reproject to uint8", warped, [0, 2, 255, 255, 255]),
    ("written to uint8, expected the same", written, [255, 1, 255, 0, 44]),
    ("0, 255, 256, 65535 of uint16 written to uint8", low_bytes, [0, 255, 0, 255]),
):
    changed |= array.ravel().tolist() != seen
    print(f"{name}: {array.ravel().tolist()}")
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
