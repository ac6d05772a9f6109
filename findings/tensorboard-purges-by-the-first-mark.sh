#!/usr/bin/env bash
# SummaryWriter(purge_step=N) of a run that is gone on with hides the steps that are made again, or does not: it depends on
# what reads the files, and on whether the run's first writer was given a purge_step, too.
#
# Expected: events of step N and later in older files are hidden, as torch's documentation says, by whatever part of
# TensorBoard reads them. Seen with torch 2.13.0 and tensorboard 2.21.0: event_accumulator (what scripts read with) and the
# server's fast loader hide them. The server's loader in Python (--load_fast=false, and where there is no fast one) takes the
# first mark of a run for its beginning and hides nothing for it: a run that was killed at step 10 and gone on with
# from step 6 shows steps 6 to 8 twice, and 9 and 10. A purge_step for the first writer mends it. torch's documentation
# gives it to the later one alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 tensorboard==2.21.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - 2>/dev/null <<'PYTHON'
import sys

from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator
from torch.utils.tensorboard import SummaryWriter

found = {}
for first in (None, 1):
    run = f"first-{first}"
    for purge, steps in ((first, range(1, 11)), (6, range(6, 9))):
        with SummaryWriter(run, purge_step=purge) as writer:
            for step in steps:
                writer.add_scalar("loss", step, step)
    scripts = [one.step for one in event_accumulator.EventAccumulator(run).Reload().Scalars("loss")]
    server = [one.step for one in plugin_event_accumulator.EventAccumulator(run).Reload().Tensors("loss")]
    found[first] = scripts, server
    print(f"first writer's purge_step {first}: scripts read {scripts}, the server's Python loader {server}")
once = list(range(1, 9))
before = {None: (once, [*range(1, 11), 6, 7, 8]), 1: (once, once)}
print("as before" if found == before else "CHANGED")
sys.exit(found != before)
PYTHON
# The output seen:
# first writer's purge_step None: scripts read [1, 2, 3, 4, 5, 6, 7, 8], the server's Python loader [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 6, 7, 8]
# first writer's purge_step 1: scripts read [1, 2, 3, 4, 5, 6, 7, 8], the server's Python loader [1, 2, 3, 4, 5, 6, 7, 8]
# as before
