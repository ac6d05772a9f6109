#!/usr/bin/env bash
# Labels read by nibabel's get_fdata and saved with the file's own header are other numbers: 10 comes back as 9.88.
#
# Expected: a float array of whole numbers that fit the header's 8-bit type is stored as these numbers, and values that do not fit are rounded,
# clipped or refused.
# Seen with nibabel 5.4.2: floats are always stretched over the whole range of an integer type, with a slope in the header, even where all of them
# are whole numbers that it holds. Labels 0, 10, ..., 70 become multiples of 70/255: 10 is 9.88, and "labels == 10" finds nothing. Integers of the same
# values are stored as they are. A map of scores that is saved with the header of the picture it belongs to, the usual way to keep its geometry, has
# 256 different values, and what is not a number becomes 0. No warning is given.
# Call set_data_dtype(numpy.float32) on the new image, or convert labels to integers before saving.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check nibabel==5.4.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import nibabel
import numpy as np

failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


def through(values, header=None, dtype=None):
    """What is read of `values` after they were saved."""
    image = nibabel.Nifti1Image(values, np.eye(4), header)
    if dtype is not None:
        image.set_data_dtype(dtype)
    nibabel.save(image, "copy.nii")
    return nibabel.load("copy.nii").get_fdata()


labels = 10 * np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), "labels.nii")
image = nibabel.load("labels.nii")
expect("integers are kept", np.array_equal(through(labels, image.header), labels))
again = through(image.get_fdata(), image.header)
expect(f"the same numbers as floats: {again.ravel().round(2).tolist()}", np.abs(again - labels).max() > 0.1)
expect("as floats with set_data_dtype(float32) they are kept", np.array_equal(through(image.get_fdata(), image.header, np.float32), labels))
nats = np.linspace(0.0, 3.2, 4096, dtype=np.float32).reshape(16, 16, 16)
kept = np.unique(through(nats, image.header))
expect(f"of 4096 scores with the picture's header {len(kept)} are left", len(kept) == 256)
gaps = np.where(nats > 1, np.nan, nats)
expect("what is not a number becomes 0", bool((through(gaps, image.header)[nats > 1] == 0).all()))
sys.exit(bool(failures))
PYTHON
# The output seen:
# as before: integers are kept
# as before: the same numbers as floats: [0.0, 9.88, 20.04, 29.92, 40.08, 49.96, 60.12, 70.0]
# as before: as floats with set_data_dtype(float32) they are kept
# as before: of 4096 scores with the picture's header 256 are left
# as before: what is not a number becomes 0
