#!/usr/bin/env bash
# The SSIM of the same two images falls from 0.998 to 0.644 when they lie in [-1, 1] instead of [0, 1].
#
# Expected: SSIM measures images, so an affine change of units with the data_range changed along leaves it as it is, as
# it leaves PSNR. data_range is documented as the difference between the largest and the smallest possible value.
# Seen with scikit-image 0.26.0 and torchmetrics 1.9.0: they agree on [0, 1] and [0, 255], and on [-1, 1] with a range
# of 2 both give the same, other number. The formula compares local means relative to their size, so that black has to
# be 0: where grey is 0, a picture a little brighter is taken for a wholly different one. torchmetrics takes the
# interval itself, data_range=(-1.0, 1.0), and uses its width alone. Networks' images lie in [-1, 1]; scored as they
# come, they do not compare with published figures. Move images to [0, 1] before SSIM.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 \
    torchmetrics==1.9.0 scikit-image==0.26.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

y, x = np.mgrid[0:64, 0:64]
clean = 128 + 50 * np.sin(x / 9) * np.cos(y / 7)
brighter = clean + 8
found = []
for name, scale, shift, span in (("0 to 255", 1, 0, 255), ("0 to 1", 1 / 255, 0, 1), ("-1 to 1", 2 / 255, -1, 2)):
    a, b = clean * scale + shift, brighter * scale + shift
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}  # of the paper, as torchmetrics
    first = structural_similarity(a, b, data_range=span, **window)
    tensors = torch.tensor(a)[None, None], torch.tensor(b)[None, None]
    second = structural_similarity_index_measure(*tensors, data_range=(float(shift), float(shift + span))).item()
    psnr = peak_signal_noise_ratio(a, b, data_range=span)
    found.append((first, second, psnr))
    print(f"{name}: SSIM {first:.4f} by scikit-image, {second:.4f} by torchmetrics; PSNR {psnr:.2f} dB")
bytes_, units, signed = np.array(found)
as_before = np.allclose(bytes_, units) and abs(signed[2] - units[2]) < 1e-9 and (units[:2] - signed[:2] > 0.1).all()
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# 0 to 255: SSIM 0.9980 by scikit-image, 0.9980 by torchmetrics; PSNR 30.07 dB
# 0 to 1: SSIM 0.9980 by scikit-image, 0.9980 by torchmetrics; PSNR 30.07 dB
# -1 to 1: SSIM 0.6440 by scikit-image, 0.6438 by torchmetrics; PSNR 30.07 dB
# as before
