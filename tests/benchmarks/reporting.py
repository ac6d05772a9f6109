"""How long `pixkit report` takes, and how large its page is: runs of 4,000 steps, whose records are made up.

    python tests/benchmarks/reporting.py [--runs 10] [--steps 4000] [--recipe mnist-gated] [--out report.html]

Of each run there are a row for each step and eight scorings, samples of each scoring (noise: no pictures take more
room), scores and a checkpoint's manifest. What is timed is what the command does beyond importing torch: the imports of
pixkit's own, reading, drawing, and writing the page; once, as one who runs the command waits for it.
"""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

CLASSES = {"digits": 10, "mnist": 10}


def main() -> None:
    """Make the runs, and time a report of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--recipe", default="mnist-gated")
    parser.add_argument("--shape", type=int, nargs=4, default=(1, 28, 28, 2), help="channels, rows, columns, levels")
    parser.add_argument("--out", type=Path, help="keep the page")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder) / "report.html"
        # In a process of its own, so that what the report imports is imported by it.
        runs = _made_apart(options, Path(folder))
        before, wall = time.process_time(), time.perf_counter()
        from pixkit.files import write_text
        from pixkit.report import page

        imported = time.process_time()
        write_text(out, page(runs))
        taken, waited = time.process_time() - before, time.perf_counter() - wall
        print(f"{options.runs} runs of {options.steps} steps, {options.recipe}")
        print(f"{taken:.2f} s of processor time, {imported - before:.2f} of them imports of pixkit; {waited:.2f} s")
        print(f"{out.stat().st_size / 1e6:.2f} MB")


def _made_apart(options: argparse.Namespace, folder: Path) -> list[Path]:
    context = torch.multiprocessing.get_context("spawn")
    process = context.Process(target=make, args=(options.recipe, options.runs, options.steps, options.shape, folder))
    process.start()
    process.join()
    assert process.exitcode == 0
    return [folder / f"run-{number}" for number in range(options.runs)]


def make(recipe: str, count: int, steps: int, shape: tuple[int, ...], folder: Path) -> None:
    """Write the records of runs, which differ in seed and learning rate."""
    from pixkit.figures import save_npz
    from pixkit.recipe import load_recipe
    from pixkit.runs.manifest import encode_manifest
    from pixkit.runs.run import Run

    channels, height, width, levels = shape
    image = {"channels": channels, "height": height, "width": width, "levels": levels}
    hashes = {name: name[0] * 64 for name in ("train", "test", "split")}
    for number in range(count):
        chance = np.random.default_rng(number)
        lr = round(1e-3 * 1.3**number, 6)
        settings = load_recipe(recipe, [f"seed={number}", f"train.steps={steps}", f"train.optimizer.lr={lr}"]).lock()
        lock = {"recipe": recipe, "overrides": [], "image": image, "classes": 10, "changes": [], "parameters": 90_000,
                "data": {"description": f"made up, {levels} levels", "hashes": hashes},
                "arithmetic": {"precision": "fp32", "memory_format": "any", "reason": "", "seconds": {}}}  # fmt: skip
        with Run.claim(folder / f"run-{number}") as (run, _):
            run.start("# made up\n", {**settings, "lock": lock}, {"torch": torch.__version__, "threads": 1})
            scored = [steps * part // 8 for part in range(1, 9)]
            run.metrics.write_text("".join(json.dumps(row) + "\n" for row in _rows(steps, scored, number, chance)))
            for name in (*(f"step-{step}" for step in scored), "best"):
                run.samples.mkdir(exist_ok=True)
                save_npz(chance.integers(levels, size=(64, *shape[:3])), levels, run.samples / f"{name}.npz")
            checkpoint = run.checkpoint_folder(steps)
            checkpoint.mkdir(parents=True)
            metrics = {"images": 1000, "kind": "exact", **_score(steps, number)}
            body = {"format": 1, "step": steps, "model": "autoregressive", "files": {}, "state": {}, "metrics": metrics}
            (checkpoint / "manifest.json").write_bytes(encode_manifest(body))
            run.point("best", steps)
            run.point("last", steps)
            row = {"kind": "exact", "images": 1000, **_score(steps, number), "parts": {}, "samples": None}
            splits = [
                {"split": split, "weights": weights, **row}
                for split in ("validation", "test")
                for weights in ("raw", "ema")
            ]
            run.write_json(run.scores, {"scores": splits})


def _score(step: int, number: int) -> dict[str, float]:
    bits = 0.12 + 0.3 * math.exp(-step / 600) + 0.004 * number
    return {"nats": bits * 543.4, "stderr": 0.5, "bits_per_dim": bits}


def _rows(steps: int, scored: list[int], number: int, chance: np.random.Generator) -> list[dict[str, object]]:
    """A loss that falls, with noise, and spikes now and then; of one run a part is missing, and some are not finite."""
    rows: list[dict[str, object]] = []
    noise = np.exp(0.06 * chance.normal(size=steps))
    for step in range(1, steps + 1):
        value = _score(step, number)["bits_per_dim"] * noise[step - 1] * (3 if chance.random() < 0.001 else 1)
        lost = number == 1 and steps // 3 < step < steps // 2
        if not lost:
            value = None if number == 2 and step % 500 == 7 else value
            rows.append({"event": "train", "step": step, "epoch": step * 64 / 54_000, "loss": value, "nats": value,
                         "lr": 1e-3, "grad_norm": 1.0, "bits_per_dim": value,
                         "images_per_second": 250.0 + 20 * number + 30 * chance.random()})  # fmt: skip
        if step in scored:
            rows.append({"event": "eval", "step": step, "epoch": step * 64 / 54_000, "images": 1000, "kind": "exact",
                         **_score(step, number), "best": True, "seconds": 9.0})  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
