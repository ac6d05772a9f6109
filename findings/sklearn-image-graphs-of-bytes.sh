#!/usr/bin/env bash
# Neighbouring pixels of levels 3 and 10 are 249 apart in scikit-learn's graph of an image of bytes, and a covariance about zero is taken modulo 256.
#
# Expected: img_to_graph weighs an edge with the absolute difference of two pixels ("Edges are weighted with the gradient values"), also if dtype=float is asked for; EmpiricalCovariance of bytes is that of their numbers with
# assume_centered=True as it is without.
# Seen with scikit-learn 1.9.1: differences of uint8 are taken in uint8 before anything is converted, so that a step down by 7 is 249 and one up is 7; a cut by spectral clustering, the use that the guide shows, follows other edges. With
# assume_centered=True the products of the covariance are taken and added in uint8: 3.2 for a mean square of 19549. auc(x, y) of bytes adds neighbours in 8 bits. Nothing is said. Distances, PCA, k-means,
# and the covariance about the mean are right. astype(float) first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import sklearn
from sklearn.covariance import EmpiricalCovariance
from sklearn.feature_extraction.image import img_to_graph
from sklearn.metrics import auc

image = np.random.default_rng(0).integers(0, 256, (60, 64), dtype=np.uint8)
corner = np.array([[5, 3], [200, 10]], np.uint8)
levels, heights = np.arange(5, dtype=np.uint8), np.array([200, 200, 100, 250, 250], np.uint8)
ways = {
    "img_to_graph, edges of 3 and 10": (lambda x: img_to_graph(x(corner)).toarray()[1, 3], False),
    "img_to_graph with dtype=float": (lambda x: img_to_graph(x(corner), dtype=float).toarray()[1, 3], False),
    "img_to_graph, edge of 5 and 3": (lambda x: img_to_graph(x(corner)).toarray()[0, 1], True),
    "EmpiricalCovariance(assume_centered=True)": (lambda x: EmpiricalCovariance(assume_centered=True).fit(x(image)).covariance_[0, 0], False),
    "EmpiricalCovariance()": (lambda x: EmpiricalCovariance().fit(x(image)).covariance_[0, 0], True),
    "auc": (lambda x: auc(x(levels), x(heights)), False),
}
print("scikit-learn", sklearn.__version__)
changed = False
for name, (way, as_seen) in ways.items():
    given, expected = float(way(lambda array: array)), float(way(lambda array: array.astype(float)))
    right = bool(np.isclose(given, expected))
    changed |= right != as_seen
    print(f"{name}: {given:.6g}{'' if right else f', expected {expected:.6g}'}")
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
