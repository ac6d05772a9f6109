#!/usr/bin/env bash
# sewar's universal quality index of a picture and its negative is 0.5, of two unrelated noises 0.74: it has a mean where its formula has a sum.
#
# Expected: uqi is the index of Wang and Bovik (2002): within each window correlation times likeness of means times likeness of contrasts, so 1 for equal
# images, about 0 for images that have nothing in common, and close to -1 for a picture of strong contrast and its negative.
# Seen with sewar 0.4.10: the formula is the authors', with sums over a window of N pixels, N sum(xy) - sum(x) sum(y), and the sums are taken by scipy's uniform_filter, which gives
# means. N mean(xy) - mean(x) mean(y) is no covariance: it is nearly 64 mean(xy), and the index is nearly that of the means. A ramp with noise of deviation 20 has 0.98, where the
# definition gives 0.05. Figures by sewar cannot be compared with others', and an index that saturates near 1 makes every completion and every codec look good.
# mse, psnr and ssim of sewar are right, also for bytes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 sewar==0.4.10
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sewar.full_ref import mse, ssim, uqi


def defined(x, y, size=8):
    """Wang and Bovik (2002), equation 1, in every window of 8 x 8 pixels, and the mean over them."""
    x, y = (sliding_window_view(each.astype(float), (size, size)) for each in (x, y))
    mean_x, mean_y = x.mean((2, 3)), y.mean((2, 3))
    covariance = (x * y).mean((2, 3)) - mean_x * mean_y
    index = 4 * covariance * mean_x * mean_y / ((x.var((2, 3)) + y.var((2, 3))) * (mean_x**2 + mean_y**2))
    return index.mean()


rng = np.random.default_rng(0)
noise, other = rng.integers(0, 256, (2, 64, 64), dtype=np.uint8)
ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8) + 60
noisy = np.clip(ramp + rng.normal(0, 20, ramp.shape), 0, 255).astype(np.uint8)
as_before = True
for name, x, y, sewar, true in (
    ("equal", noise, noise, 1.0, 1.0),
    ("unrelated noises", noise, other, 0.74, 0.01),
    ("noise and its negative", noise, 255 - noise, 0.48, -0.99),
    ("a ramp and the same with noise", ramp, noisy, 0.98, 0.05),
):
    found, wanted = uqi(x, y), defined(x, y)
    print(f"{name}: uqi {found:.2f}, by definition {wanted:.2f}; ssim {ssim(x, y)[0]:.2f}")
    as_before &= abs(found - sewar) < 0.02 and abs(wanted - true) < 0.02
as_before &= bool(np.isclose(mse(noise, other), np.mean((noise.astype(float) - other) ** 2)))
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# equal: uqi 1.00, by definition 1.00; ssim 1.00
# unrelated noises: uqi 0.74, by definition 0.01; ssim 0.02
# noise and its negative: uqi 0.48, by definition -0.99; ssim -0.98
# a ramp and the same with noise: uqi 0.98, by definition 0.05; ssim 0.20
# as before
