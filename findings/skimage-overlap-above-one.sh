#!/usr/bin/env bash
# The overlap coefficient of two images of bytes is 1.2 by scikit-image, where 1 is the most: its products are taken in 8 bits.
#
# Expected: manders_overlap_coeff is between 0 and 1, as the Cauchy-Schwarz inequality has it, and the same for bytes as for the same levels as floats; pearson_corr_coeff and the metrics of skimage.metrics are.
# Seen with scikit-image 0.26.0: both images are multiplied and squared in their own type and added in 64 bits: for uint8 each product is taken modulo 256. The coefficient of two unrelated noises is 1.21 for 0.75, and
# of a picture and a darker copy of itself 1.10 for 1.00. Microscopes' images are uint8 or uint16, and uint16 wraps from 256 levels on. mahotas 1.4.19 has the same in labeled_sum: sums of bytes over a region
# are taken modulo 256. Nothing is said. astype(float) first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 mahotas==1.4.19
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import mahotas
import numpy as np
import skimage
from skimage.measure import manders_overlap_coeff, pearson_corr_coeff

random = np.random.default_rng(0)
image, other = (random.integers(0, 256, (40, 48), dtype=np.uint8) for _ in range(2))
region = np.ones(image.shape, np.int32)
ways = {
    "overlap of two noises": (lambda x: manders_overlap_coeff(x(image), x(other)), False),
    "overlap of an image and half of it": (lambda x: manders_overlap_coeff(x(image), x(image // 2)), False),
    "overlap of two noises of 16 bits": (lambda x: manders_overlap_coeff(x(image.astype(np.uint16) * 16), x(other.astype(np.uint16) * 16)), False),
    "correlation of two noises": (lambda x: pearson_corr_coeff(x(image), x(other))[0], True),
    "mahotas.labeled.labeled_sum": (lambda x: mahotas.labeled.labeled_sum(x(image), region)[1], False),
    "mahotas.mean_filter": (lambda x: mahotas.mean_filter(x(image), np.ones((3, 3)))[5, 5], True),
}
print("scikit-image", skimage.__version__, "mahotas", mahotas.__version__)
changed = False
for name, (way, as_seen) in ways.items():
    given, expected = float(way(lambda array: array)), float(way(lambda array: array.astype(float)))
    right = bool(np.isclose(given, expected, rtol=1e-3))
    changed |= right != as_seen
    print(f"{name}: {given:.6g}{'' if right else f', expected {expected:.6g}'}")
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
