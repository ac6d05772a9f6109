#!/usr/bin/env bash
# What is all but impossible costs 15.9 nats and no more, in float64 36, by torch's distributions: anomalies tie.
#
# Expected: Categorical(probs=p).log_prob(level) is log p[level]; float32 holds probabilities down to 1e-45, which are 103 nats. At 0 it is -inf, as
# kl_divergence to such a distribution is, and as scipy's are. Whether a network's softmax is given as probs or its output as logits is the same.
# Seen with torch 2.13.0: probabilities are kept away from 0 and 1 by the type's epsilon before the logarithm, so that everything below 1.2e-7 is worth
# log 1.2e-7 = -15.94 in float32, and -36.04 below 2.2e-16 in float64; 0 is, too. OneHotCategorical and Bernoulli do the same; Binomial over 255 levels, by
# the same step, gives the level 1 at probability 0 10.4 nats, and each next one some more. kl_divergence says infinity of the same two distributions, and
# sample() never draws such a level. The probabilities of 256 levels, one of them certain, sum to 1.00003. The description of probs does not tell.
# Made of logits all are right. A pixel whose level has 1e-8 and one whose level has 1e-30 get one score, which is where anomalies are looked for: below,
# the area under the curve of images with one strange pixel falls from 1 to 0.5.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import math
import sys

import torch
from torch.distributions import Bernoulli, Binomial, Categorical, OneHotCategorical, kl_divergence

failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


for kind, floor in ((torch.float32, -15.9424), (torch.float64, -36.0437)):
    p = torch.tensor([1.0, 1e-30, 0.0], dtype=kind)
    known, least, none = Categorical(probs=p).log_prob(torch.arange(3)).tolist()
    print(f"{kind}: log 1e-30 = {math.log(1e-30):.2f} is {least:.4f}, log 0 is {none:.4f}")
    expect(f"{kind}: both are the floor", abs(least - floor) < 1e-3 and least == none)
    hot = OneHotCategorical(probs=p).log_prob(torch.eye(3, dtype=kind))[1].item()
    coin = Bernoulli(probs=p[1]).log_prob(torch.ones((), dtype=kind)).item()
    expect(f"{kind}: OneHotCategorical and Bernoulli, the same", abs(hot - floor) + abs(coin - floor) < 1e-3)
    logits = Categorical(logits=p.log()).log_prob(torch.arange(3)).tolist()
    expect(f"{kind}: of logits, right", abs(logits[1] - math.log(1e-30)) < 1e-4 and logits[2] == -math.inf)

certain = torch.zeros(256)
certain[0] = 1
total = Categorical(probs=certain).log_prob(torch.arange(256)).double().exp().sum().item()
print(f"256 levels, one of them certain: {total:.6f}")
expect("the sum is above 1", 1.00002 < total < 1.00004)
one = Binomial(255, probs=torch.zeros(())).log_prob(torch.ones(())).item()
print(f"Binomial over 255 at 0, level 1: {one:.2f}")
expect("Binomial: 10.4 nats", abs(one + 10.4011) < 1e-3)
expect("kl_divergence: infinite", kl_divergence(Categorical(torch.ones(256)), Categorical(certain)).item() == math.inf)

# Images of 64 pixels that a model knows well; in half of them one pixel has a level that it holds for all but impossible,
# in the other half one has a level that is merely rare: 1e-8.
random = torch.Generator().manual_seed(0)
scores = torch.randn(200, 64, 16, generator=random) * 0.1
scores[..., 0] += 10
levels = torch.zeros(200, 64, dtype=torch.long)
levels[:, 20] = 1
scores[:100, 20, 1] = 10 - 18.5
scores[100:, 20, 1] = 10 - 60


def area(by):
    nats = -by.log_prob(levels).double().sum(1)
    normal, strange = nats[:100, None], nats[None, 100:]
    return ((strange > normal).double() + (strange == normal) / 2).mean().item()


shares = area(Categorical(probs=scores.softmax(-1))), area(Categorical(logits=scores))
print(f"area under the curve: {shares[0]:.2f} of probabilities, {shares[1]:.2f} of logits")
expect("chance of probabilities, perfect of logits", 0.35 < shares[0] < 0.65 and shares[1] == 1)
sys.exit(bool(failures))
PYTHON
# The output seen:
# torch.float32: log 1e-30 = -69.08 is -15.9424, log 0 is -15.9424
# as before: torch.float32: both are the floor
# as before: torch.float32: OneHotCategorical and Bernoulli, the same
# as before: torch.float32: of logits, right
# torch.float64: log 1e-30 = -69.08 is -36.0437, log 0 is -36.0437
# as before: torch.float64: both are the floor
# as before: torch.float64: OneHotCategorical and Bernoulli, the same
# as before: torch.float64: of logits, right
# 256 levels, one of them certain: 1.000030
# as before: the sum is above 1
# Binomial over 255 at 0, level 1: -10.40
# as before: Binomial: 10.4 nats
# as before: kl_divergence: infinite
# area under the curve: 0.50 of probabilities, 1.00 of logits
# as before: chance of probabilities, perfect of logits
