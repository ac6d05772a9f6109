#!/usr/bin/env bash
# scikit-learn's KernelDensity(bandwidth="scott") has one width for nats and for bits/dim: the rule leaves out the data's spread.
#
# Expected: Scott's and Silverman's rules, as in their books and in scipy.stats.gaussian_kde: the standard deviation times n^(-1/(d+4)) (and a constant).
# A density of an image's scores is then the same in nats, bits/dim or any other unit, but for the unit's Jacobian.
# Seen with scikit-learn 1.9.1: bandwidth_ is n^(-1/(d+4)) alone, 0.289 for 500 scores of any spread, since scipy's "factor" was taken without the covariance that scipy
# multiplies it by. "silverman" is the same. For scores in nats, which differ by tens, that is a tenth of
# the width; for bits/dim, which differ by hundredths, it is 50 times the width, and 2.3 nats an image are lost. With several statistics at once, as in density-of-states scores (Morningstar et al., 2021), the one that is measured in small units has no
# say: an anomaly that is 8 deviations off in it is found no better than by chance. The documentation says that a string is "one of the estimation methods".
# Divide each statistic by its deviation first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
from scipy.stats import gaussian_kde
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KernelDensity

failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


random = np.random.default_rng(0)
known, fresh = 90 + 10 * random.normal(size=(2, 500))  # nats of images
anomalous = np.repeat([0, 1], 500)
for unit, per in (("nats", 1.0), ("bits/dim", 1 / (784 * np.log(2)))):
    ours = {rule: KernelDensity(bandwidth=rule).fit(per * known[:, None]) for rule in ("scott", "silverman")}
    theirs = gaussian_kde(per * known)
    width = theirs.factor * np.std(per * known, ddof=1)
    found = ours["scott"].score_samples(per * fresh[:, None]).mean() + np.log(per)  # of nats again
    best = theirs.logpdf(per * fresh).mean() + np.log(per)
    print(f"{unit}: width {ours['scott'].bandwidth_:.4f}, silverman {ours['silverman'].bandwidth_:.4f}, scipy {width:.4f}")
    print(f"{unit}: mean log-density {found:.2f}, scipy {best:.2f}")
    expect(f"{unit}: 500^(-1/5)", abs(ours["scott"].bandwidth_ - 500**-0.2) < 1e-12)
    expect(f"{unit}: scipy's is right", abs(best + 3.676) < 1e-2)
    expect(f"{unit}: what is lost", abs(found + {"nats": 3.771, "bits/dim": 5.978}[unit]) < 1e-2)

# Two statistics of an image: nats, and a share of pixels; anomalies differ in the second alone, by 8 deviations.
train, normal, strange = (np.stack([90 + 10 * random.normal(size=500), 0.1 + 0.005 * random.normal(size=500)], 1) for _ in range(3))
strange[:, 1] += 0.04
rows, scale = np.concatenate([normal, strange]), train.std(0)
raw = -KernelDensity(bandwidth="scott").fit(train).score_samples(rows)
scaled = -KernelDensity(bandwidth="scott").fit(train / scale).score_samples(rows / scale)
areas = roc_auc_score(anomalous, raw), roc_auc_score(anomalous, scaled), roc_auc_score(anomalous, -gaussian_kde(train.T).logpdf(rows.T))
print("area under the curve: {:.2f} as it is, {:.2f} of scaled statistics, {:.2f} by scipy".format(*areas))
expect("chance as it is, perfect otherwise", areas[0] < 0.6 and min(areas[1:]) > 0.99)
sys.exit(bool(failures))
PYTHON
# The output seen:
# nats: width 0.2885, silverman 0.3056, scipy 2.9276
# nats: mean log-density -3.77, scipy -3.68
# as before: nats: 500^(-1/5)
# as before: nats: scipy's is right
# as before: nats: what is lost
# bits/dim: width 0.2885, silverman 0.3056, scipy 0.0054
# bits/dim: mean log-density -5.98, scipy -3.68
# as before: bits/dim: 500^(-1/5)
# as before: bits/dim: scipy's is right
# as before: bits/dim: what is lost
# area under the curve: 0.52 as it is, 1.00 of scaled statistics, 1.00 by scipy
# as before: chance as it is, perfect otherwise
