#!/usr/bin/env bash
# Two layers of an invertible network whose log-determinants are wrong: one in its inverse, one for images.
#
# Expected: the second thing that every module of FrEIA returns is, for each example, the log of the absolute determinant of what it just
# did: minus that of forward when run with rev=True, of shape [N] for images as for vectors. That is FrEIA's contract, and densities rest on it.
# Seen with FrEIA 0.2: LearnedElementwiseScaling gives the forward log-determinant in both directions (below -0.203, and -0.203 again), so that a
# density scored through the inverse is off by twice the sum of its scales.
# InvertibleSigmoid sums over the second axis alone: for vectors that is right; for images [N, C, H, W] it gives [N, H, W] (of 4 images of
# 3x5x4 [4, 5, 4]), which is added to other layers' [N] without an error where the width is N or 1, and mixes examples. Coupling blocks
# of GLOW and RealNVP, ActNorm and the Haar layer are right in both directions, against automatic differentiation.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 scipy==1.15.3 \
    FrEIA==0.2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from FrEIA import modules as freia
from torch import nn

torch.set_default_dtype(torch.float64)
failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


def look(kind, shape, **options):
    """Log-determinants told forward and in reverse, and the true one of forward, of the first of four examples."""
    torch.manual_seed(0)
    module = getattr(freia, kind)([shape], **options)
    module([torch.randn(4, *shape)])
    with torch.no_grad():
        for weight in module.parameters():
            if weight.requires_grad:
                weight += 0.1 * torch.randn_like(weight)
    x = torch.randn(4, *shape)
    (y,), there = module([x], jac=True)
    (again,), back = module([y], rev=True, jac=True)
    assert torch.allclose(again, x, atol=1e-8)
    matrix = torch.autograd.functional.jacobian(lambda one: module([one], jac=False)[0][0], x[:1])
    size = x[0].numel()
    true = torch.linalg.slogdet(matrix.reshape(size, size))[1].item()
    return torch.as_tensor(there, dtype=x.dtype), torch.as_tensor(back, dtype=x.dtype), true


def layer(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, outputs))


for kind, shape, options in (
    ("GLOWCouplingBlock", (6,), {"subnet_constructor": layer}),
    ("RNVPCouplingBlock", (6,), {"subnet_constructor": layer}),
    ("ActNorm", (4, 4, 4), {}),
    ("HaarDownsampling", (4, 4, 4), {"rebalance": 2.0}),
    ("InvertibleSigmoid", (6,), {}),
):
    there, back, true = look(kind, shape, **options)
    right = abs(there.flatten()[0].item() - true) < 1e-6 and abs(back.flatten()[0].item() + true) < 1e-6
    expect(f"{kind} of {len(shape)} axes is right", right)
there, back, true = look("LearnedElementwiseScaling", (6,))
expect(
    f"LearnedElementwiseScaling: forward {there.item():.3f} (true {true:.3f}), inverse {back.item():.3f}, not its negative",
    abs(there.item() - true) < 1e-6 and abs(back.item() - true) < 1e-6 and abs(true) > 0.1,
)
there, back, true = look("InvertibleSigmoid", (3, 5, 4))
expect(f"InvertibleSigmoid of 4 images: shape {tuple(there.shape)}", tuple(there.shape) == (4, 5, 4))
expect("its sum over the rest is right", abs(there[0].sum().item() - true) < 1e-6)
total = there + torch.zeros(4)
expect(f"it is added to one number for each of the 4 images: {tuple(total.shape)}", tuple(total.shape) == (4, 5, 4))
sys.exit(bool(failures))
PYTHON
