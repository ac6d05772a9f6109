#!/usr/bin/env bash
# Areas under curves of likelihoods: 0.5 for scores in nats, and another figure for the same scores in other batches.
#
# Expected: BinaryAUROC and its kin depend on the order of the scores alone, as the area under an ROC curve does; a negative log-likelihood
# in nats, in bits or in bits/dim gives the same, in batches of any size.
# Seen with torchmetrics 1.9.0: scores outside [0, 1] are taken for logits (its documentation says so) and go through a sigmoid, in
# their own precision. Float32 scores above 17 become 1: an image's nats are hundreds, all images tie, and AUROC is 0.5 and the average
# precision the share of anomalies, for perfect scores too; in float64 the same happens from 37 on. Whether the sigmoid is applied is decided
# for each update anew: of bits/dim of binary images a batch whose scores are all below 1 stays as it is, a batch with one
# above is squashed, and its anomalies rank below the normal images of others. Ranks, divided by their
# number, or scores mapped to [0, 1] by one monotone rule give the right figure.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 torchmetrics==1.9.0
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from torchmetrics.classification import BinaryAUROC
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

failures = []


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


def area(scores, size):
    """The area after updates with so many scores each."""
    metric = BinaryAUROC()
    for part in range(0, len(scores), size):
        metric.update(scores[part : part + size], anomalous[part : part + size])
    return round(float(metric.compute()), 3)


torch.manual_seed(0)
anomalous = (torch.arange(1000) % 50 == 0).long()
nats = 90 + 20 * torch.rand(1000) + 40 * anomalous  # every anomaly has more than any other image
ranks = nats.argsort().argsort() / 1000
for name, scores, before in (("float32 nats", nats, (0.5, 0.02)), ("float64 nats", nats.double(), (0.5, 0.02)), ("ranks", ranks, (1.0, 1.0))):
    found = tuple(round(float(metric(scores, anomalous)), 3) for metric in (binary_auroc, binary_average_precision))
    expect(f"AUROC and average precision of {name}", found, before)

bits = 0.75 + 0.1 * torch.rand(1000)  # bits/dim of binary images; every anomaly has 0.9 or more, two in three above 1
bits[anomalous == 1] = torch.linspace(0.9, 1.2, 20)[torch.randperm(20)]
expect("AUROC of bits/dim, one batch", area(bits, 1000), 1.0)
expect("AUROC of bits/dim, batches of 25, below 0.7", area(bits, 25) < 0.7, True)
expect("AUROC of half the bits/dim, batches of 25", area(bits / 2, 25), 1.0)
sys.exit(bool(failures))
PYTHON
# The output seen:
# AUROC and average precision of float32 nats: (0.5, 0.02)
# AUROC and average precision of float64 nats: (0.5, 0.02)
# AUROC and average precision of ranks: (1.0, 1.0)
# AUROC of bits/dim, one batch: 1.0
# AUROC of bits/dim, batches of 25, below 0.7: True
# AUROC of half the bits/dim, batches of 25: 1.0
