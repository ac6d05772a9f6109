#!/usr/bin/env bash
# A log-likelihood that changes the images it is of: normflows' Shift works in place.
#
# Expected: log_prob(x) leaves x as it was, and gives the same when asked again, as distributions and flows of torch do.
# Seen with normflows 1.7.3: Shift, which takes images from [0, 1] to [-1/2, 1/2] and is meant to be the last layer of a flow over images, subtracts
# in place. After log_prob the images of the batch are lower by 1/2 in the caller's memory (in the data set's, where a batch is a view of it), and a second
# call is of images in [-1/2, 1/2]: another likelihood, without a word. Two calls move 16 numbers an image by 1.000, and the log-likelihood by 2.6.
# Logit leaves its input alone, and a flow whose last layer is another one shows nothing. Not found by a test that scores each batch once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 normflows==1.7.3
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import normflows as nf
import torch

failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


@torch.no_grad()
def look(*layers):
    """By how much two calls move the images, and how far apart their log-likelihoods are."""
    torch.manual_seed(0)
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian((1, 4, 4)), list(layers)).eval()
    images = torch.rand(8, 1, 4, 4) * 0.9 + 0.05
    before = images.clone()
    first, second = flow.log_prob(images), flow.log_prob(images)
    return (images - before).abs().max().item(), (first - second).abs().max().item()


images, scores = look(nf.transforms.Shift())
print(f"Shift: images moved by {images:.3f}, log-likelihoods by {scores:.3f}")
expect("Shift: images are lower by a half after each score", abs(images - 1) < 1e-6)
expect("Shift: the same batch scores differently the second time", scores > 0.5)
images, scores = look(nf.flows.AffineConstFlow((1, 4, 4)), nf.transforms.Shift())
print(f"Shift, last of two: images moved by {images:.3f}, log-likelihoods by {scores:.3f}")
expect("Shift as the last of two layers: as alone", abs(images - 1) < 1e-6 and scores > 0.5)
for name, layers in (
    ("Logit", [nf.transforms.Logit()]),
    ("an affine layer last", [nf.transforms.Shift(), nf.flows.AffineConstFlow((1, 4, 4))]),
):
    images, scores = look(*layers)
    expect(f"{name}: images and log-likelihoods stay", images == 0 and scores == 0)
sys.exit(bool(failures))
PYTHON
