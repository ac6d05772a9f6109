#!/usr/bin/env bash
# OpenVINO takes softplus for the one of beta 1, whatever beta is, and makes logsigmoid infinite: scales and likelihoods of a converted network are others.
#
# Expected: openvino.convert_model(module, example_input=...) computes F.softplus(x, beta=2), which networks use for scales, as torch does, or refuses it, as it refuses
# special.log_ndtr ("OpConversionFailure"); logsigmoid(-100) is -100; and a softplus is positive.
# Seen with openvino 2026.4.1 and torch 2.13.0 on a CPU, with float32 as inference precision: beta and threshold are dropped without a word: at 0, log 2 / 2 = 0.347 becomes log 2 = 0.693.
# logsigmoid is log(sigmoid), -inf from -100 on. softplus(-20) is -1.9e-6: a scale that is negative, whose logarithm is NaN.
# softplus(beta * x) / beta, written out, is converted rightly; -softplus(-x) serves as logsigmoid.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 openvino==2026.4.1
"$folder/venv/bin/python" -W ignore - 2> "$folder/log" <<'PYTHON' || { tail -3 "$folder/log"; exit 1; }
import sys

import numpy as np
import openvino
import torch
from torch import nn
from torch.nn import functional as F


class Each(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def converted(function, x):
    model = openvino.convert_model(Each(function).eval(), example_input=x)
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled(x.numpy())[0])


failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


x = torch.tensor([-100.0, -20.0, -1.0, 0.0, 1.0, 3.0, 30.0])
plain = F.softplus(x).numpy()
found = converted(F.softplus, x)
expect(f"softplus: {np.round(found, 3).tolist()}", np.allclose(found, plain, atol=1e-5))
expect(f"softplus(-20): {found[1]:.3g}", found[1] < 0)
found = converted(lambda x: F.softplus(x, beta=2), x)
wanted = F.softplus(x, beta=2).numpy()
expect(f"softplus, beta 2: {np.round(found, 3).tolist()}, by torch {np.round(wanted, 3).tolist()}", np.allclose(found, plain, atol=1e-5))
found = converted(lambda x: F.softplus(x * 2) / 2, x)
expect(f"softplus(2 x) / 2: {np.round(found, 3).tolist()}", np.allclose(found, wanted, atol=1e-5))
found = converted(F.logsigmoid, x)
expect(f"logsigmoid(-100): {found[0]}", found[0] == -np.inf)
found = converted(lambda x: -F.softplus(-x), x)
expect(f"-softplus(-x) at -100: {found[0]}", found[0] == -100)
try:
    converted(torch.special.log_ndtr, x)
    expect("log_ndtr is refused", False)
except Exception as error:
    expect(f"log_ndtr is refused: {type(error).__name__}", True)
sys.exit(bool(failures))
PYTHON
# The output seen:
# as before: softplus: [0.0, -0.0, 0.31299999356269836, 0.6930000185966492, 1.312999963760376, 3.0490000247955322, 30.0]
# as before: softplus(-20): -1.91e-06
# as before: softplus, beta 2: [0.0, -0.0, 0.31299999356269836, 0.6930000185966492, 1.312999963760376, 3.0490000247955322, 30.0], by torch [0.0, 0.0, 0.06300000101327896, 0.34700000286102295, 1.062999963760376, 3.000999927520752, 30.0]
# as before: softplus(2 x) / 2: [0.0, 0.0, 0.06300000101327896, 0.34700000286102295, 1.062999963760376, 3.000999927520752, 30.0]
# as before: logsigmoid(-100): -inf
# as before: -softplus(-x) at -100: -100.0
# as before: log_ndtr is refused: OpConversionFailure
