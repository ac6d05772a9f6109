#!/usr/bin/env bash
# The opposite of a boolean mask is, by OpenCV 5, true everywhere.
#
# Expected: OpenCV 5 knows numpy's bool as a type of its own. bitwise_not of a boolean mask is the opposite mask, as ~mask is and as it is for masks of
# 0 and 255, or bool is refused, as add, absdiff, threshold, resize, erode and many more refuse it.
# Seen with opencv-python-headless 5.0.0.93: the bits of the bytes are inverted, 1 becomes 254 and 0 becomes 255, and the result is an array of type
# bool that holds those bytes. For numpy and for OpenCV all of it is true: the unknown half of an image is all of it, a mean over the masked part
# is the mean over everything, and nothing is left outside. Inverted once more by OpenCV it is the first mask again, so that such a test
# passes; ~ of it is false everywhere. Nothing is said. bitwise_and, bitwise_or and bitwise_xor of booleans are right (xor with ones inverts),
# and so is bitwise_not of bytes of 0 and 255. Of float32 and float64, where it inverts the bits of the numbers, OpenCV's description
# says so ("in case of a floating-point input array, its machine-specific bit representation ... is used").
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np

print("OpenCV", cv2.__version__)
failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


image = np.arange(16, dtype=np.uint8).reshape(4, 4)
known = np.zeros((4, 4), bool)
known[:2] = True
unknown = cv2.bitwise_not(known)
print(f"{unknown.dtype}, bytes {np.unique(unknown.view(np.uint8)).tolist()}, true at {unknown.sum()} of 16 places")
expect("the opposite of a half is everything", unknown.dtype == bool and unknown.all())
expect("indexing takes all pixels", image[unknown].size == 16)
means = cv2.mean(image, mask=unknown)[0], cv2.mean(image, mask=~known)[0]
print(f"mean of the unknown half: {means[0]}, by ~ {means[1]}")
expect("a mean under it is of all pixels", means == (7.5, 11.5))
expect("a copy under it is of all pixels", np.array_equal(cv2.copyTo(image, unknown), image))
expect("inverted twice it is the first mask", np.array_equal(cv2.bitwise_not(unknown), known))
expect("~ of it is false everywhere", not (~unknown).any())

ones = np.ones_like(known)
expect("xor with ones: right", np.array_equal(cv2.bitwise_xor(known, ones), ~known))
expect("and, or: right", not cv2.bitwise_and(known, ~known).any() and cv2.bitwise_or(known, ~known).all())
levels = known.astype(np.uint8) * 255
expect("bytes of 0 and 255: right", np.array_equal(cv2.bitwise_not(levels), (~known) * np.uint8(255)))
for name in ("add", "absdiff", "subtract"):
    try:
        getattr(cv2, name)(known, known)
        expect(f"{name} refuses bool", False)
    except cv2.error:
        expect(f"{name} refuses bool", True)
sys.exit(bool(failures))
PYTHON
