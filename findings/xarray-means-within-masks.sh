#!/usr/bin/env bash
# The mean of a byte image within a boolean mask is below 1 by xarray: weighted() adds in the smallest type that holds data and weights.
#
# Expected: image.weighted(mask).mean() is the mean of the pixels where the mask is true, as the documentation has it for weights of any kind; mean, sum and std of the same bytes without weights are right.
# Seen with xarray 2026.9.0 (numpy 2.4.6): products and sums are taken by einsum in the common type of data and weights. For uint8 with a mask of bool or uint8 that is uint8: sums are modulo 256, the mean
# of 784 random bytes is 0.12 with bool weights and 5.7 with uint8 ones, whose own sum is taken modulo 256 as well, and the standard deviation is above the range. uint16 goes the same way. Weights of int64 or
# floats are right. integrate of bytes (98,000 becomes 49,000) and DataArray.dot wrap, too. Nothing is said. image.astype(float), or where(mask).mean().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 pandas==3.1.1 xarray==2026.9.0
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import xarray as xr

levels = np.random.default_rng(0).integers(0, 256, 784, dtype=np.uint8)
image = xr.DataArray(levels, dims="pixel", coords={"pixel": np.arange(784)})
mask = xr.DataArray(np.arange(784) % 2 == 1, dims="pixel")
inside = levels[1::2]
seen = {
    "mean without weights": (image.mean(), levels.mean(), True),
    "where(mask).mean()": (image.where(mask).mean(), inside.mean(), True),
    "weighted(bool mask).mean()": (image.weighted(mask).mean(), inside.mean(), False),
    "weighted(uint8 mask).mean()": (image.weighted(mask.astype("u1")).mean(), inside.mean(), False),
    "weighted(bool mask).std()": (image.weighted(mask).std(), inside.std(), False),
    "weighted(int64 mask).mean()": (image.weighted(mask.astype("i8")).mean(), inside.mean(), True),
    "weighted(float mask).mean()": (image.weighted(mask.astype(float)).mean(), inside.mean(), True),
    "integrate": (image.integrate("pixel"), np.trapezoid(levels.astype(float)), False),
}
print("xarray", xr.__version__)
changed = False
for name, (given, expected, as_seen) in seen.items():
    right = bool(np.isclose(float(given), float(expected)))
    changed |= right != as_seen
    print(f"{name}: {float(given):.6g}{'' if right else f', expected {float(expected):.6g}'}")
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
