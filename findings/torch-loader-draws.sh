#!/usr/bin/env bash
# Looking at the validation set changes how a torch model is trained afterwards.
#
# Expected: going through a DataLoader without shuffling, without workers, in evaluation mode, draws no random number:
# there is nothing to draw.
# Seen with torch 2.13.0: each pass takes one number from the global generator, a seed for workers that there are none
# of. So dropout, noise and the next epoch's order depend on how often, and when, one validates: the same seed with and
# without validation trains two models, and a run resumed beside its validation goes on as another. The documentation
# tells of the draw under multi-process loading. DataLoader(..., generator=torch.Generator()) draws from that generator
# instead. pixkit's noise comes from counters.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

images = torch.rand(64, 8, generator=torch.Generator().manual_seed(1))


def trained(validate, **options):
    """The sum of the weights after two epochs of an autoencoder with dropout, seeded alike."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        model.train()
        for (batch,) in DataLoader(TensorDataset(images), batch_size=16, shuffle=True):
            optimizer.zero_grad()
            (model(batch) - batch).square().mean().backward()
            optimizer.step()
        if validate:
            model.eval()
            with torch.no_grad():
                sum(model(batch).sum() for (batch,) in DataLoader(TensorDataset(images), batch_size=16, **options))
    return sum(parameter.double().sum().item() for parameter in model.parameters())


print("torch", torch.__version__.split("+")[0])
torch.set_num_threads(1)
plain, again, watched, own = trained(False), trained(False), trained(True), trained(True, generator=torch.Generator())
print(f"two runs without validation agree: {plain == again}")
print(f"with validation: {watched == plain}")
print(f"with validation by a generator of its own: {own == plain}")
as_before = plain == again == own != watched
print("as before" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON
# The output seen:
# torch 2.13.0
# two runs without validation agree: True
# with validation: False
# with validation by a generator of its own: True
# as before
