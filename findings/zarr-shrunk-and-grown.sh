#!/usr/bin/env bash
# A zarr array that is made smaller and larger again has some of its old values back, where h5py has the fill value.
#
# Expected: resize drops what it cuts off; what it adds later has the array's fill value, as h5py's datasets have it after the same two calls.
# Seen with zarr 3.1.6, formats 2 and 3: resize deletes chunks that lie wholly outside the new shape; the chunk at the edge stays, and its hidden part
# shows again. Of 16 values in chunks of 6, resized to 8 and back, 12 remain; the chunks decide which ones. Histograms and sums of nats that are reset
# by resize((0,)) begin at zero; reset by a size above 0, they begin with an old run's figures. Fill what was added, or make a new array.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 zarr==3.1.6 numcodecs==0.16.6 h5py==3.16.0
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys

import h5py
import numpy as np
import zarr

values = np.arange(1, 17)
expected = [*range(1, 9), *[0] * 8]
seen = {}
for version in (2, 3):
    array = zarr.create_array(f"{sys.argv[1]}/{version}.zarr", shape=(16,), chunks=(6,), dtype="i8", fill_value=0, zarr_format=version)
    array[:] = values
    array.resize((8,))
    array.resize((16,))
    seen[f"zarr, format {version}"] = array[:].tolist()
with h5py.File(f"{sys.argv[1]}/array.h5", "w") as file:
    dataset = file.create_dataset("values", data=values, chunks=(6,), maxshape=(None,))
    dataset.resize((8,))
    dataset.resize((16,))
    seen["h5py"] = dataset[:].tolist()
print("zarr", zarr.__version__, "h5py", h5py.__version__)
for name, given in seen.items():
    print(f"{name}: {given}{'' if given == expected else f', expected {expected}'}")
old = [*range(1, 13), *[0] * 4]
changed = seen != {"zarr, format 2": old, "zarr, format 3": old, "h5py": expected}
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
