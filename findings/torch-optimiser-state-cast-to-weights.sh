#!/usr/bin/env bash
# torch.optim casts the state that it loads to the type of the weights: an optimiser that keeps float32 or counts beside bfloat16 weights does not resume.
#
# Expected: load_state_dict gives an optimiser the state that state_dict took from it, types and values, as a module's load_state_dict does for buffers.
# Seen with torch 2.13.0: every tensor of the state, apart from the one called "step", is converted to the type of its weight. With bfloat16 weights a momentum or a
# copy of the weights that an optimiser keeps in float32 is rounded to 8 bits, and an integer count of 1001 becomes 1000. With float32
# weights integers become floats. No warning is given; the documentation of load_state_dict tells of param_groups and hooks only.
# torch's own optimisers keep their state in the type of the weights, so it shows with optimisers from elsewhere. Such an optimiser can restore
# its tensors in a hook (register_load_state_dict_post_hook), or override load_state_dict. pixkit's check_optimiser finds optimisers that do not resume.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import torch
from torch import nn


class Momentum(torch.optim.Optimizer):
    """SGD with a float32 momentum and an integer count, whatever the weights are."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.01})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight, dtype=torch.float32)
                    state["count"] = torch.tensor(1000)
                    state["step"] = torch.tensor(1000)
                state["momentum"].mul_(0.9).add_(weight.grad.float(), alpha=0.1)
                state["count"] += 1
                state["step"] += 1
                weight.sub_((group["lr"] * state["momentum"]).to(weight.dtype))


def resumed(dtype):
    """The state of an optimiser after a step, and what another one has after loading it."""
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(64, dtype=dtype))
    before = Momentum([weight])
    weight.grad = torch.randn(64).to(dtype)
    before.step()
    after = Momentum([weight])
    after.load_state_dict(before.state_dict())
    return before.state[weight], after.state[weight]


failures = []
print("torch", torch.__version__.split("+")[0])
for dtype, same in ((torch.float32, {"momentum", "step"}), (torch.bfloat16, {"step"})):
    saved, loaded = resumed(dtype)
    kept = {key for key in saved if saved[key].dtype == loaded[key].dtype and torch.equal(saved[key], loaded[key])}
    count = loaded["count"]
    print(f"{dtype} weights: kept {sorted(kept)}; the count of {int(saved['count'])} is {count.item()}, {count.dtype}")
    if kept != same or count.dtype != dtype:
        failures.append(dtype)
print("CHANGED" if failures else "as before")
sys.exit(bool(failures))
PYTHON
# The output seen:
# torch 2.13.0
# torch.float32 weights: kept ['momentum', 'step']; the count of 1001 is 1001.0, torch.float32
# torch.bfloat16 weights: kept ['step']; the count of 1001 is 1000.0, torch.bfloat16
# as before
