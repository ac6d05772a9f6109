"""Memory and time of training steps by several processes that divide the optimiser's state, or do not.

    python tests/benchmarks/divided_optimiser.py digits-gated model.backbone.width=256 train.accumulate=2

Steps of both kinds are made in turns by the same processes, of one thread each: `train.shard` none, then optimizer, and
so on. Printed for each kind: the largest optimiser state of a rank; processor time and time a step, of rank 0, medians.
In the end the weights must be the same.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist

from pixkit.ranks import Ranks, joined
from pixkit.recipe import load_recipe
from pixkit.training.optim import optimizer_tensors
from pixkit.training.prepare import prepare_training
from pixkit.training.step import Stepper

KEYS = ["train.precision=fp32", "train.memory_format=contiguous", "train.fuse=off", "train.ema=0"]


def rank_of(number: int, given: argparse.Namespace, store: str) -> None:
    """Make the steps of a rank; rank 0 prints what they take."""
    torch.set_num_threads(1)
    with joined(Ranks(number, given.ranks, store=dist.FileStore(store, given.ranks), timeout=600.0)) as ranks:
        steppers = {shard: stepper_of(given, shard, ranks) for shard in ("none", "optimizer")}
        taken: dict[str, list[tuple[float, float]]] = {shard: [] for shard in steppers}
        for step in range(1, given.steps + 1):
            for shard, stepper in steppers.items():
                ranks.wait()
                before = time.process_time(), time.perf_counter()
                stepper.make(step)
                taken[shard].append((time.process_time() - before[0], time.perf_counter() - before[1]))
        weights = [list(stepper.model.state_dict().values()) for stepper in steppers.values()]
        same = all(map(torch.equal, *weights))
        size = sum(one.numel() * one.element_size() for one in weights[0])
        for shard, stepper in steppers.items():
            kept = sum(one.numel() * one.element_size() for one in optimizer_tensors(stepper.phases).values())
            most = max(ranks.gather(kept))
            processor, whole = (statistics.median(each) for each in zip(*taken[shard][1:], strict=True))
            if ranks.first:
                print(
                    f"{shard:9}  weights {size / 2**20:.1f} MB, optimiser {most / 2**20:.1f} MB; a step: "
                    f"{processor:.3f} s of processor time, {whole:.3f} s"
                )
        if ranks.first:
            print("the same weights" if same else "OTHER WEIGHTS")


def stepper_of(given: argparse.Namespace, shard: str, ranks: Ranks) -> Stepper:
    """A stepper of the recipe."""
    loaded = load_recipe(given.recipe, [*KEYS, *given.overrides, f"train.shard={shard}"])
    return prepare_training(loaded, torch.device("cpu"), ranks=ranks).stepper


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        context = multiprocessing.get_context("fork")
        store = str(Path(place) / "store")
        processes = [context.Process(target=rank_of, args=(number, given, store)) for number in range(given.ranks)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()


if __name__ == "__main__":
    main()
