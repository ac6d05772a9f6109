#!/usr/bin/env bash
# The log-likelihood of an image of integers by scikit-learn's GaussianMixture is another than that of the same numbers as floats; of bytes, outliers score like inliers, or have +4382 nats.
#
# Expected: score_samples, score, bic and aic depend on the numbers, not on their type: fit converts integers to floats, and KernelDensity, PCA.score_samples and scipy's multivariate_normal.logpdf give the same for both.
# Seen with scikit-learn 1.9.1: fit is right, the scores are not. Squared distances are written to an array of the type of the data. With covariance_type "full" and "tied" they lose their fraction (0.2 to 0.5 nats of two dimensions,
# bic 5405 for 5636); of uint8 they are taken modulo 256 as well: a white pixel pair with -1569 nats has -22. "diag" and "spherical" square the data in their own type: wrong by thousands of nats for uint8, also at the
# mode, and for int16 of levels above 181. Anomalies rank among the normal, and the number of components chosen by bic on integers is chosen by other figures. Nothing is said. BayesianGaussianMixture, the same.
# Levels are integers when they come from a file or a sampler: astype(float) before score_samples.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import sklearn
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.neighbors import KernelDensity

levels = np.clip(np.random.default_rng(0).normal(120, 4, (500, 2)), 0, 255).round()
asked = np.array([[120, 121], [130, 110], [255, 255]])
print("scikit-learn", sklearn.__version__)
changed = False
models = {f"GaussianMixture, {kind}": GaussianMixture(2, covariance_type=kind, random_state=0) for kind in ("full", "tied", "diag", "spherical")}
models["BayesianGaussianMixture, full"] = BayesianGaussianMixture(n_components=2, random_state=0)
models["KernelDensity"] = KernelDensity(bandwidth=20)
for name, model in models.items():
    model.fit(levels)
    scores = {kind: model.score_samples(asked.astype(kind)) for kind in ("float64", "int64", "uint8")}
    for kind, given in scores.items():
        print(f"{name}, {kind}: nats of {asked.tolist()} are {given.round(2).tolist()}{', expected' if kind == 'float64' else ''}")
    same = {kind: bool(np.allclose(given, scores["float64"], atol=1e-3)) for kind, given in scores.items()}
    seen = {"float64": True, "int64": "diag" in name or "spherical" in name or "Kernel" in name, "uint8": "Kernel" in name}
    changed |= same != seen
fitted = GaussianMixture(2, random_state=0).fit(levels.astype(int))
bics = fitted.bic(levels), fitted.bic(levels.astype(int))
print(f"bic of floats {bics[0]:.1f}, of the same integers {bics[1]:.1f}, expected the same")
changed |= abs(bics[0] - bics[1]) < 100
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
