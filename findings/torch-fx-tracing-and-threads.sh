#!/usr/bin/env bash
# While one thread traces a network with torch.fx, other networks cannot be called in other threads.
#
# Expected: torch.fx.symbolic_trace(a) concerns `a` and the thread that calls it.
# Seen with torch 2.13.0: while it traces, it replaces the call and the attribute look-up of nn.Module itself, for every
# module of the process. A plain forward of another network in another thread then raises "NameError: module is not
# installed as a submodule", for as long as the other is being traced. A server that traces a model that has just been
# loaded fails requests to those that it serves already.
# pixkit traces one network at a time and lets other threads' modules pass.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import collections
import sys
import threading

import torch
from torch import fx, nn

large = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(300)])
other = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
x = torch.randn(2, 4)
errors, over = collections.Counter(), threading.Event()


def serve():
    while not over.is_set():
        try:
            other(x)
        except Exception as error:
            errors[f"{type(error).__name__}: {error}"] += 1


thread = threading.Thread(target=serve)
thread.start()
for _ in range(5):
    fx.symbolic_trace(large)
over.set()
thread.join()
print("torch", torch.__version__.split("+")[0])
print("calls of the other network that failed:", ", ".join(errors) or "none")
other(x)
print("afterwards it works")
if list(errors) != ["NameError: module is not installed as a submodule"]:
    sys.exit("CHANGED")
PYTHON
# The output seen:
# torch 2.13.0
# calls of the other network that failed: NameError: module is not installed as a submodule
# afterwards it works
