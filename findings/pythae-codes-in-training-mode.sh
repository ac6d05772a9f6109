#!/usr/bin/env bash
# A PixelCNN over codes that is sampled in training mode: what is drawn for one image depends on the other images.
#
# Expected: after `PixelCNNSampler.fit`, `sample` draws codes from the network in evaluation mode, as the VQ-VAE itself is in: the
# same distribution whatever the batch size, and a model that sampling does not change.
# Seen with pythae 0.1.2: the fitted network is loaded from its folder and stays in training mode. Its batch normalisation then
# takes the statistics of the canvas, zeros for all that is not drawn yet included: the distribution of the first code depends on
# how the canvas is filled and on the images beside it, and each call of `sample` moves the running statistics, which are saved
# with the sampler. Nothing is said. `sampler.pixelcnn_model.eval()` between `fit` and `sample` mends it. The MAF and IAF samplers load
# their networks by the same function.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 pythae==0.1.2
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - 2>"$folder/said" <<'PYTHON' || { tail -5 "$folder/said"; exit 1; }
import logging
import sys

import torch
from pythae.models import VQVAE, VQVAEConfig
from pythae.samplers import PixelCNNSampler, PixelCNNSamplerConfig
from pythae.trainers import BaseTrainerConfig

logging.disable(logging.CRITICAL)
failures = []


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


torch.manual_seed(0)
images = torch.rand(64, 1, 8, 8)
images[0, 0, 0, 0] = 1
codec = VQVAE(VQVAEConfig(input_dim=(1, 8, 8), latent_dim=4, num_embeddings=8))
sampler = PixelCNNSampler(codec, PixelCNNSamplerConfig(n_layers=3, kernel_size=3))
sampler.fit(images, training_config=BaseTrainerConfig(output_dir="out", num_epochs=2, no_cuda=True))
prior = sampler.pixelcnn_model
norm = next(layer for layer in prior.modules() if isinstance(layer, torch.nn.BatchNorm2d))


def first(canvas):
    """Logits of the first code of the first image, which may depend on nothing."""
    with torch.no_grad():
        return prior({"data": canvas}).out[0, :, 0, 0, 0]


def depends(change):
    canvas = torch.zeros(2, 1, 1, 4)
    other = canvas.clone()
    other[change] = 7.0
    return not torch.equal(first(canvas), first(other))


expect("the VQ-VAE is in training mode", codec.training, False)
expect("the PixelCNN is in training mode", prior.training, True)
count = int(norm.num_batches_tracked)
sampler.sample(2)
expect("batches that sampling 4 codes added to its statistics", int(norm.num_batches_tracked) - count, 4)
expect("the first code depends on later codes", depends((0, 0, 0, 2)), True)
expect("the first code depends on another image", depends((1, 0, 0, 2)), True)
prior.eval()
expect("in evaluation mode, on later codes", depends((0, 0, 0, 2)), False)
expect("in evaluation mode, on another image", depends((1, 0, 0, 2)), False)
sys.exit(bool(failures))
PYTHON
# The output seen:
# the VQ-VAE is in training mode: False
# the PixelCNN is in training mode: True
# batches that sampling 4 codes added to its statistics: 4
# the first code depends on later codes: True
# the first code depends on another image: True
# in evaluation mode, on later codes: False
# in evaluation mode, on another image: False
