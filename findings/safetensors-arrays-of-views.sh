#!/usr/bin/env bash
# Images turned to channels first, saved by safetensors.numpy, are other images of the right shape, since version 0.8.
#
# Expected: save({"images": images.transpose(0, 3, 1, 2)}) stores the array as numpy shows it, as every version to 0.7.0 did; or it is refused, as
# safetensors.torch refuses a tensor that is not contiguous ("You are trying to save a non contiguous tensor").
# Seen with safetensors 0.8.0: shape and type are those of the view, and the bytes are those that follow its first element in memory, whatever its strides. NHWC turned
# to NCHW, arrays in Fortran's order, every second column, one channel of a colour image and a row repeated by broadcast_to all come back with other
# values; a reversed view would take what lies behind the array. No error, no warning; the file is valid, and sums over all pixels of a permuted view are right.
# The docstring says "Tensors need to be contiguous and dense", as it did in 0.7.0, which copied with tobytes().
# Arrays in the other byte order are swapped, so of them contiguous ones are right. numpy.ascontiguousarray first.
# pixkit's own files are written so, with both versions.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/look.py" <<'PYTHON'
import sys

import numpy as np
import safetensors
from safetensors.numpy import load, save

nhwc = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
VIEWS = {
    "as made": nhwc,
    "big-endian": nhwc.astype(">u2"),
    "NCHW of NHWC": nhwc.transpose(0, 3, 1, 2),
    "Fortran's order": np.asfortranarray(nhwc),
    "every second column": nhwc[:, :, ::2],
    "the green channel": nhwc[..., 1],
    "a row repeated": np.broadcast_to(nhwc[:1, :1, :1], nhwc.shape),
    "NCHW, made contiguous": np.ascontiguousarray(nhwc.transpose(0, 3, 1, 2)),
}
found = []
for name, view in VIEWS.items():
    again = load(save({"images": view}))["images"]
    wrong = np.mean(again != view)
    found.append(bool(wrong))
    print(f"safetensors {safetensors.__version__}, {name} {view.shape}: {wrong:.0%} of the values are others, shape {again.shape}")
new = safetensors.__version__ != "0.7.0"
as_before = found == [False, False, new, new, new, new, new, False]
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
for version in 0.7.0 0.8.0; do
    python3 -m venv --clear "$folder/venv"
    "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "safetensors==$version" numpy==2.4.6
    "$folder/venv/bin/python" "$folder/look.py"
done
# The output seen:
# safetensors 0.7.0, as made (2, 4, 4, 3): 0% of the values are others, shape (2, 4, 4, 3)
# (0% for the seven others, too)
# as before
# safetensors 0.8.0, as made (2, 4, 4, 3): 0% of the values are others, shape (2, 4, 4, 3)
# safetensors 0.8.0, big-endian (2, 4, 4, 3): 0% of the values are others, shape (2, 4, 4, 3)
# safetensors 0.8.0, NCHW of NHWC (2, 3, 4, 4): 96% of the values are others, shape (2, 3, 4, 4)
# safetensors 0.8.0, Fortran's order (2, 4, 4, 3): 96% of the values are others, shape (2, 4, 4, 3)
# safetensors 0.8.0, every second column (2, 4, 2, 3): 94% of the values are others, shape (2, 4, 2, 3)
# safetensors 0.8.0, the green channel (2, 4, 4): 97% of the values are others, shape (2, 4, 4)
# safetensors 0.8.0, a row repeated (2, 4, 4, 3): 97% of the values are others, shape (2, 4, 4, 3)
# safetensors 0.8.0, NCHW, made contiguous (2, 3, 4, 4): 0% of the values are others, shape (2, 3, 4, 4)
# as before
