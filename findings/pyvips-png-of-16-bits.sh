#!/usr/bin/env bash
# A 16-bit array saved as PNG by pyvips: grey is clipped at 255, colour is kept, and colour with transparency is divided by 256.
#
# Expected: Image.new_from_array(levels).write_to_file("levels.png") stores uint16 as 16 bits, which PNG has and libvips writes, whatever the number of
# channels; or one rule holds for all of them, and levels that do not fit are refused.
# Seen with pyvips 3.2.0 and libvips 8.18.7 (pyvips-binary): the array is held as ushort, and named "b-w" with one channel, "srgb" with three and "multiband" with four
# or more. The saver goes by the name: b-w is cast to 8 bits, so that everything above 255 is 255; srgb is found to be of 16 bits and
# kept; of multiband the lower 8 bits are dropped. The file is a valid PNG, and nothing is said. A TIFF keeps all three.
# Depth maps, scans and codes above 255 are gone: of 4096 levels 256 are left. new_from_array(levels, interpretation="auto") keeps all three
# as they are, and reading a 16-bit PNG is right in any case.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 pyvips==3.2.0 pyvips-binary==8.18.7
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import pyvips

print("pyvips", pyvips.__version__, "libvips", ".".join(str(pyvips.version(n)) for n in range(3)))
found = []
for channels in (1, 3, 4):
    levels = np.linspace(0, 4095, 16 * 16 * channels).astype(np.uint16).reshape(16, 16, channels)
    row = []
    for name, given in (("", {}), (", auto", {"interpretation": "auto"})):
        image = pyvips.Image.new_from_array(levels, **given)
        for suffix in (".png", ".tif"):
            read = pyvips.Image.new_from_buffer(image.write_to_buffer(suffix), "").numpy().reshape(levels.shape)
            rules = {"kept": levels, "clipped at 255": np.minimum(levels, 255), "divided by 256": levels >> 8}
            rule = next((rule for rule, wanted in rules.items() if np.array_equal(read, wanted)), "another")
            print(f"{channels} channels, {image.interpretation}{name}, {suffix}: {rule}, {read.dtype}")
            row.append(rule)
    found.append(row)
BEFORE = ["clipped at 255", "kept", "divided by 256"]
as_before = [row[0] for row in found] == BEFORE and all(row[1:] == ["kept"] * 3 for row in found)
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# pyvips 3.2.0 libvips 8.18.7
# 1 channels, b-w, .png: clipped at 255, uint8
# 1 channels, b-w, .tif: kept, uint16
# 1 channels, grey16, auto, .png: kept, uint16
# 1 channels, grey16, auto, .tif: kept, uint16
# 3 channels, srgb, .png: kept, uint16
# 3 channels, srgb, .tif: kept, uint16
# 3 channels, rgb16, auto, .png: kept, uint16
# 3 channels, rgb16, auto, .tif: kept, uint16
# 4 channels, multiband, .png: divided by 256, uint8
# 4 channels, multiband, .tif: kept, uint16
# 4 channels, rgb16, auto, .png: kept, uint16
# 4 channels, rgb16, auto, .tif: kept, uint16
# as before
