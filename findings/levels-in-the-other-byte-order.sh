#!/usr/bin/env bash
# Levels in the other byte order, as IDX, FITS and PGM files of 16 bits have them: to OpenCV and five more libraries 1 is 256.
#
# Expected: numpy computes with an array of dtype ">u2" as with any other; so a library that takes one gives its values back, or refuses it, as torch,
# SimpleITK, pyvips and most codecs do ("given numpy array has byte order different from the native byte order").
# Seen on x86-64 with uint16 and float32, without an error or a warning:
#   - OpenCV 5.0.0 takes the bytes for little-endian in whatever it does (add, PNG and TIFF files).
#   - imagecodecs 2026.3.6 refuses them for PNG, JPEG XL and JPEG-LS, and swaps them for JPEG 2000, HTJ2K and TIFF, which are lossless.
#   - pyjpegls 1.5.1, lossless too, comes back as neither the levels nor the swapped ones.
#   - tensorstore 0.1.86: ts.array is swapped; an assignment to a store is right. pyarrow 26.0.1: Tensor.from_numpy is swapped; pa.array refuses.
#   - blosc2 4.14.1 stores them right, and computes with swapped bytes: a[:].sum() and a.sum() of one array differ.
# Shape and type are right. Swapped levels look like noise of high contrast, swapped floats like zeros. images.astype(images.dtype.newbyteorder("=")) first.
# safetensors, zarr, h5py, Pillow, tifffile, imageio and msgpack-numpy are right, and so are pixkit's readers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 opencv-python-headless==5.0.0.93 \
    imagecodecs==2026.3.6 pyjpegls==1.5.1 tensorstore==0.1.86 pyarrow==26.0.1 blosc2==4.14.1 pillow==13.0.0
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import io
import sys

import blosc2
import cv2
import imagecodecs
import jpeg_ls
import numpy as np
import pyarrow
import tensorstore
from PIL import Image

levels = np.add.outer(np.arange(24) * 37, np.arange(40) * 11)


def pillow(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return np.asarray(Image.open(file))


def stored(array):
    store = tensorstore.open({"driver": "zarr3", "kvstore": "memory://"}, create=True, dtype=array.dtype.name, shape=array.shape).result()
    store[...] = array
    return store.read().result()


RIGHT, SWAPPED, OTHER, REFUSED = "right", "SWAPPED", "OTHER", "refused"
WAYS = [
    ("OpenCV add", lambda a: cv2.add(a, 0), "u2 f4", SWAPPED),
    ("OpenCV PNG", lambda a: cv2.imdecode(cv2.imencode(".png", a)[1], cv2.IMREAD_UNCHANGED), "u2", SWAPPED),
    ("OpenCV TIFF", lambda a: cv2.imdecode(cv2.imencode(".tiff", a)[1], cv2.IMREAD_UNCHANGED), "u2 f4", SWAPPED),
    ("imagecodecs PNG", lambda a: imagecodecs.png_decode(imagecodecs.png_encode(a)), "u2", REFUSED),
    ("imagecodecs JPEG XL", lambda a: imagecodecs.jpegxl_decode(imagecodecs.jpegxl_encode(a, lossless=True)), "u2", REFUSED),
    ("imagecodecs JPEG-LS", lambda a: imagecodecs.jpegls_decode(imagecodecs.jpegls_encode(a)), "u2", REFUSED),
    ("imagecodecs JPEG 2000", lambda a: imagecodecs.jpeg2k_decode(imagecodecs.jpeg2k_encode(a, reversible=True)), "u2", SWAPPED),
    ("imagecodecs HTJ2K", lambda a: imagecodecs.htj2k_decode(imagecodecs.htj2k_encode(a, reversible=True)), "u2", SWAPPED),
    ("imagecodecs TIFF", lambda a: imagecodecs.tiff_decode(imagecodecs.tiff_encode(a)), "u2 f4", SWAPPED),
    ("pyjpegls", lambda a: jpeg_ls.decode(jpeg_ls.encode(a)), "u2", OTHER),
    ("tensorstore array", lambda a: tensorstore.array(a).read().result(), "u2 f4", SWAPPED),
    ("tensorstore store", stored, "u2 f4", RIGHT),
    ("pyarrow Tensor", lambda a: pyarrow.Tensor.from_numpy(a).to_numpy(), "u2 f4", SWAPPED),
    ("pyarrow array", lambda a: pyarrow.array(a.ravel()).to_numpy(), "u2 f4", REFUSED),
    ("blosc2 stored", lambda a: blosc2.asarray(a)[:], "u2 f4", RIGHT),
    ("blosc2 plus 0", lambda a: (blosc2.asarray(a) + 0)[:], "u2 f4", SWAPPED),
    ("Pillow PNG", pillow, "u2", RIGHT),
]
changed = False
for name, way, kinds, before in WAYS:
    for kind in kinds.split():
        array = levels.astype(kind) / (1 if kind == "u2" else np.float32(2))
        array = array.astype(kind)
        assert np.array_equal(np.asarray(way(array)).reshape(array.shape), array), name
        try:
            found = np.asarray(way(array.astype(">" + kind))).reshape(array.shape)
            found = RIGHT if np.array_equal(found, array) else SWAPPED if np.array_equal(found, array.byteswap()) else OTHER
        except Exception:
            found = REFUSED
        changed |= found != before
        print(("as before: " if found == before else "CHANGED:   ") + f"{name}, >{kind}: {found}")
whole = blosc2.asarray(levels.astype(">u2"))
print(f"blosc2: a[:].sum() {whole[:].sum()}, a.sum() {whole.sum()}")
sys.exit(changed or int(whole.sum()) == int(whole[:].sum()))
PYTHON
# The output seen:
# as before: OpenCV add, >u2: SWAPPED
# as before: OpenCV add, >f4: SWAPPED
# as before: OpenCV PNG, >u2: SWAPPED
# as before: OpenCV TIFF, >u2: SWAPPED
# as before: OpenCV TIFF, >f4: SWAPPED
# as before: imagecodecs PNG, >u2: refused
# as before: imagecodecs JPEG XL, >u2: refused
# as before: imagecodecs JPEG-LS, >u2: refused
# as before: imagecodecs JPEG 2000, >u2: SWAPPED
# as before: imagecodecs HTJ2K, >u2: SWAPPED
# as before: imagecodecs TIFF, >u2: SWAPPED
# as before: imagecodecs TIFF, >f4: SWAPPED
# as before: pyjpegls, >u2: OTHER
# as before: tensorstore array, >u2: SWAPPED
# as before: tensorstore array, >f4: SWAPPED
# as before: tensorstore store, >u2: right
# as before: tensorstore store, >f4: right
# as before: pyarrow Tensor, >u2: SWAPPED
# as before: pyarrow Tensor, >f4: SWAPPED
# as before: pyarrow array, >u2: refused
# as before: pyarrow array, >f4: refused
# as before: blosc2 stored, >u2: right
# as before: blosc2 stored, >f4: right
# as before: blosc2 plus 0, >u2: SWAPPED
# as before: blosc2 plus 0, >f4: SWAPPED
# as before: Pillow PNG, >u2: right
# blosc2: a[:].sum() 614400, a.sum() 31328130
