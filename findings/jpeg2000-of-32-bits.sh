#!/usr/bin/env bash
# Reversible JPEG 2000 of an int32 image is another image, from 25 bits on.
#
# Expected: what imagecodecs' jpeg2k_encode(array, reversible=True) and tifffile's compression="jpeg2000" take, among
# them int32 and uint32, comes back as it was; larger numbers than the format holds are refused.
# Seen with imagecodecs 2026.3.6 (OpenJPEG) and tifffile 2026.3.3: both take any 32-bit number and say nothing. Noise of
# 24 bits is kept, of 25 bits some pixels change, of 27 bits nearly all. A smooth label image whose labels are large
# (hashes, identifiers of instances) comes back with most of its background wrong. The docstring of jpeg2k_encode
# wonders about 26 bits; 25 are too many already. Zstandard, deflate or LZW in the same TIFF keep all 32.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 imagecodecs==2026.3.6 \
    tifffile==2026.3.3
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import imagecodecs
import numpy as np
import tifffile

found = {}
for bits in (16, 24, 25, 27, 32):
    noise = np.random.default_rng(0).integers(0, 1 << bits, (64, 64), dtype=np.uint32)
    again = imagecodecs.jpeg2k_decode(imagecodecs.jpeg2k_encode(noise, reversible=True))
    found[bits] = int((again != noise).sum())
    print(f"noise of {bits} bits: {found[bits]} of 4096 pixels change")
labels = np.zeros((32, 32), np.int32)
labels[8:16, 8:16], labels[20:, 20:] = 2_000_000_000, 1_500_000_001
for compression in ("jpeg2000", "zstd"):
    file = io.BytesIO()
    tifffile.imwrite(file, labels, compression=compression)
    file.seek(0)
    found[compression] = int((tifffile.imread(file) != labels).sum())
    print(f"a label image in a TIFF with {compression}: {found[compression]} of 1024 pixels change")
as_before = [count > 0 for count in found.values()] == [False, False, True, True, True, True, False]
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# noise of 16 bits: 0 of 4096 pixels change
# noise of 24 bits: 0 of 4096 pixels change
# noise of 25 bits: 740 of 4096 pixels change
# noise of 27 bits: 4083 of 4096 pixels change
# noise of 32 bits: 4095 of 4096 pixels change
# a label image in a TIFF with jpeg2000: 739 of 1024 pixels change
# a label image in a TIFF with zstd: 0 of 1024 pixels change
# as before
