#!/usr/bin/env bash
# The mean of a row of bytes is 0.1 by polars: mean_horizontal adds in 8 bits, where sum and mean of a column do not.
#
# Expected: sums and means of uint8 are those of their numbers, over rows as over columns: Series.sum says that small integers are added as Int64.
# Seen with polars 2.1.0: of a table with a column for each of 784 pixels, as MNIST is passed on in CSV and Parquet, sum_horizontal is the sum modulo 256, of type UInt8, and mean_horizontal
# that number divided by 784: 0.12 for a mean of 124.5. Series.dot multiplies in 8 bits and adds in 64. uint16 and int8 go the same way. sum, mean, cum_sum, rolling_sum, group_by, list.sum
# and arr.sum of the same bytes are right. The documentation of the three says nothing of it, nor does a warning. cast(pl.Int64) first, or keep an image as one column of lists.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 polars==2.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import polars as pl

images = np.random.default_rng(0).integers(0, 256, (5, 784), dtype=np.uint8)
table = pl.DataFrame(images, schema=[f"pixel{i}" for i in range(784)])
lists = pl.DataFrame({"image": images.tolist()}, schema={"image": pl.List(pl.UInt8)})
first = pl.Series(images[0])
sums, squares = images.sum(1), int((images[0].astype(int) ** 2).sum())
seen = {
    "columns' mean": (table.mean().row(0), images.mean(0), True),
    "list.sum": (lists.select(pl.col.image.list.sum()).to_series(), sums, True),
    "sum_horizontal": (table.sum_horizontal(), sums, False),
    "mean_horizontal": (table.mean_horizontal(), sums / 784, False),
    "mean_horizontal of Int64": (table.cast(pl.Int64).mean_horizontal(), sums / 784, True),
    "dot of an image with itself": ([first.dot(first)], [squares], False),
}
print("polars", pl.__version__)
changed = False
for name, (given, expected, as_seen) in seen.items():
    right = np.allclose(np.array(given, dtype=float), expected)
    changed |= right != as_seen
    print(f"{name}: {'right' if right else f'expected {expected[0]:.6g}, got {given[0]:.6g}'}")
modulo = np.array_equal(np.array(table.sum_horizontal()), sums % 256)
print("sum_horizontal is the sum modulo 256:", modulo)
changed |= not modulo
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
