#!/usr/bin/env bash
# A causal mask in float32 beside queries in float64: torch's attention on a CPU hides something else than the mask says.
#
# Expected: scaled_dot_product_attention takes a float32 mask for float64 queries as it does for bfloat16 ones, converted, or refuses
# it, as it refuses float64 masks for float32 queries ("Expected attn_mask dtype to be bool or float or to match query dtype").
# Seen with torch 2.13 on a CPU: it is accepted, and the kernel that is chosen by default takes the mask's memory for float64. What
# the mask hides is then not hidden, and without an error results are wrong in the first digit: later tokens move earlier outputs.
# The plain ("math") kernel is right to rounding, and so is a mask of booleans, or one in float64.
# Who would meet it: whoever takes a model to float64 to see whether it is causal, or to compare it with a cache, where a forward makes
# its mask by torch.full(...), in the default type. Masks here are the first half of a larger tensor.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

failures = []
LENGTH, KNOWN = 24, 8


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


def moved(attend):
    """Whether outputs of the first tokens move when later keys and values do."""
    change = (attend(key, value) - attend(later(key), later(value)))[:, :, :KNOWN].abs().max()
    return "later tokens move earlier outputs" if change > 0.1 else "causal" if change < 1e-12 else "other"


def later(x):
    return torch.cat([x[:, :, :KNOWN], x[:, :, KNOWN:] + 3], 2)


torch.manual_seed(0)
query, key, value = torch.randn(3, 1, 4, LENGTH, 8, dtype=torch.float64)
twice = torch.zeros(2 * LENGTH, LENGTH)
twice[:LENGTH] = torch.full((LENGTH, LENGTH), -float("inf")).triu(1)
mask = twice[:LENGTH]
for name, given, before in (
    ("a mask in float32", mask, "later tokens move earlier outputs"),
    ("a mask in float64", mask.double(), "causal"),
    ("a mask of booleans", mask == 0, "causal"),
):
    expect(name, moved(lambda k, v: F.scaled_dot_product_attention(query, k, v, attn_mask=given)), before)
with sdpa_kernel(SDPBackend.MATH):
    found = moved(lambda k, v: F.scaled_dot_product_attention(query, k, v, attn_mask=mask))
    expect("a mask in float32, the plain kernel", found, "causal")
single = [x.float() for x in (query, key, value)]
try:
    F.scaled_dot_product_attention(*single, attn_mask=mask.double())
    found = "accepted"
except RuntimeError:
    found = "refused"
expect("a mask in float64 for queries in float32", found, "refused")
sys.exit(bool(failures))
PYTHON
# The output seen:
# a mask in float32: later tokens move earlier outputs
# a mask in float64: causal
# a mask of booleans: causal
# a mask in float32, the plain kernel: causal
# a mask in float64 for queries in float32: refused
