#!/usr/bin/env bash
# A StatefulDataLoader that is resumed finishes its epoch as it would have, and then shuffles every later epoch differently.
#
# Expected: load_state_dict restores the position and the random state, so that a loader built by the same code, with the same seeded generator,
# goes on as the one that was interrupted: the rest of this epoch, the next epoch and those after it.
# Seen with torchdata 0.11.0 and torch 2.13.0: with num_workers=0 and a generator of one's own (what torch's notes on reproducibility advise) the rest of the
# epoch is right, and no later epoch is one that the uninterrupted loader gives. With workers, or with the global generator, they all are.
# A check that compares only the batches after the interruption passes. The documentation does not tell these cases apart.
# Seed each epoch's order from its number, as pixkit does, or let the loader use the global generator and save that one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 torchdata==0.11.0 numpy==2.2.6
cat >"$folder/resumed.py" <<'PYTHON'
import sys

import torch
from torchdata.stateful_dataloader import StatefulDataLoader


def loader(workers, own):
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(1) if own else None
    return StatefulDataLoader(range(12), batch_size=3, shuffle=True, generator=generator, num_workers=workers)


def epoch(batches):
    return [batch.tolist() for batch in batches]


def compared(workers, own):
    """Whether the rest of the interrupted epoch, and then which of the next two, are those of the uninterrupted loader."""
    whole = loader(workers, own)
    expected = [epoch(whole) for _ in range(3)]
    interrupted = loader(workers, own)
    batches = iter(interrupted)
    begun = [next(batches).tolist() for _ in range(2)]
    state = interrupted.state_dict()
    resumed = loader(workers, own)
    resumed.load_state_dict(state)
    found = [begun + epoch(resumed), epoch(resumed), epoch(resumed)]
    return [one == other for one, other in zip(found, expected, strict=True)]


if __name__ == "__main__":
    seen = {(workers, own): compared(workers, own) for workers in (0, 2) for own in (False, True)}
    for (workers, own), same in seen.items():
        print(f"{workers} workers, {'own' if own else 'global'} generator: the interrupted epoch and the next two are the same: {same}")
    as_before = all(all(same) if case != (0, True) else same == [True, False, False] for case, same in seen.items())
    print("as before" if as_before else "CHANGED")
    sys.exit(not as_before)
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/resumed.py"
# The output seen:
# 0 workers, global generator: the interrupted epoch and the next two are the same: [True, True, True]
# 0 workers, own generator: the interrupted epoch and the next two are the same: [True, False, False]
# 2 workers, global generator: the interrupted epoch and the next two are the same: [True, True, True]
# 2 workers, own generator: the interrupted epoch and the next two are the same: [True, True, True]
# as before
