#!/usr/bin/env bash
# A function mode around a checkpointed block does not see its recomputation: gradients are those of other operations, silently.
#
# Expected: a TorchFunctionMode that is entered around both the forward and the backward pass sees all that a block under
# torch.utils.checkpoint calls, so twice, as a TorchDispatchMode does; a mode that exchanges an operation exchanges it both times.
# Seen with torch 2.13.0: it sees the first time alone, though it is still entered, with use_reentrant=True and False: autograd's engine runs
# the recomputation with the modes of torch functions off. A mode that draws dropout its own way (a fused or a seeded one) then has
# gradients of torch's mask for its own values. The reentrant kind says nothing; the other one raises if tensors that are kept differ in
# number or shape, and says nothing, too, where the mode's dropout keeps what torch's does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - 2> "$folder/errors" <<'PYTHON' || { cat "$folder/errors"; exit 1; }
import sys

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import CheckpointError, checkpoint

failures = []


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


class Functions(TorchFunctionMode):
    """Counts dropouts, and does them with a mask that `own` makes, if there is one."""

    def __init__(self, own=None):
        super().__init__()
        self.own, self.count = own, 0

    def __torch_function__(self, function, types, arguments=(), options=None):
        if function is functional.dropout:
            self.count += 1
            if self.own is not None:
                return self.own(arguments[0])
        return function(*arguments, **(options or {}))


class Operations(TorchDispatchMode):
    """Counts what draws a mask."""

    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.count += "dropout" in str(function) or "bernoulli" in str(function)
        return function(*arguments, **(options or {}))


def every_other(x):
    """Dropout of one half whose mask no generator draws; it keeps the mask for the backward pass, and its factor, as torch's does."""
    return x * (torch.arange(x.numel()).view_as(x) % 2 == 0).to(x).mul_(2.0)


def in_two_steps(x):
    """The same, which keeps one tensor more."""
    return every_other(x) * torch.ones_like(x)


def gradient(own, reentrant):
    """The gradient of a sum by each element, and the values; or the error."""
    x = torch.ones(4, 64, requires_grad=True)
    with Functions(own) as mode:
        try:
            y = checkpoint(lambda x: functional.dropout(x, 0.5), x, use_reentrant=reentrant)
            y.sum().backward()
        except CheckpointError as error:
            return type(error).__name__, mode.count
    return "the same" if torch.equal(x.grad, y.detach()) else "other", mode.count


for reentrant in (True, False):
    torch.manual_seed(0)
    x = torch.ones(4, 64, requires_grad=True)
    with Operations() as operations:
        checkpoint(lambda x: functional.dropout(x, 0.5), x, use_reentrant=reentrant).sum().backward()
    expect(f"reentrant {reentrant}: masks that a dispatch mode sees", operations.count, 2)
    expect(f"reentrant {reentrant}: torch's dropout, gradient and values, dropouts seen", gradient(None, reentrant), ("the same", 1))
    before = ("other", 1)
    expect(f"reentrant {reentrant}: the mode's own dropout", gradient(every_other, reentrant), before)
    before = ("other", 1) if reentrant else ("CheckpointError", 1)
    expect(f"reentrant {reentrant}: one that keeps a tensor more", gradient(in_two_steps, reentrant), before)
sys.exit(bool(failures))
PYTHON
