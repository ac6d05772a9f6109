#!/usr/bin/env bash
# OpenEXR writes image[..., 0] as a mixture of three colours: it ignores strides.
#
# Expected: a channel holds the array that it was given, whatever its order in memory, as with FITS, TIFF and npy; or the array is refused, as one of
# uint16 is ("invalid pixel array").
# Seen with OpenEXR 3.5.3 (its Python module, numpy 2.4.6), float16, float32 and uint32: it takes as many consecutive numbers as the shape asks for,
# from where the array begins. So {"R": x[..., 0], "G": x[..., 1], "B": x[..., 2]} of a contiguous [H, W, 3] stores R, G, B, R, ... as R; a crop is
# filled from beside it; a transposed array, or torch's [3, H, W] turned to [H, W, 3], is stored in the order of its memory. Shape and type are right,
# there is no warning, and a smooth picture still looks like one, sheared. {"RGB": x} of a contiguous x is right.
# Call numpy.ascontiguousarray on each channel.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 OpenEXR==3.5.3
"$folder/venv/bin/python" - "$folder/image.exr" <<'PYTHON'
import sys

import numpy as np
import OpenEXR


def given_back(channels):
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, channels) as file:
        file.write(sys.argv[1])
    with OpenEXR.File(sys.argv[1]) as file:
        (read,) = (channel.pixels for channel in file.channels().values())
    return read


image = np.arange(4 * 6 * 3).reshape(4, 6, 3).astype(np.float16)
planes = np.ascontiguousarray(np.moveaxis(image, -1, 0))
grey = np.arange(4 * 6).reshape(4, 6).astype(np.float32)
given = {
    "RGB, contiguous": ({"RGB": image}, image, True),
    "R, G and B of it, each contiguous": ({c: planes[i] for i, c in enumerate("RGB")}, image, True),
    "R, G and B of it, as image[..., i]": ({c: image[..., i] for i, c in enumerate("RGB")}, image, False),
    "RGB, torch's [3, H, W] turned to [H, W, 3]": ({"RGB": np.moveaxis(planes, 0, -1)}, image, False),
    "grey, transposed": ({"Y": grey.T}, grey.T, False),
    "grey, a crop": ({"Y": grey[:2, :3]}, grey[:2, :3], False),
    "grey, every second column": ({"Y": grey[:, ::2]}, grey[:, ::2], False),
}
print("OpenEXR", OpenEXR.__version__)
changed = False
for name, (channels, expected, as_seen) in given.items():
    read = given_back(channels)
    same = np.array_equal(read, expected)
    changed |= same != as_seen
    print(f"{name}: {'as given' if same else f'expected {expected[-1].ravel()[:4]}, got {read[-1].ravel()[:4]}'}")
print("CHANGED" if changed else "as before")
sys.exit(bool(changed))
PYTHON
