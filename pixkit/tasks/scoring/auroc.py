"""How well a score separates anomalies from images that a model knows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixkit.errors import UsageError


def auroc(known: ArrayLike, anomalies: ArrayLike) -> float:
    """The area under the receiver operating characteristic: P(s(anomaly) > s(known)) + P(they are equal) / 2.

    It is the rank statistic of Mann and Whitney, U / (n m), with average ranks for ties: 1 if every anomaly scores
    higher, 1/2 for scores without information.

    Args:
        known: scores of known images, larger for less likely ones.
        anomalies: scores of the others.

    Raises:
        UsageError: if there are none, or one is not a number.
    """
    below, above = _numbers(known, "known"), _numbers(anomalies, "anomalies")
    ordered = np.sort(below)
    lower, upper = (np.searchsorted(ordered, above, side=side).astype(np.int64) for side in ("left", "right"))
    return float((lower + upper).sum() / (2 * len(below) * len(above)))


def _numbers(values: ArrayLike, where: str) -> NDArray[np.float64]:
    found = np.asarray(values, np.float64).ravel()
    if not len(found) or np.isnan(found).any():
        raise UsageError("scores are numbers", where=where, found="none" if not len(found) else "NaN")
    return found
