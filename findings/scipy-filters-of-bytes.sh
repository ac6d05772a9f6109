#!/usr/bin/env bash
# An image of bytes that scipy's Wiener filter denoises has negative levels and new noise; filtfilt and decimate are wrong near the ends.
#
# Expected: filters that return floats take bytes for their numbers, as lfilter, savgol_filter, resample, hilbert and fftconvolve do: the result for uint8 is that for the same levels as floats.
# Seen with scipy 1.17.1: signal.wiener squares the levels and takes local means of them in uint8, and only then divides: of a noisy grey ramp it gives values outside the range of the image, and is farther from the
# clean ramp than the noisy one was; with floats it is nearer. filtfilt and sosfiltfilt, and decimate, which uses them, continue the signal beyond its ends by 2 * x[0] - x in uint8, so that the first and
# last rows or samples are tens of levels off: a zero-phase filter over the rows of a byte image has a frame. The results are float64 and nothing is said. astype(float) first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import scipy
from scipy import signal

clean = np.linspace(40, 215, 64)[None].repeat(64, 0)
noisy = np.clip(np.random.default_rng(0).normal(clean, 10), 0, 255).round().astype(np.uint8)
low = signal.butter(2, 0.3, output="sos")
ways = {
    "wiener": (lambda x: signal.wiener(x, 5), False),
    "sosfiltfilt": (lambda x: signal.sosfiltfilt(low, x), False),
    "filtfilt": (lambda x: signal.filtfilt(*signal.butter(2, 0.3), x), False),
    "decimate": (lambda x: signal.decimate(x, 2), False),
    "savgol_filter": (lambda x: signal.savgol_filter(x, 5, 2), True),
    "lfilter": (lambda x: signal.lfilter([1, 1], [1, -0.5], x), True),
    "resample": (lambda x: signal.resample(x, 32, axis=1), True),
}
print("scipy", scipy.__version__)
changed = False
for name, (way, as_seen) in ways.items():
    given, expected = way(noisy), way(noisy.astype(float))
    right = bool(np.allclose(given, expected))
    changed |= right != as_seen
    print(f"{name}: {'right' if right else f'{given.min():.0f}..{given.max():.0f}, expected {expected.min():.0f}..{expected.max():.0f}; up to {np.abs(given - expected).max():.0f} off'}")
errors = [np.sqrt(np.mean((each - clean) ** 2)) for each in (noisy, signal.wiener(noisy.astype(float), 5), signal.wiener(noisy, 5))]
print("distance from the clean ramp: noisy {:.1f}, wiener of floats {:.1f}, wiener of bytes {:.1f}".format(*errors))
changed |= not errors[1] < errors[0] < errors[2]
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
