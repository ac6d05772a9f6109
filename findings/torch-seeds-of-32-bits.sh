#!/usr/bin/env bash
# Of a seed torch's CPU generator takes the lower 32 bits, and says otherwise.
#
# Expected: Generator.manual_seed takes an integer of 64 bits (its documentation gives the range), so that 1 and 1 + 2**32
# are two seeds, as they are for numpy's default_rng; initial_seed() gives back the whole number.
# Seen with torch 2.13.0: both draw the same numbers. What counts in the upper half of a seed, as (epoch << 32) + rank does
# in data loading, draws the same noise in every epoch; of seeds that are hashes of 64 bits, two among 77,000 are likely
# to be one.
# pixkit's own noise does not come from this generator, and what it derives for torch says how many bits count.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import torch


def drawn(seed):
    return torch.rand(1000, generator=torch.Generator().manual_seed(seed))


low, high = 1, 1 + (1 << 32)
told = torch.Generator().manual_seed(high).initial_seed()
print(f"torch {torch.__version__.split('+')[0]}: seed {high} is told as {told}")
same = torch.equal(drawn(low), drawn(high)) and all(torch.equal(drawn(7), drawn(7 + (n << 32))) for n in range(1, 50))
print(f"torch: seeds {low} and {high} draw the same numbers: {same}")
other = np.random.default_rng(low).random() != np.random.default_rng(high).random()
print(f"numpy {np.__version__}: they draw other numbers: {other}")
as_before = told == high and same and other and not torch.equal(drawn(1), drawn(2))
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# torch 2.13.0: seed 4294967297 is told as 4294967297
# torch: seeds 1 and 4294967297 draw the same numbers: True
# numpy 2.2.6: they draw other numbers: True
# as before
