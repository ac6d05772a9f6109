#!/usr/bin/env bash
# The distance of two images of bytes is 354 by euclidean and 209 by cdist: scipy's distances of two vectors are taken in 8 bits, all but some.
#
# Expected: scipy.spatial.distance.euclidean(u, v) is cdist([u], [v], "euclidean"), for bytes too, as it is for sqeuclidean, whose square root it is.
# Seen with scipy 1.17.1: euclidean, minkowski, cityblock, chebyshev, seuclidean and mahalanobis of uint8 subtract in uint8, so that -1 is 255; an image one level darker than another is 255 levels away by chebyshev.
# cosine multiplies and adds in 8 bits: two vectors that have little in common are 0 apart. sqeuclidean, braycurtis, canberra and correlation convert, and so do cdist and pdist of all of them.
# Nearest neighbours found with a function (a loop, or a callable handed to another library) are not those that cdist finds. Nothing is said. astype(float) first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import scipy
from scipy.spatial import distance

u, v = np.array([10, 200, 3], np.uint8), np.array([20, 10, 90], np.uint8)
wrong_as_seen = {"euclidean", "minkowski", "cityblock", "chebyshev", "cosine"}
print("scipy", scipy.__version__)
changed = False
for name in ("euclidean", "minkowski", "cityblock", "chebyshev", "cosine", "sqeuclidean", "braycurtis", "canberra", "correlation"):
    function = getattr(distance, name)
    given, floats, many = function(u, v), function(u.astype(float), v.astype(float)), distance.cdist([u], [v], name)[0, 0]
    right = bool(np.isclose(given, floats))
    changed |= right == (name in wrong_as_seen) or not np.isclose(floats, many)
    print(f"{name}: of bytes {given:.4g}, of floats {floats:.4g}, cdist of bytes {many:.4g}{'' if right else '  <- expected all the same'}")
images = np.random.default_rng(0).integers(0, 256, (200, 64), dtype=np.uint8)
looped = [[distance.euclidean(a, b) for b in images[100:]] for a in images[:100]]
other = np.mean(np.argmin(looped, 1) != distance.cdist(images[:100], images[100:]).argmin(1))
print(f"of 100 images {other:.0%} have another nearest neighbour among 100 by euclidean than by cdist")
changed |= other < 0.5
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
