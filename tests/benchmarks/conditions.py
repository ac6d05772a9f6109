"""Nats of the pixels between those of a small picture, given it; and the cost of a condition in sampling.

    python tests/benchmarks/conditions.py nats runs/digits-from-lowres runs/digits-multiscale [--factor 2]
    python tests/benchmarks/conditions.py cost digits-from-lowres [KEY=VALUE...] [--batch 64] [--rounds 9] [--one]

`nats` prints, of each run's test images, -log p(the others | every n-th pixel) per image and in bits per pixel drawn,
each with its standard error, and the mean difference from the first run, image by image. A model whose condition is
that picture gives -log p(image | picture), of which the second column falls on the picture's own pixels, which it need
not draw well; another has to draw these pixels first, as `multiscale` does.

`cost` draws from a recipe's network, by random weights, with its list of conditions and without, in turns, and prints
the least processor time of each and their ratio. Each image has its own conditions, or with `--one` all have those of
one, as with `pixkit sample --given test:5`. No two rounds have the same conditions, of which the results would be kept.
"""

from __future__ import annotations

import argparse
import math
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

import pixkit
from pixkit.models.base import Model
from pixkit.recipe import load_recipe
from pixkit.runs.load import load_data
from pixkit.tasks.beside import conditions_of, rows_in_turn
from pixkit.tasks.upscale import coarse_lattice


def nats(run: str, factor: int) -> tuple[Tensor, Tensor, int]:
    """Of each test image: -log p(others | picture) and the part on the picture's pixels, [N]; sub-pixels drawn."""
    model, data = pixkit.load(run), load_data(run)
    batch = data.batch("test", torch.arange(data.size("test")))
    sites = model.nll_map(batch.x, model.context_of(batch)).double()
    conditions = conditions_of(model)
    if conditions is None:
        lattice = coarse_lattice(model, factor)
        if (lattice.row, lattice.column) != (0, 0):
            raise SystemExit(f"{run}: it draws another picture first, from ({lattice.row}, {lattice.column}) on")
    elif not any(spec.shrink == factor and spec.by == "every" for spec in model.spec.context):
        raise SystemExit(f"{run}: no condition is every {factor}th pixel of the image")
    picture = sites[:, ::factor, ::factor].flatten(1)
    own, whole = picture.sum(1), sites.flatten(1).sum(1)
    drawn = model.spec.dims - model.spec.channels * picture.shape[1]
    return (whole, own, drawn) if conditions else (whole - own, torch.zeros_like(own), drawn)


def of(values: Tensor, scale: float = 1.0, digits: int = 2) -> str:
    """A mean and its standard error."""
    error = values.std() / math.sqrt(len(values))
    return f"{float(values.mean()) * scale:.{digits}f} (+- {float(error) * scale:.{digits}f})"


def compare(runs: list[str], factor: int) -> None:
    """A row for each run."""
    first = None
    print(f"{'run':32}  {'nats':>18}  {'on given pixels':>18}  {'bits per pixel':>20}  {'beyond the first':>18}")
    for run in runs:
        found, own, drawn = nats(run, factor)
        first = found if first is None else first
        row = of(found), of(own), of(found, 1 / (drawn * math.log(2)), 4), of(found - first)
        print(f"{run:32}  {row[0]:>18}  {row[1]:>18}  {row[2]:>20}  {row[3]:>18}", flush=True)


def models(name: str, overrides: list[str], batch: int) -> dict[str, tuple[Model, Tensor | None]]:
    """The recipe's model with its conditions, and their rows for a batch; and the same without."""
    loaded = load_recipe(name, overrides)
    data = pixkit.data.prepare(loaded.recipe.data, loaded.base)
    found: dict[str, tuple[Model, Tensor | None]] = {}
    for kind, more in {"with": [], "without": ["model.context=null"]}.items():
        model = load_recipe(name, [*overrides, *more]).recipe.model.build(data.spec, data.classes).eval()
        found[kind] = model, rows_in_turn(model, data, batch)
    return found


def cost(name: str, overrides: list[str], batch: int, rounds: int, one: bool) -> None:
    """Draw in turns."""
    least: dict[str, float] = {}
    found = models(name, overrides, batch)
    for number in range(rounds + 1):  # the first compiles
        for kind, (model, given) in found.items():
            rows = None if given is None else given.roll(number, 0)
            if rows is not None and one:
                rows = rows[:1].expand_as(rows)
            start = time.process_time()
            model.sample(batch, context=rows)
            least[kind] = min(least.get(kind, math.inf), time.process_time() - start)
    for kind, seconds in least.items():
        print(f"{kind:8} {seconds:.4f} s of processor time, {batch} images")
    print(f"ratio    {least['with'] / least['without']:.3f}")


def main() -> None:
    """Print one table or the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="what", required=True)
    of_nats, of_cost = kinds.add_parser("nats"), kinds.add_parser("cost")
    of_nats.add_argument("runs", nargs="+", metavar="RUN")
    of_nats.add_argument("--factor", type=int, default=2)
    of_cost.add_argument("recipe")
    of_cost.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    of_cost.add_argument("--batch", type=int, default=64)
    of_cost.add_argument("--rounds", type=int, default=9)
    of_cost.add_argument("--one", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == "nats":
        compare(options.runs, options.factor)
    else:
        cost(options.recipe, options.overrides, options.batch, options.rounds, options.one)


if __name__ == "__main__":
    main()
