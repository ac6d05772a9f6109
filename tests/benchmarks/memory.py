"""What training takes of memory, foreseen and found, for the recipes that come with pixkit.

Each recipe is trained for a few steps in a process of its own, with random images of its shape where its data are not
embedded. Found is the peak of the resident memory above that before the model was made (VmHWM in /proc/self/status),
with making and proving the model, its initialisation, the steps, and, with --whole, scores, samples, checkpoints and
the final table; foreseen is what `pixkit build --dry-run` says, in another process. Linux alone.

    python tests/benchmarks/memory.py [--steps 3] [--whole] [--most 6] [--batch N] [RECIPE ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from pixkit.catalogue.recipes import packaged_recipes
from pixkit.components.plugins import plugins
from pixkit.memory import resident
from pixkit.randomness import isolated_rng
from pixkit.recipe import LoadedRecipe, load_recipe
from pixkit.training import prepare as preparation
from pixkit.training.build import build
from pixkit.training.ema import Ema
from pixkit.training.memory import MemoryEstimate, estimate
from pixkit.training.watch import Reporter

SHAPES = {"mnist": (2, 1, 28), "cifar10": (256, 3, 32), "codes": (512, 1, 14)}
"""Levels, channels and side of the images of recipes by the first word of their names; of others the data are here."""
OTHER_LEVELS = {"mnist-pixelcnnpp-tfp": 256}
MIB = 1 << 20
CPU = torch.device("cpu")


def peak() -> int:
    """Bytes of the most memory that was resident since `forget`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def forget() -> None:
    """From here on, another peak."""
    Path("/proc/self/clear_refs").write_text("5")


def loaded(name: str, folder: Path, overrides: list[str]) -> LoadedRecipe:
    """The recipe, on random images where its own are not embedded."""
    shape = SHAPES.get(name.split("-")[0])
    if shape is None:
        return load_recipe(name, overrides)
    levels, channels, side = shape
    levels = OTHER_LEVELS.get(name, levels)
    rng = np.random.default_rng(0)
    arrays = {
        key: rng.integers(0, levels, (count, side, side, channels)).astype(np.uint16)
        for key, count in (("train", 600), ("test", 100))
    }
    np.savez(folder / "x.npz", labels=rng.integers(0, 10, 600), others=rng.integers(0, 10, 100), **arrays)
    data = f"source: arrays, path: {folder / 'x.npz'}, source_levels: {levels}"
    return load_recipe(name, [f"data={{{data}, train_labels: labels, test_labels: others}}", *overrides])


def foreseen(recipe: LoadedRecipe) -> dict[str, float]:
    """The estimate, and the seconds that it took."""
    seconds = 0.0

    def timed(*arguments: object) -> MemoryEstimate:
        nonlocal seconds
        began = time.process_time()
        found = estimate(*arguments)  # type: ignore[arg-type]
        seconds = time.process_time() - began
        return found

    preparation.estimate = timed  # type: ignore[assignment]
    with isolated_rng(CPU):
        found = preparation.prepare_training(recipe, CPU).memory
    parts = {name: getattr(found, name) for name in ("total", "code", "weights", "training", "activations")}
    return {**parts, "seconds": seconds}


def found(recipe: LoadedRecipe, folder: Path, *, whole: bool) -> dict[str, float]:
    """The peak, when the model is there and after all."""
    before = 0
    construct = preparation.construct_to_train

    def marked(*arguments: object) -> object:
        nonlocal before
        before = resident() or 0
        forget()
        return construct(*arguments)  # type: ignore[arg-type]

    preparation.construct_to_train = marked  # type: ignore[assignment]
    # What is estimated before the steps takes memory, too; it is no part of what it estimates.
    preparation.estimate = lambda *_, **__: MemoryEstimate(0, 0, 0, 0, 0, available_room())
    if whole:
        build(recipe, folder / "run", device="cpu", reporter=Reporter())
        return {"peak": peak() - before}
    with isolated_rng(CPU):
        prepared = preparation.prepare_training(recipe, CPU)
        ema = Ema(prepared.model, recipe.recipe.train.ema) if recipe.recipe.train.ema else None
        for step in range(1, recipe.recipe.train.steps + 1):
            prepared.stepper.make(step)
            if ema is not None:
                ema.update(prepared.model, step)
    return {"peak": peak() - before}


def available_room() -> object:
    """Room that nothing exceeds."""
    from pixkit.memory import Room

    return Room("the machine", 1 << 60, 1 << 60)


def in_process(name: str, what: str, options: argparse.Namespace, overrides: list[str]) -> dict[str, float] | None:
    """The same in a process of its own; None if that fails."""
    command = [sys.executable, __file__, name, "--do", what, "--steps", str(options.steps)]
    command += ["--whole"] * options.whole + [part for text in overrides for part in ("--set", text)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=options.timeout)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        sys.stderr.write(done.stderr[-600:])
        return None
    return json.loads(done.stdout.splitlines()[-1])


def row(name: str, options: argparse.Namespace) -> str:
    """A recipe's line of the table."""
    batch = options.batch or load_recipe(name).recipe.train.batch_size
    while True:
        overrides = [f"train.batch_size={batch}"]
        guess = in_process(name, "foresee", options, overrides)
        if guess is None or guess["total"] < options.most * (1 << 30) or batch == 1:
            break
        batch //= 2
    real = None if guess is None else in_process(name, "find", options, overrides)
    if guess is None or real is None:
        return f"{name:32}{batch:6}  no figure: it failed, or took more than {options.timeout} s"
    total, truth = guess["total"] / MIB, real["peak"] / MIB
    within = "yes" if abs(total - truth) <= max(0.2 * truth, 64) else "NO"
    parts = "".join(f"{guess[part] / MIB:9.0f}" for part in ("code", "weights", "training", "activations"))
    return f"{name:32}{batch:6}{truth:9.0f}{total:9.0f}{total / truth:7.2f}  {within:4}{parts}{guess['seconds']:9.2f}"


def main() -> None:
    """Print a line for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", metavar="RECIPE")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--whole", action="store_true", help="with scores, samples and checkpoints")
    parser.add_argument("--most", type=float, default=6.0, help="GiB; beyond, with a smaller batch")
    parser.add_argument("--batch", type=int, help="images a batch, instead of the recipe's")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds of one process")
    parser.add_argument("--do", choices=["foresee", "find"], help=argparse.SUPPRESS)
    parser.add_argument("--set", action="append", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    plugins()
    if options.do:
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            recipe = loaded(options.recipes[0], folder, [*options.set, f"train.steps={options.steps}"])
            result = foreseen(recipe) if options.do == "foresee" else found(recipe, folder, whole=options.whole)
        print(json.dumps(result))
        return
    print(f"{'recipe':32}{'batch':>6}{'found':>9}{'foreseen':>9}{'ratio':>7}  in  ", end="")
    print("".join(f"{part:>9}" for part in ("code", "weights", "training", "batch", "seconds")), " (MiB)", flush=True)
    for name in options.recipes or packaged_recipes():
        print(row(name, options), flush=True)


if __name__ == "__main__":
    main()
