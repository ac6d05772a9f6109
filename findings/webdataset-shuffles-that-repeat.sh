#!/usr/bin/env bash
# WebDataset shuffles every epoch into the same order once it is given a seed, and with workers its "deterministic" shuffle does so without one.
#
# Expected: a seed makes a run reproducible and leaves each epoch an order of its own, as in a DataLoader with a seeded generator; detshuffle, "a reproducible shuffling mechanism
# based on a seed and epoch", does that with workers as without; and two seeds are two runs.
# Seen with webdataset 1.0.2 and torch 2.13.0: shuffle(100, seed=1) starts its generator anew whenever the data are gone through, so all epochs have one order, and the batches consist of
# the same images. detshuffle counts epochs in the object that is iterated: in one process each has its own order; with num_workers the workers, which
# are started anew for each epoch by default, get a copy that counts from 0, and all epochs have one order (persistent_workers=True mends that).
# detshuffle adds seed and epoch: the second epoch of seed 0 is the first of seed 1, so that runs with seeds in a row, as one makes for error bars, see each other's orders.
# Without a seed shuffle() draws one from clock and process, and is another in every epoch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 webdataset==1.0.2
cat > "$folder/look.py" <<'PYTHON'
import sys

import webdataset
from torch.utils.data import DataLoader

failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


def pipeline(stage):
    return webdataset.WebDataset(sys.argv[1], shardshuffle=False).compose(stage).decode().map(number)


def number(sample):
    return sample["cls"]


def epochs(data):
    return [tuple(data) for _ in range(3)]


def loader(stage, **given):
    return DataLoader(pipeline(stage), batch_size=None, num_workers=1, **given)


if __name__ == "__main__":
    with webdataset.TarWriter(sys.argv[1]) as writer:
        for n in range(64):
            writer.write({"__key__": f"{n:03d}", "cls": n})
    shuffle, deterministic = webdataset.shuffle, webdataset.detshuffle
    for name, data, before in (
        ("shuffle without a seed", pipeline(shuffle(100)), 3),
        ("shuffle, seed 1", pipeline(shuffle(100, seed=1)), 1),
        ("shuffle, seed 1, a worker", loader(shuffle(100, seed=1)), 1),
        ("detshuffle, seed 1", pipeline(deterministic(100, seed=1)), 3),
        ("detshuffle, seed 1, a worker", loader(deterministic(100, seed=1)), 1),
        ("detshuffle, seed 1, a worker that persists", loader(deterministic(100, seed=1), persistent_workers=True), 3),
    ):
        seen = epochs(data)
        assert all(sorted(each) == list(range(64)) for each in seen)
        expect(f"{name}: {len(set(seen))} orders in 3 epochs", len(set(seen)) == before)
    first, second = (epochs(pipeline(deterministic(100, seed=seed))) for seed in (0, 1))
    expect("detshuffle: the second and third epoch of seed 0 are the first and second of seed 1", first[1:] == second[:2])
    sys.exit(bool(failures))
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/look.py" "$folder/set.tar"
# The output seen:
# as before: shuffle without a seed: 3 orders in 3 epochs
# as before: shuffle, seed 1: 1 orders in 3 epochs
# as before: shuffle, seed 1, a worker: 1 orders in 3 epochs
# as before: detshuffle, seed 1: 3 orders in 3 epochs
# as before: detshuffle, seed 1, a worker: 1 orders in 3 epochs
# as before: detshuffle, seed 1, a worker that persists: 3 orders in 3 epochs
# as before: detshuffle: the second and third epoch of seed 0 are the first and second of seed 1
