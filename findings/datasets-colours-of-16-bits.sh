#!/usr/bin/env bash
# Colours of 16 bits that are stored as noise: of each value the lower half is kept.
#
# Expected: an Image column of a data set keeps an array's levels, as it does for grey of 16 bits, or refuses colours of 16 bits, which
# Pillow has no mode for; at the least the upper 8 bits are kept, as Pillow keeps them of such a PNG.
# Seen with datasets 5.2.0: uint16 [H, W, 3] is cast to uint8 modulo 256, so that of a smooth picture a sawtooth is left, and
# colours of any wider integers that go beyond 255 wrap around as well. A warning says "Downcasting array dtype uint16 to uint8
# to be compatible with 'Pillow'", the same words as where nothing is lost (int64 of 0..255). Grey keeps all levels: uint16 as it is, int64 as int32.
# Colours of floats are refused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    numpy==2.4.6 datasets==5.2.0 pyarrow==26.0.1 pillow==13.0.0
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
from datasets import Dataset, Features, Image

failures = []


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


def stored(array):
    """What comes back, in words, and the warning."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            data = Dataset.from_dict({"image": [array]}, features=Features({"image": Image()}))
        except TypeError:
            return "TypeError"
        back = np.asarray(data[0]["image"])
    kinds = {"the same": array, "lower 8 bits": array % 256, "upper 8 bits": array // 256}
    kind = next((name for name, values in kinds.items() if np.array_equal(back, values)), "other")
    told = "; warned" if any("Downcasting" in str(one.message) for one in said) else ""
    return f"{back.dtype}, {kind}{told}"


ramp = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
colours = np.stack([ramp, ramp[::-1], ramp.T], axis=-1)
expect("grey uint16", stored(ramp), "uint16, the same")
expect("grey int64", stored(ramp.astype(np.int64)), "int32, the same; warned")
expect("colour uint16", stored(colours), "uint8, lower 8 bits; warned")
expect("colour int64 to 65535", stored(colours.astype(np.int64)), "uint8, lower 8 bits; warned")
expect("colour int64 to 255", stored(colours.astype(np.int64) // 257), "uint8, the same; warned")
expect("colour float64", stored(colours / 65535), "TypeError")
sys.exit(bool(failures))
PYTHON
# The output seen:
# grey uint16: uint16, the same
# grey int64: int32, the same; warned
# colour uint16: uint8, lower 8 bits; warned
# colour int64 to 65535: uint8, lower 8 bits; warned
# colour int64 to 255: uint8, the same; warned
# colour float64: TypeError
