#!/usr/bin/env bash
# The same JPEG XL file of 10 or 12 bits is up to 64 times as dark by imagecodecs as by Pillow's plugin.
#
# Expected: both bind libjxl, whose decoder by default fills the type that it is asked for
# (JXL_BIT_DEPTH_FROM_PIXEL_FORMAT), so that the highest level of a file of 10 bits is 65535 of uint16 in both.
# Seen with imagecodecs 2026.3.6 and pillow-jxl-plugin 1.3.8 (Pillow 13.0.0): imagecodecs gives the levels as they are
# stored, 0..1023 and 0..4095 in uint16, the plugin 0..65535. Neither says of how many bits the file is, so that the
# array alone does not tell white from nearly black: 1023 of uint16 is either. Of 8 and 16 bits both agree. Cameras and
# scanners write 10 to 14 bits. Whoever reads such files with imagecodecs has to take the depth from the header.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    imagecodecs==2026.3.6 pillow==13.0.0 pillow-jxl-plugin==1.3.8 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import imagecodecs
import numpy as np
import pillow_jxl  # noqa: F401
from PIL import Image

found = {}
for bits in (8, 10, 12, 16):
    kind = np.uint8 if bits == 8 else np.uint16
    levels = np.array([[0, 1, 2 ** (bits - 1), 2**bits - 1]], kind)
    content = imagecodecs.jpegxl_encode(levels, lossless=True, bitspersample=bits)
    with Image.open(io.BytesIO(content)) as image:
        found[bits] = imagecodecs.jpegxl_decode(content)[0].tolist(), np.asarray(image)[0].tolist()
    print(f"{bits} bits, levels {levels[0].tolist()}: imagecodecs {found[bits][0]}, Pillow's plugin {found[bits][1]}")
before = {
    8: ([0, 1, 128, 255], [0, 1, 128, 255]),
    10: ([0, 1, 512, 1023], [0, 64, 32800, 65535]),
    12: ([0, 1, 2048, 4095], [0, 16, 32776, 65535]),
    16: ([0, 1, 32768, 65535], [0, 1, 32768, 65535]),
}
print("as before" if found == before else "CHANGED")
sys.exit(found != before)
PYTHON
# The output seen:
# 8 bits, levels [0, 1, 128, 255]: imagecodecs [0, 1, 128, 255], Pillow's plugin [0, 1, 128, 255]
# 10 bits, levels [0, 1, 512, 1023]: imagecodecs [0, 1, 512, 1023], Pillow's plugin [0, 64, 32800, 65535]
# 12 bits, levels [0, 1, 2048, 4095]: imagecodecs [0, 1, 2048, 4095], Pillow's plugin [0, 16, 32776, 65535]
# 16 bits, levels [0, 1, 32768, 65535]: imagecodecs [0, 1, 32768, 65535], Pillow's plugin [0, 1, 32768, 65535]
# as before
