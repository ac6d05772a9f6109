"""Images a second of a build by several processes of one thread, beside those of one process of one thread.

    python tests/benchmarks/several_ranks.py mnist-gated data.root=FOLDER train.batch_size=64 train.accumulate=2

Builds are made in turns; what is compared are the medians of all steps but the first three of each build, as
metrics.jsonl has them, and that the weights are the same.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Print the figures of each turn, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    paths = [str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(given.ranks)]
    keys = [f"train.steps={given.steps}", f"train.checkpoint_every={given.steps}", "train.eval_images=8"]
    keys += ["train.precision=fp32", "train.memory_format=contiguous", "train.fuse=off"]
    keys += ["data.limit_test=8", "data.validation=0.001"]  # what is scored in the end is no part of it
    rates: dict[int, list[float]] = {1: [], given.ranks: []}
    with tempfile.TemporaryDirectory() as place:
        for turn in range(given.turns):
            weights = []
            for ranks, before in ((1, []), (given.ranks, launcher)):
                run = Path(place) / f"{turn}-{ranks}"
                command = [*before, "-m", "pixkit", "build", given.recipe, *given.overrides, *keys, "sample.count=1"]
                subprocess.run(
                    [sys.executable, *command, "-o", str(run), "-q"],
                    env=environment,
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
                speeds = [row["images_per_second"] for row in rows if row["event"] == "train"][3:]
                rates[ranks].append(statistics.median(speeds))
                weights.append((run / "checkpoints" / f"step-{given.steps}" / "model.safetensors").read_bytes())
            one, several = rates[1][-1], rates[given.ranks][-1]
            same = "the same weights" if len(set(weights)) == 1 else "OTHER WEIGHTS"
            print(f"{one:.1f} images/s, {several:.1f} with {given.ranks} ranks: {several / one:.2f} times; {same}")
    one, several = (statistics.median(found) for found in rates.values())
    print(f"medians: {one:.1f}, {several:.1f}: {several / one:.2f} times")


if __name__ == "__main__":
    main()
