#!/usr/bin/env bash
# Pictures with a palette lose it in litdata: indices come back, and their colours do not.
#
# Expected: a PIL picture that optimize() writes and StreamingDataset reads is the same picture, of whatever mode, as for L, RGB, RGBA, LA, CMYK, F and I;16
# it is to the bit: pictures are stored raw, with their mode.
# Seen with litdata 0.2.76 and pillow 13.0.0: mode P (GIF, and PNG with up to 256 colours, which is what a data set of few colours is kept in)
# comes back in mode P with the right indices and an empty palette. convert("RGB") then gives black for all of them, without an error or a warning.
# What reads only indices (masks of classes) notices nothing. Convert to RGB, or store the file's bytes, before optimize().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 \
    litdata==0.2.76 pillow==13.0.0
cat > "$folder/look.py" <<'PYTHON'
import sys

import numpy as np
from litdata import StreamingDataset, optimize
from PIL import Image

MODES = ["L", "RGB", "RGBA", "LA", "CMYK", "F", "I;16", "P"]
rng = np.random.default_rng(0)
rgb = Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8))
PICTURES = {mode: rgb.convert(mode) for mode in MODES if mode not in ("P", "I;16")}
PICTURES["I;16"] = Image.fromarray(rng.integers(0, 65536, (6, 7), dtype=np.uint16))
PICTURES["P"] = rgb.quantize(16)


def picture(mode):
    """Of that mode."""
    return {"picture": PICTURES[mode]}


if __name__ == "__main__":
    failures = []

    def expect(what, holds):
        print(("as before: " if holds else "CHANGED:   ") + what)
        if not holds:
            failures.append(what)

    optimize(fn=picture, inputs=MODES, output_dir=sys.argv[1], num_workers=1, chunk_bytes="1MB")
    for mode, item in zip(MODES, StreamingDataset(sys.argv[1]), strict=True):
        before, after = PICTURES[mode], item["picture"]
        whole = before.mode == after.mode and np.array_equal(np.asarray(before), np.asarray(after))
        if mode != "P":
            expect(f"{mode}: the same picture", whole)
            continue
        expect("P: the same indices", whole)
        colours = {colour for _, colour in after.convert("RGB").getcolors()}
        print(f"P: {len(before.convert('RGB').getcolors())} colours were written, and read are {sorted(colours)[:3]}")
        expect("P: all of its colours are lost", len(before.convert("RGB").getcolors()) == 13 and colours == {(0, 0, 0)})
    sys.exit(bool(failures))
PYTHON
"$folder/venv/bin/python" "$folder/look.py" "$folder/data"
