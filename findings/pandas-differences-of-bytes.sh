#!/usr/bin/env bash
# The difference 3 - 5 of bytes is 254.0 by pandas: Series.diff subtracts in 8 bits and then makes a float of it.
#
# Expected: diff has a floating type so that it can hold what the data's type cannot, the NaN at its beginning and negative differences; it is s - s.shift(), and what groupby().diff() gives.
# Seen with pandas 3.1.1 (numpy 2.4.6): Series.diff and DataFrame.diff of uint8, uint16 and uint32 wrap around (of uint32: 4294967294.0), and are of float64 afterwards, so that nothing looks wrong and
# no later test of the type can notice; diff(axis=1) of a table stays uint8. The nullable UInt8 wraps too. int8 and int16 are right: they are converted first. s - s.shift() and groupby().diff() are right
# for all of them. A column of levels, counts or codes has no falling edges; its mean difference is positive. Nothing is said. astype(float) first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 pandas==3.1.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import pandas as pd

levels = pd.Series([5, 3, 100, 10], dtype="uint8")
expected = [-2.0, 97.0, -90.0]
ways = {
    "diff of uint8": (levels.diff(), 2**8),
    "diff of uint16": (levels.astype("uint16").diff(), 2**16),
    "diff of uint32": (levels.astype("uint32").diff(), 2**32),
    "DataFrame.diff of uint8": (pd.DataFrame({"level": levels}).diff()["level"], 2**8),
    "diff of nullable UInt8": (levels.astype("UInt8").diff(), 2**8),
    "diff of int8": (levels.astype("int8").diff(), None),
    "uint8, s - s.shift()": (levels - levels.shift(), None),
    "uint8, groupby().diff()": (levels.groupby([0, 0, 0, 0]).diff(), None),
}
print("pandas", pd.__version__)
changed = False
for name, (given, wraps_at) in ways.items():
    seen = [float(each) for each in given[1:]]
    changed |= seen != ([each % wraps_at for each in expected] if wraps_at else expected)
    print(f"{name}: {seen}, of type {given.dtype}{'' if seen == expected else f'; expected {expected}'}")
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
