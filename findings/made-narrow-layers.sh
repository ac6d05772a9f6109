#!/usr/bin/env bash
# A MADE whose hidden layers are narrower than its input silently stops reading some inputs.
#
# Expected: output i of a masked autoencoder for density estimation (Germain et al., 2015, arXiv 1502.03509) depends on
# all inputs before i whatever the width, or a width that cannot carry them is refused.
# Seen with nflows 0.14, normflows 1.7.3 and zuko 1.6.0: hidden units are given out from the first input on, so that with 2
# hidden units for 5 features none carries inputs 3 and 4: outputs 4 and 5 never see them, whatever the weights. Nothing is
# said; the flow is valid, normalised, and weaker than it looks. With 4 units all is read.
# So the receptive field of an autoregressive network has to be looked at, even where its causality is certain.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
pip torch==2.13.0 numpy==2.2.6 tqdm==4.67.1
pip --no-deps nflows==0.14 normflows==1.7.3 zuko==1.6.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from nflows.transforms.made import MADE
from normflows.nets.made import MADE as OtherMADE
from zuko.nn import MaskedMLP

FEATURES = 5
BEFORE = torch.tril(torch.ones(FEATURES, FEATURES, dtype=torch.bool), -1)
failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


def reads(make):
    """Which inputs each output ever depends on: the union over random weights and inputs."""
    found = torch.zeros(FEATURES, FEATURES, dtype=torch.bool)
    for seed in range(8):
        torch.manual_seed(seed)
        network = make()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter)
        jacobian = torch.autograd.functional.jacobian(lambda x: network(x).sum(0), torch.randn(64, FEATURES))
        found |= (jacobian != 0).any(1)
    return found


MAKERS = {
    "nflows": lambda width: MADE(FEATURES, width, num_blocks=2, output_multiplier=1),
    "normflows": lambda width: OtherMADE(FEATURES, width, num_blocks=2, output_multiplier=1),
    "zuko": lambda width: MaskedMLP(BEFORE, (width, width)),
}
for name, make in MAKERS.items():
    for width in (2, 4):
        seen = reads(lambda: make(width))
        missing = [(i + 1, j + 1) for i, j in (BEFORE & ~seen).nonzero().tolist()]
        expect(f"{name}, {width} hidden units: causal", not (seen & ~BEFORE).any())
        wanted = [(4, 3), (5, 3), (5, 4)] if width == 2 else []
        expect(f"{name}, {width} hidden units: (output, input) pairs never read: {missing}", missing == wanted)
sys.exit(bool(failures))
PYTHON
# The output seen, for each of nflows, normflows and zuko:
# as before: nflows, 2 hidden units: causal
# as before: nflows, 2 hidden units: (output, input) pairs never read: [(4, 3), (5, 3), (5, 4)]
# as before: nflows, 4 hidden units: causal
# as before: nflows, 4 hidden units: (output, input) pairs never read: []
