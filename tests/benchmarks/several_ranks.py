"""Images a second of a build by several processes of one thread, beside those of one process of one thread.

    python tests/benchmarks/several_ranks.py mnist-gated data.root=FOLDER train.batch_size=64 train.accumulate=2

Builds are made in turns; what is compared are the images and the seconds of all steps but the first three of each
build, as metrics.jsonl has them, and that the weights are the same. Beside that stands what the machine gives at most:
the same build by as many processes at once that know nothing of one another, whose images a second are added up. Not
medians: ranks wait for the slower one at every step, and what slows one of them now and then hides in its median.
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
    rates: dict[str, list[float]] = {"one": [], "together": [], "apart": []}
    with tempfile.TemporaryDirectory() as place:
        for turn in range(given.turns):
            weights = []
            for kind, before, count in (("one", [], 1), ("together", launcher, 1), ("apart", [], given.ranks)):
                runs = [Path(place) / f"{turn}-{kind}-{number}" for number in range(count)]
                command = [sys.executable, *before, "-m", "pixkit", "build", given.recipe, *given.overrides, *keys]
                builds = [
                    subprocess.Popen(
                        [*command, "sample.count=1", "-o", str(run), "-q"], env=environment, stdout=subprocess.DEVNULL
                    )
                    for run in runs
                ]
                codes = [build.wait() for build in builds]
                if any(codes):
                    raise SystemExit(f"a build failed: {kind}")
                rates[kind].append(sum(map(speed, runs)))
                weights += [(run / "checkpoints" / f"step-{given.steps}" / "model.safetensors") for run in runs]
            one, together, apart = (found[-1] for found in rates.values())
            same = "the same weights" if len({file.read_bytes() for file in weights}) == 1 else "OTHER WEIGHTS"
            print(f"{one:.1f} images/s, {told(one, together, apart, given.ranks)}; {same}", flush=True)
    one, together, apart = (statistics.median(found) for found in rates.values())
    print(f"medians: {one:.1f}, {told(one, together, apart, given.ranks)}")


def speed(run: Path) -> float:
    """Images a second of a build."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return statistics.harmonic_mean([row["images_per_second"] for row in rows if row["event"] == "train"][3:])


def told(one: float, together: float, apart: float, ranks: int) -> str:
    return (
        f"{together:.1f} with {ranks} ranks: {together / one:.2f} times; "
        f"{apart:.1f} by {ranks} processes apart: {apart / one:.2f} times"
    )


if __name__ == "__main__":
    main()
