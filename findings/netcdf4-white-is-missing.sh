#!/usr/bin/env bash
# netCDF4 masks 255 in a uint8 image that has no fill value: means and normalisations leave white pixels out.
#
# Expected: a variable of bytes without _FillValue, missing_value and valid_range has no missing values. netCDF's manual says that generic tools
# "will not assume a default fill value for byte variables", since all 256 are data.
# Seen with netCDF4 1.7.5.1.post1: reading gives a masked array. It masks 255 of uint8, 65535 of uint16 and -127 of int8, which the library writes by
# default where nothing was written. The mean of an image, half black and half white, is 0; filled(0) makes white black. A variable with scale_factor
# 1/255 loses its 1.0 in the same way, and has the unscaled 255 under the mask. xarray (engine netcdf4) and h5py read all levels from the same file.
# Call set_auto_mask(False) before reading, or create the variable with fill_value=False, which keeps uint8 whole in later readings.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 netCDF4==1.7.5.1.post1 pandas==3.1.1 xarray==2026.9.0 h5py==3.16.0
"$folder/venv/bin/python" -W ignore - "$folder/image.nc" <<'PYTHON'
import sys

import h5py
import netCDF4
import numpy as np
import xarray

path = sys.argv[1]


def written(levels, scale=None, **options):
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("pixel", len(levels))
        variable = file.createVariable("image", levels.dtype, ("pixel",), **options)
        variable.set_auto_maskandscale(False)
        variable[:] = levels
        if scale:
            variable.scale_factor = scale


def read(mask=True):
    with netCDF4.Dataset(path) as file:
        file["image"].set_auto_mask(mask)
        return file["image"][:]


changed = False


def expect(what, holds):
    global changed
    changed |= not holds
    print(("as before: " if holds else "CHANGED:   ") + what)


print("netCDF4", netCDF4.__version__)
for kind, missing in (("u1", 255), ("u2", 65535), ("i1", -127)):
    levels = np.array([0, missing, 1, missing], dtype=kind)
    written(levels)
    image = read()
    expect(f"{kind}: {levels.tolist()} is read as {image.tolist()}, mean {image.mean()}, not {levels.mean()}", np.ma.getmaskarray(image).tolist() == [False, True] * 2)
    with h5py.File(path) as file, xarray.open_dataset(path) as dataset:
        attributes = "_FillValue" in file["image"].attrs
        same = np.array_equal(file["image"][:], levels) and np.array_equal(dataset["image"].values, levels)
    expect(f"{kind}: h5py and xarray read all levels: {same}; there is an attribute _FillValue: {attributes}", same and not attributes)
    expect(f"{kind}: so does set_auto_mask(False)", np.array_equal(read(mask=False), levels))
written(np.array([0, 51, 255], np.uint8), scale=1 / 255)
expect(f"scaled by 1/255: {read().tolist()}, and under the mask {read().data.tolist()}", read().mask.tolist() == [False, False, True])
written(np.array([0, 51, 255], np.uint8), fill_value=False)
expect(f"created with fill_value=False: {read().tolist()}", not np.ma.getmaskarray(read()).any())
sys.exit(bool(changed))
PYTHON
