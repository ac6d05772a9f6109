#!/usr/bin/env bash
# A paired t-test of bytes finds a difference at t = 12 where there is none: some of scipy's statistics subtract or add in 8 bits, most do not.
#
# Expected: scipy.stats of bytes are those of their numbers, as mean, variance, skewness, quantiles, rank tests, ttest_ind and the correlations are.
# Seen with scipy 1.17.1: ttest_rel subtracts its two samples in uint8: t is 12 for -0.9, and p below 10^-15 for 0.37. tmean adds in uint8
# (0.9 for 123.5), where tvar and trim_mean are right. kstat(x, 2), which is the variance, is negative. Nothing is said. Levels, counts of 8 bits and ratings
# from 1 to 5 are stored as bytes. astype(float) first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import scipy
from scipy import stats

random = np.random.default_rng(0)
first, second = (random.integers(0, 256, (40, 48), dtype=np.uint8)[0] for _ in range(2))
ways = {
    "ttest_rel, t": (lambda x: stats.ttest_rel(x(first), x(second)).statistic, False),
    "ttest_rel, p": (lambda x: stats.ttest_rel(x(first), x(second)).pvalue, False),
    "tmean": (lambda x: stats.tmean(x(first)), False),
    "kstat(x, 2)": (lambda x: stats.kstat(x(first), 2), False),
    "ttest_ind, t": (lambda x: stats.ttest_ind(x(first), x(second)).statistic, True),
    "wilcoxon": (lambda x: stats.wilcoxon(x(first), x(second)).statistic, True),
    "tvar": (lambda x: stats.tvar(x(first)), True),
    "trim_mean": (lambda x: stats.trim_mean(x(first), 0.1), True),
    "skew": (lambda x: stats.skew(x(first)), True),
    "pearsonr": (lambda x: stats.pearsonr(x(first), x(second)).statistic, True),
}
print("scipy", scipy.__version__)
changed = False
for name, (way, as_seen) in ways.items():
    given, expected = float(way(lambda array: array)), float(way(lambda array: array.astype(float)))
    right = bool(np.isclose(given, expected))
    changed |= right != as_seen
    print(f"{name}: {given:.4g}{'' if right else f', expected {expected:.4g}'}")
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
