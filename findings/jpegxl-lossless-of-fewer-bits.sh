#!/usr/bin/env bash
# Lossless JPEG XL of imagecodecs cuts off levels that do not fit the bits it is told of, without an error.
#
# Expected: jpegxl_encode(levels, lossless=True, bitspersample=4) of levels over 15 is an error, since 4 bits cannot hold
# them and lossless is asked for; or the number is only what is noted in the header.
# Seen with imagecodecs 2026.3.6 (libjxl 0.11.2): every level over the highest one of those bits becomes that one: 255 of 4
# bits is 15, 65535 of 12 bits 4095. The bits make a file of 10-bit levels 5% smaller, so there is reason to tell them; a
# camera's one level over its nominal range (sensors have some) is lost for good. Who asks for lossless has to compare the
# highest level with the bits, or decode what was written.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check imagecodecs==2026.3.6 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import imagecodecs
import numpy as np

wrong = False
for kind, bits, levels in (
    (np.uint8, 4, [0, 1, 15, 16, 128, 255]),
    (np.uint16, 10, [0, 1, 1023, 1024, 2000, 65535]),
    (np.uint16, 12, [0, 1, 1023, 4096, 5000, 65535]),
):
    content = imagecodecs.jpegxl_encode(np.array([levels], kind), lossless=True, bitspersample=bits)
    found = imagecodecs.jpegxl_decode(content)[0].tolist()
    print(f"{bits} bits, levels {levels}: {found}")
    wrong |= found != [min(level, 2**bits - 1) for level in levels]
print("CHANGED" if wrong else "as before")
sys.exit(wrong)
PYTHON
# The output seen:
# 4 bits, levels [0, 1, 15, 16, 128, 255]: [0, 1, 15, 15, 15, 15]
# 10 bits, levels [0, 1, 1023, 1024, 2000, 65535]: [0, 1, 1023, 1023, 1023, 1023]
# 12 bits, levels [0, 1, 1023, 4096, 5000, 65535]: [0, 1, 1023, 4095, 4095, 4095]
# as before
