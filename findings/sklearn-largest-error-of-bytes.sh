#!/usr/bin/env bash
# Two images one level apart have a mean absolute error of 1 and a largest error of 255 by scikit-learn: two of its metrics subtract in 8 bits.
#
# Expected: the metrics of sklearn.metrics agree about what a difference is: the mean absolute error of uint8 images is that of their numbers, and the largest and the median error are as well.
# Seen with scikit-learn 1.9.1: mean_absolute_error, mean_squared_error, r2_score and their kin convert to floats; max_error and median_absolute_error subtract in the type of the data, the one
# y_true - y_pred and the other y_pred - y_true, so that -1 counts as 255: a prediction one level too bright has a largest error of 255 and a median one of 1, one too dark the other way round. Nothing is said.
# Images are bytes when they come from a file: astype(int) first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import sklearn
from sklearn import metrics

image = np.random.default_rng(0).integers(0, 255, 1000, dtype=np.uint8)
brighter = image + np.uint8(1)
names = ("mean_absolute_error", "mean_squared_error", "root_mean_squared_error", "max_error", "median_absolute_error")
wrong_as_seen = {("max_error", "brighter"), ("median_absolute_error", "darker")}
print("scikit-learn", sklearn.__version__)
changed = False
for name in names:
    for way, predicted, true in (("brighter", brighter, image), ("darker", image, brighter)):
        given = getattr(metrics, name)(true, predicted)
        changed |= (given != 1) != ((name, way) in wrong_as_seen)
        print(f"{name} of a prediction that is one level {way} throughout: {given:g}, expected 1")
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
