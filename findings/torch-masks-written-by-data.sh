#!/usr/bin/env bash
# The PixelCNN of most tutorials, `self.weight.data *= self.mask`, loses its masks when it is traced or exported, and nothing is said.
#
# Expected: torch.fx.symbolic_trace, torch.jit.trace, torch.export and torch.compile give a program that computes what the module
# computes, or fail. A masked convolution that is causal stays causal, also when it gets other weights (a checkpoint loaded afterwards).
# Seen with torch 2.13.0: symbolic_trace of a fresh module records `.data *=` as an assignment to nothing, so that the program reads the
# weights unmasked and sees later pixels from the start. torch.jit.trace does not record what is done to `.data` at all: right
# with the weights of the moment, as tracing masked them, and unmasked with any others. torch.export with strict=True takes
# `.data.mul_(mask)` for a change of a constant and convolves with the weights as they are. The rest fails aloud (torch.export without
# strict) or is right (torch.compile, without gradients). The same mask applied under torch.no_grad(), or multiplied in the
# convolution's argument, survives all of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - 2> "$folder/errors" <<'PYTHON' || { cat "$folder/errors"; exit 1; }
import sys

import torch

failures = []


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


class Masked(torch.nn.Conv2d):
    """Sees the pixels before the one it foretells, and not that one."""

    def __init__(self):
        super().__init__(1, 4, 3, padding=1)
        self.register_buffer("mask", torch.ones_like(self.weight).flatten(2).index_fill(2, torch.arange(4, 9), 0).view_as(self.weight))


class ByData(Masked):
    def forward(self, x):
        self.weight.data *= self.mask
        return super().forward(x)


class ByDataMul(Masked):
    def forward(self, x):
        self.weight.data.mul_(self.mask)
        return torch.nn.Conv2d.forward(self, x)


class ByNoGrad(Masked):
    def forward(self, x):
        with torch.no_grad():
            self.weight.mul_(self.mask)
        return torch.nn.Conv2d.forward(self, x)


class ByProduct(Masked):
    def forward(self, x):
        return self._conv_forward(x, self.weight * self.mask, self.bias)


@torch.no_grad()
def sees(program):
    """Whether outputs up to the middle pixel change with it."""
    torch.manual_seed(0)
    x = torch.randn(1, 1, 5, 5)
    y = x.clone()
    y[0, 0, 2, 2] += 1
    return bool((program(x) - program(y)).flatten(2)[..., :13].any())


def tried(kind, transform):
    """Whether the program sees later pixels at once, and with other weights; or that there is none."""
    torch.manual_seed(0)
    net = kind().eval()
    try:
        program = transform(net, torch.randn(1, 1, 5, 5))
        at_once = sees(program)
        with torch.no_grad():
            for weights in program.parameters():
                weights.copy_(torch.randn_like(weights))
        return at_once, sees(program)
    except Exception:
        return "fails"


def exported(**options):
    return lambda net, x: torch.export.export(net, (x,), **options).module()


right, fails = (False, False), "fails"
for name, transform, before in (
    ("the module itself", lambda net, x: net, (right,) * 4),
    ("torch.fx.symbolic_trace", lambda net, x: torch.fx.symbolic_trace(net), ((True, True), right, right, right)),
    ("torch.jit.trace", torch.jit.trace, ((False, True), (False, True), right, right)),
    ("torch.export", exported(strict=False), (fails, fails, right, right)),
    ("torch.export, strict", exported(strict=True), (fails, (True, True), right, right)),
    ("torch.compile", lambda net, x: torch.compile(net, backend="aot_eager"), (right,) * 4),
):
    for kind, seen in zip((ByData, ByDataMul, ByNoGrad, ByProduct), before):
        expect(f"{name}, {kind.__name__}: sees the future at once, with other weights", tried(kind, transform), seen)
sys.exit(bool(failures))
PYTHON
