#!/usr/bin/env bash
# The S curve of a volume is no curve: in three dimensions it jumps through the whole depth at every new row.
#
# Expected: Ordering("s_curve", ...) visits neighbour after neighbour, as in two dimensions, where each row goes back the way the last one
# came; that is what one takes it for instead of a raster, as the last codes are then near in space.
# Seen with monai 1.6.1: in two dimensions every step is to a neighbour. In three dimensions the direction along the depth
# goes by whether the column's number is even, though columns are taken backwards in every other row: the last
# column of a row is taken in the same direction twice, once at the row's end and once at the next row's beginning, and between the two the
# path jumps by the depth less one. So for each shape tried, even or odd.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 monai==1.6.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
from monai.utils.ordering import Ordering

failures = []


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


def jumps(*shape):
    """Lengths of all steps to something other than a neighbour."""
    order = Ordering("s_curve", len(shape), (1, *shape)).get_sequence_ordering()
    places = np.stack(np.unravel_index(order, shape), -1)
    steps = np.abs(np.diff(places, axis=0)).sum(-1)
    return [int(step) for step in steps if step != 1]


expect("2D, 4x5", jumps(4, 5), [])
expect("2D, 5x4", jumps(5, 4), [])
expect("3D, 3x4x5", jumps(3, 4, 5), [5, 5])
expect("3D, 3x3x5", jumps(3, 3, 5), [5, 5])
expect("3D, 4x4x8", jumps(4, 4, 8), [8, 8, 8])
expect("3D, 8x8x8", jumps(8, 8, 8), [8] * 7)
sys.exit(bool(failures))
PYTHON
# The output seen:
# 2D, 4x5: []
# 2D, 5x4: []
# 3D, 3x4x5: [5, 5]
# 3D, 3x3x5: [5, 5]
# 3D, 4x4x8: [8, 8, 8]
# 3D, 8x8x8: [8, 8, 8, 8, 8, 8, 8]
