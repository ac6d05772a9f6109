#!/usr/bin/env bash
# IDX files read by idx2numpy cannot become torch tensors unless they hold bytes.
#
# Expected: an array read from an IDX file has the machine's byte order, and torch.from_numpy takes it.
# Seen with idx2numpy 1.2.3: it keeps the file's big-endian byte order (">i2", ">i4", ">f4", ">f8"), which numpy computes
# with, so that nothing looks wrong, and torch 2.13.0 refuses with "byte order different from the native byte order".
# Arrays of bytes pass, but cannot be written to. A loader that works on MNIST fails on feature files of the same format.
# The way out: array.astype(array.dtype.newbyteorder("=")), which also makes a copy that can be written to.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    idx2numpy==1.2.3 six==1.17.0 numpy==2.2.6 torch==2.13.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import idx2numpy
import numpy as np
import torch

warnings.simplefilter("ignore")
failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


if sys.byteorder != "little":
    print("seen on a little-endian machine only")
    sys.exit(0)
for kind in ("u1", "i2", "i4", "f4", "f8"):
    given = np.arange(6).reshape(2, 3).astype(kind)
    read = idx2numpy.convert_from_string(idx2numpy.convert_to_string(given))
    try:
        torch.from_numpy(read)
        taken = True
    except ValueError as error:
        taken = "byte order" not in str(error)
    expect(f"{kind}: read as {read.dtype.str}, torch takes it: {taken}", taken == (kind == "u1"))
    again = torch.from_numpy(read.astype(read.dtype.newbyteorder("=")))
    expect(f"{kind}: in native order it is the same array", bool((again.numpy() == given).all()))
sys.exit(bool(failures))
PYTHON
# The output seen, for each of i2, i4, f4, f8 (u1: read as |u1, torch takes it: True):
# as before: i2: read as >i2, torch takes it: False
# as before: i2: in native order it is the same array
