#!/usr/bin/env bash
# torch's images turned to NHWC go into pyarrow's tensor column and come out as neither NHWC nor NCHW.
#
# Expected: FixedShapeTensorArray.from_numpy_ndarray(images).to_numpy_ndarray() gives the images back, whatever their
# order in memory: it takes such views, and notes their order as a permutation.
# Seen with pyarrow 26.0.1: the permutation that is written is the inverse of the one that Arrow's specification
# describes ([2, 0, 1] instead of [1, 2, 0] for NHWC of NCHW). A swap of two axes is its own inverse and comes back.
# NCHW turned to NHWC does not: 32 x 32 x 3 comes back as 32 x 3 x 32, with other pixels, and where three sides are
# equal not even the shape tells. NHWC turned to NCHW is written, and cannot be read ("strides must not involve buffer
# over run"). A Parquet file keeps the wrong permutation for every reader. numpy.ascontiguousarray first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 pyarrow==26.0.1
"$folder/venv/bin/python" - "$folder/images.parquet" <<'PYTHON'
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def given_back(images):
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(images)
    pq.write_table(pa.table({"image": column}), sys.argv[1])
    read = pq.read_table(sys.argv[1])["image"].combine_chunks()
    for each in (column, read):
        try:
            again = each.to_numpy_ndarray()
            same = np.array_equal(again, images)
            yield "as given" if same else f"{again.shape}, {np.sum(again.ravel() != images.ravel()) / images.size:.0%} others"
        except pa.ArrowInvalid as error:
            yield str(error)


nchw, nhwc = np.arange(2 * 3 * 32 * 32).reshape(2, 3, 32, 32), np.arange(2 * 32 * 32 * 3).reshape(2, 32, 32, 3)
cubes = np.arange(2 * 27).reshape(2, 3, 3, 3)
given = {
    "NCHW": nchw,
    "NCHW, height and width swapped": nchw.transpose(0, 1, 3, 2),
    "NHWC of NCHW": nchw.transpose(0, 2, 3, 1),
    "NHWC of NCHW, three equal sides": cubes.transpose(0, 2, 3, 1),
    "NCHW of NHWC": nhwc.transpose(0, 3, 1, 2),
    "NHWC of NCHW, made contiguous": np.ascontiguousarray(nchw.transpose(0, 2, 3, 1)),
}
found = []
for name, images in given.items():
    column, parquet = given_back(images)
    found.append(column == parquet == "as given")
    print(f"{name} {images.shape}: column {column}; Parquet {parquet}")
print("as before" if found == [True, True, False, False, False, True] else "CHANGED")
sys.exit(found != [True, True, False, False, False, True])
PYTHON
# The output seen:
# NCHW (2, 3, 32, 32): column as given; Parquet as given
# NCHW, height and width swapped (2, 3, 32, 32): column as given; Parquet as given
# NHWC of NCHW (2, 32, 32, 3): column (2, 32, 3, 32), 100% others; Parquet (2, 32, 3, 32), 100% others
# NHWC of NCHW, three equal sides (2, 3, 3, 3): column (2, 3, 3, 3), 89% others; Parquet (2, 3, 3, 3), 89% others
# NCHW of NHWC (2, 3, 32, 32): column strides must not involve buffer over run; Parquet strides must not involve buffer over run
# NHWC of NCHW, made contiguous (2, 32, 32, 3): column as given; Parquet as given
# as before
