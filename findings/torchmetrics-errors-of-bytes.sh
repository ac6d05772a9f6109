#!/usr/bin/env bash
# torchmetrics', TorchEval's and Ignite's errors of uint8 images are wrong, by any factor, while torchmetrics' and Ignite's PSNR of the same images is right.
#
# Expected: the mean squared and the mean absolute error of two images of bytes are those of their numbers, or bytes are
# refused.
# Seen with torchmetrics 1.9.0 and torch 2.13.0: the difference is taken in uint8, so that -1 counts as 255, and squares
# are taken modulo 256. For images one level apart the mean absolute error is 128; the mean squared error is too small
# as soon as levels differ by 16. Total variation, the same. PSNR converts first, so that the two disagree about the
# same pair. Nothing is said. Images are bytes when they come from a file or a sampler: call .float() on them before any
# metric. TorchEval 0.0.7 and Ignite 0.5.5 take differences in uint8 in the same way; TorchEval's PSNR as well, which is infinite for images 32 levels
# apart. Ignite's PSNR converts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 \
    torchmetrics==1.9.0 torcheval==0.0.7 pytorch-ignite==0.5.5
"$folder/venv/bin/python" - <<'PYTHON'
import math
import sys

import torch
from ignite import metrics as ignite
from torcheval.metrics import functional as torcheval
from torchmetrics.functional import mean_absolute_error, mean_squared_error
from torchmetrics.functional.image import peak_signal_noise_ratio, total_variation

image = torch.tensor([[10, 20, 30, 40]], dtype=torch.uint8).expand(4, 4).contiguous()
near = image + torch.tensor([1, -1, 1, -1]).to(torch.uint8)  # one level above or below
far = image + 32
found = []
for name, metric, first, second in (
    ("mean absolute error, one level apart", mean_absolute_error, image, near),
    ("mean squared error, 32 levels apart", mean_squared_error, image, far),
    ("total variation of one image", lambda a, b: total_variation(a.flip(1)[None, None]), image, image),
):
    found += [metric(first, second).item(), metric(first.float(), second.float()).item()]
    print(f"{name}: {found[-2]:g} in uint8, {found[-1]:g} in float")
psnr = peak_signal_noise_ratio(image, far, data_range=255.0).item()
print(f"PSNR, 32 levels apart: {psnr:.2f} dB in uint8, {10 * math.log10(255**2 / 32**2):.2f} by hand")
as_before = found[1::2] == [1.0, 1024.0, 120.0] and found[0] == 128 and found[2] == 0 and found[4] != found[5]
as_before &= abs(psnr - 10 * math.log10(255**2 / 32**2)) < 0.01


def by_ignite(metric, first, second):
    metric.update((first, second))
    return metric.compute()


for name, metric, first, second, before in (
    ("TorchEval, mean squared error, 32 levels apart", torcheval.mean_squared_error, image, far, (0, 1024)),
    ("TorchEval, PSNR, 32 levels apart", lambda a, b: torcheval.peak_signal_noise_ratio(a, b, data_range=255.0), image, far, (math.inf, 18.03)),
    ("Ignite, mean absolute error, one level apart", lambda a, b: by_ignite(ignite.MeanAbsoluteError(), a.flatten(), b.flatten()), image, near, (128, 1)),
    ("Ignite, mean squared error, 32 levels apart", lambda a, b: by_ignite(ignite.MeanSquaredError(), a.flatten(), b.flatten()), image, far, (0, 1024)),
    ("Ignite, PSNR, 32 levels apart", lambda a, b: by_ignite(ignite.PSNR(255), a[None, None], b[None, None]), image, far, (18.03, 18.03)),
):
    bytewise, right = float(metric(first, second)), float(metric(first.float(), second.float()))
    print(f"{name}: {bytewise:.4g} in uint8, {right:.4g} in float")
    as_before &= math.isclose(bytewise, before[0], abs_tol=0.01) and math.isclose(right, before[1], abs_tol=0.01)
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# mean absolute error, one level apart: 128 in uint8, 1 in float
# mean squared error, 32 levels apart: 0 in uint8, 1024 in float
# total variation of one image: 2952 in uint8, 120 in float
# PSNR, 32 levels apart: 18.03 dB in uint8, 18.03 by hand
# TorchEval, mean squared error, 32 levels apart: 0 in uint8, 1024 in float
# TorchEval, PSNR, 32 levels apart: inf in uint8, 18.03 in float
# Ignite, mean absolute error, one level apart: 128 in uint8, 1 in float
# Ignite, mean squared error, 32 levels apart: 0 in uint8, 1024 in float
# Ignite, PSNR, 32 levels apart: 18.03 in uint8, 18.03 in float
# as before
