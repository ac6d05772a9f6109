#!/usr/bin/env bash
# Statistics of bytes in seven libraries: 3 - 5 is 254, and a variance is negative, as some of their functions compute in the data's own type.
#
# Expected: a statistic of uint8 is that of the same numbers as floats, or uint8 is refused. Most functions of these libraries convert first.
# Seen on x86-64 with numpy 2.4.6, without an error or a warning; the table at the end has figures, and for each library a function that is right:
#   - scikit-learn 1.9.1: max_error, median_absolute_error, auc, img_to_graph, EmpiricalCovariance(assume_centered=True); scores of GaussianMixture,
#     whose fit converts: "full" keeps squared distances in the data's type, so that int64 loses fractions, and "diag" squares the data in it.
#   - scipy 1.17.1: euclidean, minkowski, cityblock, chebyshev and cosine of two vectors (spatial.distance); ttest_rel, tmean and kstat (stats);
#     wiener, filtfilt, sosfiltfilt and decimate (signal).
#   - pandas 3.1.1: diff of unsigned columns, whose result is float64. polars 2.1.0: sum_horizontal, mean_horizontal and dot, where Series.sum is
#     documented to add small integers as Int64. xarray 2026.9.0: weighted(mask) of a mask of bool, integrate and dot.
#   - scikit-image 0.26.0: manders_overlap_coeff exceeds 1. mahotas 1.4.19: labeled_sum.
# Images, counts and ratings are bytes when they come from a file. Convert with astype(float) first.
# torchmetrics-errors-of-bytes.sh has the same for metrics of torch tensors.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 \
    pandas==3.1.1 polars==2.1.0 xarray==2026.9.0 scikit-image==0.26.0 mahotas==1.4.19
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import mahotas
import numpy as np
import pandas as pd
import polars as pl
import xarray as xr
from scipy import signal, stats
from scipy.spatial import distance
from skimage.measure import manders_overlap_coeff, pearson_corr_coeff
from sklearn import metrics
from sklearn.covariance import EmpiricalCovariance
from sklearn.feature_extraction.image import img_to_graph
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

random = np.random.default_rng(0)
image, other = random.integers(0, 255, (2, 40, 48), dtype=np.uint8)
first, second, brighter = image[0], image[1], image[0] + 1
ramp = np.clip(random.normal(np.linspace(40, 215, 64)[None].repeat(64, 0), 10), 0, 255).round().astype(np.uint8)
edge, heights, falling = np.array([[3, 10]]), np.array([200, 200, 100, 250, 250]), np.array([5, 3])
u, v = np.array([10, 200, 3]), np.array([20, 10, 90])
grey = np.clip(random.normal(120, 4, (500, 2)), 0, 255).round()
mode, white = np.array([[120, 121]]), np.array([[255, 255]])
butter, odd, region = signal.butter(2, 0.3), np.arange(48) % 2 == 1, np.ones((40, 48), np.int32)


def mixture(kind):
    return GaussianMixture(2, covariance_type=kind, random_state=0).fit(grey)


def table(array):
    return pl.DataFrame(array, schema=[f"pixel{i}" for i in range(array.shape[1])])


def pixels(array):
    return xr.DataArray(array, dims="pixel", coords={"pixel": np.arange(len(array))})


U1, U2, I8 = "uint8", "uint16", "int64"
WAYS = [  # library, function, its value for the data that x converts, integer type, value seen for floats and for that type
    ("scikit-learn", "max_error, one level brighter", lambda x: metrics.max_error(x(first), x(brighter)), U1, 1, 255),
    ("scikit-learn", "median_absolute_error, one level darker", lambda x: metrics.median_absolute_error(x(brighter), x(first)), U1, 1, 255),
    ("scikit-learn", "mean_absolute_error, one level darker", lambda x: metrics.mean_absolute_error(x(brighter), x(first)), U1, 1, 1),
    ("scikit-learn", "auc", lambda x: metrics.auc(x(np.arange(5)), x(heights)), U1, 775, 263),
    ("scikit-learn", "img_to_graph, edge of 3 and 10", lambda x: img_to_graph(x(edge)).toarray()[0, 1], U1, 7, 249),
    ("scikit-learn", "EmpiricalCovariance(assume_centered=True)", lambda x: EmpiricalCovariance(assume_centered=True).fit(x(image)).covariance_[0, 0], U1, 19826, 4.75),
    ("scikit-learn", "EmpiricalCovariance()", lambda x: EmpiricalCovariance().fit(x(image)).covariance_[0, 0], U1, 4941.6, 4941.6),
    ("scikit-learn", "GaussianMixture, full, nats of white", lambda x: mixture("full").score_samples(x(white))[0], U1, -1914.6, -11.579),
    ("scikit-learn", "GaussianMixture, full, bic", lambda x: mixture("full").bic(x(grey)), I8, 5623, 5390.6),
    ("scikit-learn", "GaussianMixture, diag, nats of the mode", lambda x: mixture("diag").score_samples(x(mode))[0], U1, -4.6203, 1109.2),
    ("scikit-learn", "KernelDensity, nats of the mode", lambda x: KernelDensity(bandwidth=20).fit(grey).score_samples(x(mode))[0], U1, -7.868, -7.868),
    ("scipy", "distance.euclidean", lambda x: distance.euclidean(x(u), x(v)), U1, 209.21, 353.8),
    ("scipy", "distance.minkowski", lambda x: distance.minkowski(x(u), x(v), 3), U1, 195.9, 298.41),
    ("scipy", "distance.cityblock", lambda x: distance.cityblock(x(u), x(v)), U1, 287, 605),
    ("scipy", "distance.chebyshev, one level brighter", lambda x: distance.chebyshev(x(first), x(brighter)), U1, 1, 255),
    ("scipy", "distance.cosine", lambda x: distance.cosine(x(u), x(v)), U1, 0.86701, 0),
    ("scipy", "distance.sqeuclidean", lambda x: distance.sqeuclidean(x(u), x(v)), U1, 43769, 43769),
    ("scipy", "distance.cdist, euclidean", lambda x: distance.cdist(x(u[None]), x(v[None]))[0, 0], U1, 209.21, 209.21),
    ("scipy", "stats.ttest_rel, t", lambda x: stats.ttest_rel(x(first), x(second)).statistic, U1, -1.6772, 13.109),
    ("scipy", "stats.ttest_rel, p", lambda x: stats.ttest_rel(x(first), x(second)).pvalue, U1, 0.10014, 2.5972e-17),
    ("scipy", "stats.ttest_ind, t", lambda x: stats.ttest_ind(x(first), x(second)).statistic, U1, -1.6622, -1.6622),
    ("scipy", "stats.tmean", lambda x: stats.tmean(x(first)), U1, 122.54, 5.2083),
    ("scipy", "stats.trim_mean", lambda x: stats.trim_mean(x(first), 0.1), U1, 122.22, 122.22),
    ("scipy", "stats.kstat(x, 2), a variance", lambda x: stats.kstat(x(first), 2), U1, 6002.9, -15240),
    ("scipy", "stats.tvar", lambda x: stats.tvar(x(first)), U1, 6002.9, 6002.9),
    ("scipy", "signal.wiener, lowest level", lambda x: signal.wiener(x(ramp), 5).min(), U1, 15.16, -3498.5),
    ("scipy", "signal.filtfilt, first value", lambda x: signal.filtfilt(*butter, x(first))[0], U1, 94.001, 120.86),
    ("scipy", "signal.sosfiltfilt, first value", lambda x: signal.sosfiltfilt(signal.tf2sos(*butter), x(first))[0], U1, 94.001, 120.86),
    ("scipy", "signal.decimate, first value", lambda x: signal.decimate(x(first), 2)[0], U1, 93.056, 75.901),
    ("scipy", "signal.savgol_filter, first value", lambda x: signal.savgol_filter(x(first), 5, 2)[0], U1, 86.686, 86.686),
    ("pandas", "Series.diff of 5, 3", lambda x: pd.Series(x(falling)).diff()[1], U1, -2, 254),
    ("pandas", "Series.diff of 5, 3", lambda x: pd.Series(x(falling)).diff()[1], U2, -2, 65534),
    ("pandas", "DataFrame.diff of 5, 3", lambda x: pd.DataFrame({"level": x(falling)}).diff()["level"][1], U1, -2, 254),
    ("pandas", "groupby().diff() of 5, 3", lambda x: pd.Series(x(falling)).groupby([0, 0]).diff()[1], U1, -2, -2),
    ("polars", "sum_horizontal", lambda x: table(x(image)).sum_horizontal()[0], U1, 5882, 250),
    ("polars", "mean_horizontal", lambda x: table(x(image)).mean_horizontal()[0], U1, 122.54, 5.2083),
    ("polars", "mean of a column", lambda x: table(x(image)).mean()[0, 0], U1, 122, 122),
    ("polars", "Series.dot with itself", lambda x: pl.Series(x(first)).dot(pl.Series(x(first))), U1, 1002900, 4528),
    ("xarray", "weighted(mask).mean()", lambda x: pixels(x(first)).weighted(pixels(odd)).mean(), U1, 124.08, 6.75),
    ("xarray", "weighted(mask).std()", lambda x: pixels(x(first)).weighted(pixels(odd)).std(), U1, 80.185, 142.12),
    ("xarray", "where(mask).mean()", lambda x: pixels(x(first)).where(pixels(odd)).mean(), U1, 124.08, 124.08),
    ("xarray", "integrate", lambda x: pixels(x(first)).integrate("pixel"), U1, 5719, 3159),
    ("xarray", "dot with itself", lambda x: pixels(x(first)).dot(pixels(x(first))), U1, 1002900, 176),
    ("scikit-image", "manders_overlap_coeff, at most 1", lambda x: manders_overlap_coeff(x(image), x(other)), U1, 0.74369, 1.2195),
    ("scikit-image", "manders_overlap_coeff of 12 bits", lambda x: manders_overlap_coeff(x(image * 16.0), x(other * 16.0)), U2, 0.74369, 1.2195),
    ("scikit-image", "pearson_corr_coeff", lambda x: pearson_corr_coeff(x(image), x(other))[0], U1, 0.0069563, 0.0069563),
    ("mahotas", "labeled.labeled_sum", lambda x: mahotas.labeled.labeled_sum(x(image), region)[1], U1, 240240, 114),
    ("mahotas", "mean_filter, a pixel", lambda x: mahotas.mean_filter(x(image), np.ones((3, 3)))[5, 5], U1, 120.56, 120.56),
]


def value(way, kind):
    return float(way(lambda array: array.astype(kind)))


changed = False
for library, name, way, kind, floats_before, before in WAYS:
    floats, found = value(way, "float64"), value(way, kind)
    same = np.allclose([floats, found], [floats_before, before], rtol=1e-3, atol=1e-12)
    changed |= not same
    verdict = "right" if np.isclose(floats, found, rtol=1e-4) else "WRONG"
    print(("as before: " if same else "CHANGED:   ") + f"{library}, {name}: of floats {floats:.5g}, of {kind} {found:.5g} {verdict}")
sys.exit(changed)
PYTHON
# The output seen:
# as before: scikit-learn, max_error, one level brighter: of floats 1, of uint8 255 WRONG
# as before: scikit-learn, median_absolute_error, one level darker: of floats 1, of uint8 255 WRONG
# as before: scikit-learn, mean_absolute_error, one level darker: of floats 1, of uint8 1 right
# as before: scikit-learn, auc: of floats 775, of uint8 263 WRONG
# as before: scikit-learn, img_to_graph, edge of 3 and 10: of floats 7, of uint8 249 WRONG
# as before: scikit-learn, EmpiricalCovariance(assume_centered=True): of floats 19826, of uint8 4.75 WRONG
# as before: scikit-learn, EmpiricalCovariance(): of floats 4941.6, of uint8 4941.6 right
# as before: scikit-learn, GaussianMixture, full, nats of white: of floats -1914.6, of uint8 -11.579 WRONG
# as before: scikit-learn, GaussianMixture, full, bic: of floats 5623, of int64 5390.6 WRONG
# as before: scikit-learn, GaussianMixture, diag, nats of the mode: of floats -4.6203, of uint8 1109.2 WRONG
# as before: scikit-learn, KernelDensity, nats of the mode: of floats -7.868, of uint8 -7.868 right
# as before: scipy, distance.euclidean: of floats 209.21, of uint8 353.8 WRONG
# as before: scipy, distance.minkowski: of floats 195.9, of uint8 298.41 WRONG
# as before: scipy, distance.cityblock: of floats 287, of uint8 605 WRONG
# as before: scipy, distance.chebyshev, one level brighter: of floats 1, of uint8 255 WRONG
# as before: scipy, distance.cosine: of floats 0.86701, of uint8 0 WRONG
# as before: scipy, distance.sqeuclidean: of floats 43769, of uint8 43769 right
# as before: scipy, distance.cdist, euclidean: of floats 209.21, of uint8 209.21 right
# as before: scipy, stats.ttest_rel, t: of floats -1.6772, of uint8 13.109 WRONG
# as before: scipy, stats.ttest_rel, p: of floats 0.10014, of uint8 2.5972e-17 WRONG
# as before: scipy, stats.ttest_ind, t: of floats -1.6622, of uint8 -1.6622 right
# as before: scipy, stats.tmean: of floats 122.54, of uint8 5.2083 WRONG
# as before: scipy, stats.trim_mean: of floats 122.22, of uint8 122.22 right
# as before: scipy, stats.kstat(x, 2), a variance: of floats 6002.9, of uint8 -15240 WRONG
# as before: scipy, stats.tvar: of floats 6002.9, of uint8 6002.9 right
# as before: scipy, signal.wiener, lowest level: of floats 15.16, of uint8 -3498.5 WRONG
# as before: scipy, signal.filtfilt, first value: of floats 94.001, of uint8 120.86 WRONG
# as before: scipy, signal.sosfiltfilt, first value: of floats 94.001, of uint8 120.86 WRONG
# as before: scipy, signal.decimate, first value: of floats 93.056, of uint8 75.901 WRONG
# as before: scipy, signal.savgol_filter, first value: of floats 86.686, of uint8 86.686 right
# as before: pandas, Series.diff of 5, 3: of floats -2, of uint8 254 WRONG
# as before: pandas, Series.diff of 5, 3: of floats -2, of uint16 65534 WRONG
# as before: pandas, DataFrame.diff of 5, 3: of floats -2, of uint8 254 WRONG
# as before: pandas, groupby().diff() of 5, 3: of floats -2, of uint8 -2 right
# as before: polars, sum_horizontal: of floats 5882, of uint8 250 WRONG
# as before: polars, mean_horizontal: of floats 122.54, of uint8 5.2083 WRONG
# as before: polars, mean of a column: of floats 122, of uint8 122 right
# as before: polars, Series.dot with itself: of floats 1.0029e+06, of uint8 4528 WRONG
# as before: xarray, weighted(mask).mean(): of floats 124.08, of uint8 6.75 WRONG
# as before: xarray, weighted(mask).std(): of floats 80.185, of uint8 142.12 WRONG
# as before: xarray, where(mask).mean(): of floats 124.08, of uint8 124.08 right
# as before: xarray, integrate: of floats 5719, of uint8 3159 WRONG
# as before: xarray, dot with itself: of floats 1.0029e+06, of uint8 176 WRONG
# as before: scikit-image, manders_overlap_coeff, at most 1: of floats 0.74369, of uint8 1.2195 WRONG
# as before: scikit-image, manders_overlap_coeff of 12 bits: of floats 0.74369, of uint16 1.2195 WRONG
# as before: scikit-image, pearson_corr_coeff: of floats 0.0069563, of uint8 0.0069563 right
# as before: mahotas, labeled.labeled_sum: of floats 2.4024e+05, of uint8 114 WRONG
# as before: mahotas, mean_filter, a pixel: of floats 120.56, of uint8 120.56 right
