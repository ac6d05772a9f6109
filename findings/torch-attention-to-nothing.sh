#!/usr/bin/env bash
# Attention of a first pixel, which may look at nothing: zeros, NaN or the whole image, by how the mask is written and who asks.
#
# Expected: scaled_dot_product_attention gives zeros for a query whose mask lets nothing through (as it does since torch 2.5), and
# nn.MultiheadAttention, built on it, does the same whether weights are asked for, gradients recorded, or the mask is of booleans or of -inf.
# Seen with torch 2.13 on a CPU, a mask for strictly earlier pixels: the function gives zeros. The layer gives zeros while gradients are
# recorded and no weights are asked for, and NaN when weights are. In evaluation mode without gradients it goes another way, and there a
# mask of booleans gives NaN and one of -inf zeros: a network that trained well scores NaN. The whole batch is lost,
# as NaN goes on through the layers above. With the smallest finite number in place of -inf the function and the layer attend to all
# pixels alike: what the first pixel sees is the mean of the image, itself and later pixels included. That is a leak that no NaN shows.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch

failures = []
LENGTH = 6


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


def kind(row, values):
    if row.isnan().any():
        return "NaN"
    if not row.any():
        return "zeros"
    return "mean of all" if torch.allclose(row, values.mean(-2)) else "other"


torch.manual_seed(0)
earlier = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril(-1)
endless = torch.zeros(LENGTH, LENGTH).masked_fill(~earlier, -float("inf"))
finite = torch.zeros(LENGTH, LENGTH).masked_fill(~earlier, torch.finfo(torch.float32).min)
query, key, value = torch.randn(3, 1, 2, LENGTH, 8)
for name, mask, before in (("booleans", earlier, "zeros"), ("-inf", endless, "zeros"), ("min", finite, "mean of all")):
    row = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)[..., 0, :]
    expect(f"function, mask of {name}", kind(row, value), before)

layer = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
layer.out_proj.weight.data = torch.eye(8)
x = torch.randn(1, LENGTH, 8)
values = x @ layer.in_proj_weight[16:].T
for weights in (False, True):
    for recorded in (True, False):
        found = []
        for mask in (~earlier, endless, finite):
            with torch.set_grad_enabled(recorded):
                found.append(kind(layer(x, x, x, attn_mask=mask, need_weights=weights)[0][:, 0], values))
        expect(f"layer, weights {weights}, gradients {recorded}: booleans, -inf, min", ", ".join(found), {
            (False, True): "zeros, zeros, mean of all",
            (False, False): "NaN, zeros, mean of all",
            (True, True): "NaN, NaN, mean of all",
            (True, False): "NaN, NaN, mean of all",
        }[weights, recorded])
sys.exit(bool(failures))
PYTHON
# The output seen:
# function, mask of booleans: zeros
# function, mask of -inf: zeros
# function, mask of min: mean of all
# layer, weights False, gradients True: booleans, -inf, min: zeros, zeros, mean of all
# layer, weights False, gradients False: booleans, -inf, min: NaN, zeros, mean of all
# layer, weights True, gradients True: booleans, -inf, min: NaN, NaN, mean of all
# layer, weights True, gradients False: booleans, -inf, min: NaN, NaN, mean of all
