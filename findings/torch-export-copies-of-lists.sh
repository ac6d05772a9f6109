#!/usr/bin/env bash
# torch.export, which only looks at a module, leaves it with copies of its lists, dicts and tuples.
#
# Expected: after torch.export.export(module, inputs) the module is what it was, as after torch.jit.trace or torch.fx: it may be trained on, and
# computes what it would have computed.
# Seen with torch 2.13.0 in the default mode (strict=False): every attribute that is a list, a dict or a tuple is replaced by an equal
# copy, in submodules too, whether the export succeeds or raises. A list that two blocks share (keys and values handed from one to the other, a table of
# settings that is changed later) is two lists from then on: what the one appends the other no longer sees, and the module computes something else than before,
# or fails, although nobody changed it. With strict=True, and after torch.jit.trace and torch.fx.symbolic_trace, all of them are the same objects as before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch import nn

failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


class Block(nn.Module):
    """Adds what the blocks before it left in the list that all share."""

    def __init__(self, left):
        super().__init__()
        self.layer, self.left, self.table, self.pair = nn.Linear(3, 3), left, {"scale": 2.0}, (1, [2])

    def forward(self, x):
        x = self.table["scale"] * self.layer(x) + sum(self.left)
        self.left.append(x)
        return x


class Net(nn.Module):
    """Blocks that share a list, which is emptied first."""

    def __init__(self):
        super().__init__()
        self.left = []
        self.blocks = nn.ModuleList(Block(self.left) for _ in range(3))

    def forward(self, x):
        self.left.clear()
        for block in self.blocks:
            x = block(x)
        self.left.clear()
        return x


def look(how):
    """Which of a block's containers are the same objects afterwards, and whether the network computes the same."""
    torch.manual_seed(0)
    net, x = Net().eval(), torch.randn(2, 3)
    before = net(x)
    held = [net.blocks[0].left, net.blocks[0].table, net.blocks[0].pair]
    try:
        how(net, x)
    except Exception as error:
        print(f"{type(error).__name__}")
    now = [net.blocks[0].left, net.blocks[0].table, net.blocks[0].pair]
    return [one is other for one, other in zip(held, now, strict=True)], torch.equal(net(x), before)


with torch.no_grad():
    for name, how in (
        ("torch.export, strict", lambda net, x: torch.export.export(net, (x,), strict=True)),
        ("torch.jit.trace", torch.jit.trace),
        ("torch.fx", lambda net, x: torch.fx.symbolic_trace(net)),
    ):
        same, computes = look(how)
        print(f"{name}: list, dict, tuple the same {same}; computes the same: {computes}")
        expect(f"{name} leaves the module as it was", all(same) and computes)
    same, computes = look(lambda net, x: torch.export.export(net, (x,)))
    print(f"torch.export: list, dict, tuple the same {same}; computes the same: {computes}")
    expect("torch.export leaves copies", same == [False, False, False])
    expect("the network computes something else afterwards", not computes)
    same, _ = look(lambda net, x: torch.export.export(net, (x[:, :2],)))
    expect("after an export that raises, too", same == [False, False, False])
sys.exit(bool(failures))
PYTHON
