#!/usr/bin/env bash
# Restarted workers of torchrun meet at the store of those that died, and a rank that comes some seconds before another calls the dead one.
#
# Expected: with --max-restarts each start of the workers has a store of its own, or keys of its own in it (torch's rendezvous says that a new
# store is made for each try), so that init_process_group works however far apart the ranks come, within its timeout.
# Seen with torch 2.13.0, torchrun --standalone, gloo: the agent's store outlives the workers and keys have no number of the try. What
# a dead worker wrote is there. If all come within a moment each overwrites its own address in time; where rank 0 comes six seconds later,
# as it may when it alone prepares data, rank 1 reads the dead rank's address, is refused, gives up long before the timeout of 60 s,
# and each restart goes the same way, until none is left: the job ends. At the first start the same delay does no harm. With
# TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in torchrun's environment each start has a store of its own, and it works.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
cat > "$folder/worker.py" <<'PYTHON'
import datetime
import os
import sys
import time

import torch
import torch.distributed as dist

start, rank = int(os.environ["TORCHELASTIC_RESTART_COUNT"]), int(os.environ["RANK"])
time.sleep(6 if rank == 0 else 0)
try:
    dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=60))
    ones = torch.ones(1)
    dist.all_reduce(ones)
    said = f"the ranks sum to {ones.item():g}"
except RuntimeError as error:
    said = "no process group, connection refused" if "Connection refused" in str(error) else f"no process group: {error}"
if rank == 1:
    with open(sys.argv[1], "a") as file:
        file.write(f"start {start}: {said}\n")
if said.startswith("no"):
    sys.exit(4)
if start == 0:
    if rank == 1:
        sys.exit(3)  # the failure after which the workers are started again
    time.sleep(60)
PYTHON
# Two jobs, the second with stores of its own.
for own in 0 1; do
    echo "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=$own" >> "$folder/said"
    TORCH_DISABLE_SHARE_RDZV_TCP_STORE=$own OMP_NUM_THREADS=1 "$folder/venv/bin/torchrun" --standalone --nproc-per-node 2 --max-restarts 2 \
        "$folder/worker.py" "$folder/said" > "$folder/output" 2>&1 && echo "torchrun: exit 0" >> "$folder/said" || echo "torchrun: exit $?" >> "$folder/said"
done
cat > "$folder/before" <<'TEXT'
TORCH_DISABLE_SHARE_RDZV_TCP_STORE=0
start 0: the ranks sum to 2
start 1: no process group, connection refused
start 2: no process group, connection refused
torchrun: exit 1
TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
start 0: the ranks sum to 2
start 1: the ranks sum to 2
torchrun: exit 0
TEXT
cat "$folder/said"
diff "$folder/before" "$folder/said" || { echo "CHANGED, it was as the lines with < say"; tail -20 "$folder/output"; exit 1; }
