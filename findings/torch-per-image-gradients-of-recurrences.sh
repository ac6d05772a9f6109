#!/usr/bin/env bash
# Gradients of each image by vmap(grad): a float32 LSTM on a CPU has them, the same LSTM in float64, and every GRU and RNN, fails.
#
# Expected: vmap(grad(loss)) of a network with nn.LSTM, nn.GRU or nn.RNN either works or does not, whatever the type of its numbers, as
# tests of gradients are run in float64 and training in float32.
# Seen with torch 2.13 on a CPU: it works for nn.LSTM in float32 and gives each image's gradients, because oneDNN computes that one
# layer whole. In float64, with oneDNN switched off, and for nn.GRU and nn.RNN of any type, it fails with "output with shape ...
# doesn't match the broadcast shape ...", since the step by step way adds in place to what the initial state gives, which is the same for all
# images. With an initial state of zeros that is made from the image (its sum times 0) all three work in both types.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from torch.func import functional_call, grad, vmap

failures = []


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


def gradients(kind, dtype, begun=False):
    """Whether vmap(grad) gives the gradients that a loop over images does, or what it raises; `begun`: by a state of zeros."""
    torch.manual_seed(0)
    layer = kind(3, 4, batch_first=True).to(dtype)
    parameters = dict(layer.named_parameters())

    def loss(parameters, image):
        zeros = (image.sum() * 0).expand(1, 1, 4)
        state = (zeros, zeros) if kind is torch.nn.LSTM else zeros
        inputs = (image[None], state) if begun else (image[None],)
        return functional_call(layer, parameters, inputs)[0].square().sum()

    images = torch.randn(5, 7, 3, dtype=dtype)
    try:
        found = vmap(grad(loss), (None, 0))(parameters, images)
    except RuntimeError as error:
        return "broadcast shape" if "broadcast shape" in str(error) else str(error)
    each = [grad(loss)(parameters, image) for image in images]
    return all(torch.allclose(found[name], torch.stack([one[name] for one in each]), atol=1e-5) for name in found)


for kind, expected in (
    (torch.nn.LSTM, (True, "broadcast shape")),
    (torch.nn.GRU, ("broadcast shape", "broadcast shape")),
    (torch.nn.RNN, ("broadcast shape", "broadcast shape")),
):
    for begun in (False, True):
        found = tuple(gradients(kind, dtype, begun) for dtype in (torch.float32, torch.float64))
        what = f"{kind.__name__}{', a state of the image' if begun else ''}, float32 and float64"
        expect(what, found, (True, True) if begun else expected)
with torch.backends.mkldnn.flags(enabled=False):
    expect("LSTM, float32, without oneDNN", gradients(torch.nn.LSTM, torch.float32), "broadcast shape")
sys.exit(bool(failures))
PYTHON
# The output seen:
# LSTM, float32 and float64: (True, 'broadcast shape')
# LSTM, a state of the image, float32 and float64: (True, True)
# GRU, float32 and float64: ('broadcast shape', 'broadcast shape')
# GRU, a state of the image, float32 and float64: (True, True)
# RNN, float32 and float64: ('broadcast shape', 'broadcast shape')
# RNN, a state of the image, float32 and float64: (True, True)
# LSTM, float32, without oneDNN: broadcast shape
