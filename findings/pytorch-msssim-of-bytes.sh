#!/usr/bin/env bash
# Any two pictures of bytes are the same to pytorch-msssim: their SSIM is 1.
#
# Expected: the structural similarity of two noise images that have nothing in common is about 0, for uint8 tensors, as files and samplers give them
# and as the default data_range of 255 suggests, as for the same numbers in float32; or integers are refused.
# Seen with pytorch-msssim 1.0.0 (its last release) and torch 2.13.0 on a CPU: the Gaussian window is cast to the type of the images, and in
# integers all of its weights are 0. So are all local means and variances, and what is left of the formula is C1 C2 / (C1 C2) = 1: ssim and SSIM of a
# picture and its negative, of black and white, are 1.0, for uint8, int16, int32 and int64, with every data_range; as a loss, 1 - SSIM is 0 from
# the start. ms_ssim of int64 is 1.0 too; of the other integers it fails in the pooling between scales. A warning is not given.
# Call .float() on bytes first, as for torchmetrics' errors; piq 0.8.0 does it by itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 pytorch-msssim==1.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from pytorch_msssim import SSIM, ms_ssim, ssim

generator = torch.Generator().manual_seed(0)
one, other = torch.randint(0, 256, (2, 4, 3, 176, 176), generator=generator)
kinds = (torch.uint8, torch.int16, torch.int32, torch.int64)
values = {str(kind): ssim(one.to(kind), other.to(kind)).item() for kind in (*kinds, torch.float32, torch.float64)}
for kind, value in values.items():
    print(f"two noise images, {kind}: {value:.4f}")
white = torch.full((1, 1, 28, 28), 255)
tries = {
    "black and white, bytes": ssim(white.byte(), 0 * white.byte()).item(),
    "a picture and its negative, bytes": SSIM(data_range=255)(one.byte(), 255 - one.byte()).item(),
    "noise, several scales, int64": ms_ssim(one, other).item(),
}
floats = {
    "black and white, float32": ssim(white.float(), 0 * white.float()).item(),
    "a picture and its negative, float32": SSIM(data_range=255)(one.float(), 255 - one.float()).item(),
    "noise, several scales, float32": ms_ssim(one.float(), other.float()).item(),
}
for title, value in (tries | floats).items():
    print(f"{title}: {value:.4f}")
*whole, single, double = values.values()
as_before = set(whole) | set(tries.values()) == {1.0} and max(single, double, *floats.values()) < 0.1
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
