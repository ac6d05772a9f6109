"""Kills ranks of builds at random moments, and sees that each build ends with the weights of an undisturbed one.

    python tests/kills/kill_ranks.py --kills 30 --ranks 2,3 --seed 1
    python tests/kills/kill_ranks.py --kills 10 --set train.shard=optimizer

Each build is torchrun's, with `--resume=auto` and restarts. In the midst of it one of its ranks, at random, is sent
SIGKILL (of every fourth, SIGTERM, which is to be saved on); torchrun ends the others and starts all again. What the
last checkpoint then has (weights, averages, optimisers), and the scores, are compared with those of a build by one
process, byte by byte. A line a build; exit code 0 if all agree.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """\
pixkit: 1
name: killed
data: {source: digits, validation: 0.02, limit_train: 64, limit_test: 16}
model:
  type: autoregressive
  backbone: {type: pixelcnn, width: 8, layers: 2, first_kernel: 3, output_layers: 1, dropout: 0.1}
train: {steps: 120, batch_size: 8, accumulate: 4, eval_every: 30, checkpoint_every: 7, keep: 3, ema: 0.9,
  precision: fp32, memory_format: contiguous, fuse: off}
sample: {count: 2}
"""
"""It states what builds would measure as they start, which depends on other load: other choices have other digits."""
STARTING = 900.0
"""Seconds in which the ranks of a build are there, also on a machine with much else to do."""


def environment() -> dict[str, str]:
    paths = [str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}


def contents(run: Path) -> dict[str, bytes]:
    """The bytes of the last checkpoint's tensors and of the scores."""
    folder = run / "checkpoints" / (run / "last").read_text().strip()
    files = [*sorted(folder.glob("*.safetensors")), run / "scores.json"]
    return {file.name: file.read_bytes() for file in files}


def children(parent: int) -> list[int]:
    """The processes that a process has started and that are there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(path.parent.name))
    return sorted(found)


def started(process: subprocess.Popen[bytes], log: Path, ranks: int) -> list[int]:
    """The ranks of a build, once it has begun to read images."""
    until = time.monotonic() + STARTING
    while time.monotonic() < until and process.poll() is None:
        found = children(process.pid)
        if len(found) == ranks and b"images:" in log.read_bytes():
            return found
        time.sleep(0.02)
    raise SystemExit(f"the ranks did not start:\n{log.read_text()}")


def killed(folder: Path, build: list[str], ranks: int, number: int, wait: float, chance: random.Random) -> float | None:
    """Build a run, one rank of which is killed after a while; the seconds that it took, None if it was over by then."""
    log = folder / "log"
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), "--max-restarts", "3"]
    build = [*build, "-o", str(folder / "run"), "--resume=auto"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *command, *build], env=environment(), stdout=out, stderr=subprocess.STDOUT
        )
    try:
        there = started(process, log, ranks)
        begun = time.monotonic()
        time.sleep(wait)
        hit = process.poll() is None and children(process.pid) == there
        if hit:
            os.kill(chance.choice(there), number)
        if process.wait(timeout=1800) != 0:
            raise SystemExit(f"the build failed:\n{log.read_text()[:6000]}")
        return time.monotonic() - begun if hit else None
    finally:
        process.terminate()  # not killed: it ends the ranks first
        process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--ranks", default="2,3", help="how many ranks builds have, in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=6.0, help="the latest moment at first")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an override of the recipe")
    given = parser.parse_args()
    chance, latest, done, wrong = random.Random(given.seed), given.seconds, 0, 0
    with tempfile.TemporaryDirectory() as place:
        recipe = Path(place) / "killed.yaml"
        recipe.write_text(RECIPE)
        alone = Path(place) / "alone"
        build = ["-m", "pixkit", "build", str(recipe), *given.set]
        whole = [sys.executable, *build, "-o", str(alone), "-q"]
        subprocess.run(whole, env=environment(), check=True, stdout=subprocess.DEVNULL)
        expected = contents(alone)
        for turn in range(10 * given.kills):
            if done == given.kills:
                break
            folder = Path(place) / f"turn-{turn}"
            folder.mkdir()
            ranks = [int(one) for one in given.ranks.split(",")][turn % len(given.ranks.split(","))]
            number = signal.SIGTERM if done % 4 == 3 else signal.SIGKILL
            wait = chance.uniform(0, latest)
            took = killed(folder, build, ranks, number, wait, chance)
            same = contents(folder / "run") == expected
            wrong += not same
            if took is None:
                latest *= 0.8
            else:
                done += 1
            what = f"signal {int(number)} after {wait:.2f} s" if took is not None else "over before it was killed"
            print(f"{done:3}  {ranks} ranks, {what}: {'the same' if same else 'OTHER WEIGHTS'}", flush=True)
    print(f"{done} kills, {wrong} runs with other weights")
    return 0 if done == given.kills and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
