#!/usr/bin/env bash
# A curve of a loss that diverges is drawn by Pillow as one that falls.
#
# Expected: of a line to a point far outside the picture the part within it is drawn, in the direction of that point.
# Seen with Pillow 12.3.0: as long as coordinates fit into 32 bits. Beyond, ImageDraw.line makes the same integer of
# both signs and draws towards it, without a word: a line from the middle of the left side to 3e9 pixels above runs
# downwards. Up to 1e9 it runs upwards. (On x86-64: what such a number becomes is the processor's affair.) Whoever
# draws a curve whose values may be of any size has to bring them near the axes first, as pixkit's figures do.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pillow==12.3.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from PIL import Image, ImageDraw

found = {}
for far in (1e3, 1e6, 1e9, 3e9, 1e12):
    picture = Image.new("L", (100, 100))
    ImageDraw.Draw(picture).line([(10, 50), (50, 50 - far), (90, 50)], fill=255)
    rows = np.nonzero(np.asarray(picture))[0]
    found[far] = int(rows.min()), int(rows.max())
    print(f"a peak {far:.0e} pixels above row 50: drawn in rows {found[far][0]} to {found[far][1]}")
before = {1e3: (0, 50), 1e6: (0, 50), 1e9: (0, 50), 3e9: (50, 99), 1e12: (50, 99)}
print("as before" if found == before else "CHANGED")
sys.exit(found != before)
PYTHON
# The output seen:
# a peak 1e+03 pixels above row 50: drawn in rows 0 to 50
# a peak 1e+06 pixels above row 50: drawn in rows 0 to 50
# a peak 1e+09 pixels above row 50: drawn in rows 0 to 50
# a peak 3e+09 pixels above row 50: drawn in rows 50 to 99
# a peak 1e+12 pixels above row 50: drawn in rows 50 to 99
# as before
