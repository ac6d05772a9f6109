#!/usr/bin/env bash
# A discretised logistic's likelihood, exported to ONNX, is infinite in the tails: logsigmoid becomes the logarithm of a sigmoid.
#
# Expected: torch.onnx.export keeps what the operations are for: logsigmoid(-20) is -20, logaddexp(100, 0) is 100, log_ndtr(-20) is -203.9, log1p and expm1 of small numbers are those
# numbers. ONNX has Softplus, ReduceLogSumExp and LogSoftmax, which onnxruntime computes stably.
# Seen with torch 2.13.0, onnxscript 0.7.2 and onnxruntime 1.32.0 on a CPU: logsigmoid is Log(Sigmoid(x)), -inf from -20 on, where its gradient and anomalies' scores live; logaddexp is
# Log(Exp(a) + Exp(b)), inf from 89 on; special.log_ndtr is NaN there; log1p(1e-9) is 0. softplus, logsumexp and log_softmax are right.
# So an image with one surprising pixel has a likelihood of 0, and a mixture's log-probability at 100 logits is inf. Where a model is to
# be exported, logsigmoid(x) as -softplus(-x) and logaddexp as logsumexp of a stack are exact in both. No warning is given, and the export's own
# verification on ordinary inputs passes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0
"$folder/venv/bin/python" -W ignore - "$folder/net.onnx" 2> "$folder/log" <<'PYTHON' || { tail -3 "$folder/log"; exit 1; }
import sys

import onnxruntime
import torch
from torch import nn
from torch.nn import functional as F


class Each(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def exported(function, x):
    torch.onnx.export(Each(function).eval(), (x,), sys.argv[1], dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])


def level(x):
    """Of level 100 of 256, by a logistic of mean x and scale 1 and bins of width 1: differences of sigmoids, stably."""
    upper, lower = 100.5 - x, 99.5 - x
    return F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(torch.full_like(x, -1.0)))


def by_softplus(x):
    return -F.softplus(x - 100.5) - F.softplus(99.5 - x) + torch.log(-torch.expm1(torch.full_like(x, -1.0)))


inf, nan = torch.inf, torch.nan
x = torch.tensor([-200.0, -100.0, -20.0, 0.0, 20.0, 100.0, 200.0])
means = torch.tensor([0.0, 50.0, 90.0, 100.0, 110.0, 150.0, 255.0])
CASES = [
    ("logsigmoid", F.logsigmoid, x, [0, 1, 2]),
    ("-softplus(-x)", lambda x: -F.softplus(-x), x, []),
    ("logaddexp(x, 0)", lambda x: torch.logaddexp(x, torch.zeros_like(x)), x, [5, 6]),
    ("logsumexp of x and 0", lambda x: torch.logsumexp(torch.stack([x, torch.zeros_like(x)]), 0), x, []),
    ("log_ndtr", torch.special.log_ndtr, x, [0, 1, 2]),
    ("log1p(1e-9 |x|), times 1e9", lambda x: 1e9 * torch.log1p(1e-9 * x.abs()), x, [2, 4]),
    ("discretised logistic", level, means, [0, 1, 5, 6]),
    ("the same by softplus", by_softplus, means, []),
]
changed = False
for name, function, given, before in CASES:
    wanted, found = function(given), exported(function, given)
    far = ~torch.isclose(found, wanted, rtol=0.3, atol=1e-5)
    wrong = far.nonzero()[:, 0].tolist()
    row = ", ".join(f"{a:g}: {b:.4g} for {c:.4g}" for a, b, c in zip(given[far].tolist(), found[far].tolist(), wanted[far].tolist(), strict=True))
    print(("as before: " if wrong == before else "CHANGED:   ") + f"{name}: {row or 'right'}")
    changed |= wrong != before
sys.exit(changed)
PYTHON
# The output seen:
# as before: logsigmoid: -200: -inf for -200, -100: -inf for -100, -20: -inf for -20
# as before: -softplus(-x): right
# as before: logaddexp(x, 0): 100: inf for 100, 200: inf for 200
# as before: logsumexp of x and 0: right
# as before: log_ndtr: -200: nan for -2.001e+04, -100: nan for -5006, -20: nan for -203.9
# as before: log1p(1e-9 |x|), times 1e9: -20: 0 for 20, 20: 0 for 20
# as before: discretised logistic: 0: -inf for -99.96, 50: -inf for -49.96, 150: -inf for -49.96, 255: -inf for -155
# as before: the same by softplus: right
