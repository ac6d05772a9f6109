#!/usr/bin/env bash
# Fused optimisers on a CPU mix up weights when a network is turned to channels-last after their first step, or is resumed in it.
#
# Expected: `fused=True` gives what `fused=False` gives, to rounding, or an error where it cannot; on CUDA torch asks for parameters, gradients and
# state of one layout and raises.
# Seen with torch 2.13.0 on a CPU: Adam, AdamW, SGD with momentum and Adagrad walk through parameter, gradient and state as they lie in memory,
# whatever the strides of each. State that was made of contiguous weights is then added to other weights' gradients, without a word. It
# happens where a network is converted with to(memory_format=torch.channels_last) between steps, and where the state of a run that
# trained contiguous weights is loaded for channels-last ones, or the other way round. With fused=False both are exact: the updates are
# element by element, and the network computes the same function in either layout.
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


def trained(kind, fused, change, **options):
    """The weights after three steps in the contiguous layout, `change`, and three more."""
    torch.manual_seed(0)
    net, images = torch.nn.Conv2d(3, 4, 3).double(), torch.randn(2, 3, 8, 8, dtype=torch.float64)

    def optimiser():
        return getattr(torch.optim, kind)(net.parameters(), lr=0.01, fused=fused, **options)

    def steps():
        for _ in range(3):
            made.zero_grad()
            net(images).sin().square().mean().backward()
            made.step()

    made = optimiser()
    steps()
    if change == "converted":
        net.to(memory_format=torch.channels_last)
    if change == "resumed":
        state, weights = made.state_dict(), net.state_dict()
        net = torch.nn.Conv2d(3, 4, 3).double().to(memory_format=torch.channels_last)
        net.load_state_dict(weights)
        made = optimiser()
        made.load_state_dict(state)
    steps()
    return net.weight.detach()


def deviation(one, other):
    return float((one - other).abs().max())


for kind, options in (("Adam", {}), ("AdamW", {}), ("SGD", {"momentum": 0.9}), ("Adagrad", {})):
    plain = trained(kind, False, None, **options)
    expect(f"{kind}, fused, one layout: agrees to 1e-12", deviation(trained(kind, True, None, **options), plain) < 1e-12, True)
    for change in ("converted", "resumed"):
        unfused = deviation(trained(kind, False, change, **options), plain)
        fused = deviation(trained(kind, True, change, **options), plain)
        expect(f"{kind}, {change} in channels-last, not fused: agrees to 1e-12", unfused < 1e-12, True)
        expect(f"{kind}, {change} in channels-last, fused: differs by more than 1e-3", fused > 1e-3, True)
sys.exit(bool(failures))
PYTHON
