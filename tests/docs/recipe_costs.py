"""What each recipe takes on one core, into recipes/figures.json, and the page that pixkit/docs has of it.

    python tests/docs/recipe_costs.py                     # writes pixkit/docs/recipes.md from recipes/figures.json
    python tests/docs/recipe_costs.py --measure [NAME...] # measures first: those named, or what has changed since

A dry run of each recipe by one thread, on images made up where it is not of the embedded digits, in float32 with
nothing fused. Times are processor time, so that other programs do not count.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
import types
import warnings
from pathlib import Path
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "device"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe_page import for_gpus, page, stated

from pixkit.catalogue.recipes import packaged_recipes

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "recipes" / "figures.json"
PAGE = ROOT / "pixkit" / "docs" / "recipes.md"
FEW = 2
"""Images of a batch, and steps, of recipes that are for a GPU: the rest follows."""
COUNT = 160
"""Images that are made up: batches have up to 128."""
PLAIN = ("train.precision=fp32", "train.memory_format=contiguous", "train.fuse=off", "train.eval_images=8")


def digest(name):
    """Of what a recipe states, comments and layout left out."""
    return hashlib.sha256(json.dumps(stated(name), sort_keys=True).encode()).hexdigest()[:16]


def measured(name):
    """Weights, bytes of training, and seconds of one core a step, of this recipe."""
    from made_data import made_data

    from pixkit.training import dryrun

    recipe, overrides = stated(name), [*PLAIN]
    batch = recipe["train"]["batch_size"]
    few = FEW if for_gpus(name) else batch
    processor = types.SimpleNamespace(perf_counter=time.process_time)
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        mock.patch.multiple(dryrun, time=processor, STEPS=FEW),
    ):
        warnings.simplefilter("ignore")
        files = [each for each in recipe["data"].get("context", {}).values() if "shrink" not in each]
        if files or recipe["data"]["source"] not in ("digits", "one_image"):
            overrides.append(made_data(Path(folder), name, recipe["data"], count=COUNT))
        if "palette" in recipe["data"]:
            overrides.append(f"data.palette={recipe['data']['palette']}")
        found = dryrun.dry_run(name, "cpu", overrides=[*overrides, f"train.batch_size={few}"])
    spec, memory = found.spec, found.memory
    return {
        "recipe": digest(name),
        "image": [spec.channels, spec.height, spec.width, spec.levels],
        "weights": memory.parameters,
        "bytes": memory.weights + memory.training + memory.activations * batch // few,
        "seconds_per_step": float(f"{found.seconds_per_step * batch / few:.3g}"),
    }


def main():
    """Measure what is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--measure", action="store_true", help="measure these, or those that have changed")
    arguments = parser.parse_args()
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    if arguments.measure:
        changed = [
            name for name in packaged_recipes() if figures[name].get("measured", {}).get("recipe") != digest(name)
        ]
        for name in arguments.names or changed:
            figures[name]["measured"] = measured(name)
            print(name, figures[name]["measured"], flush=True)
            FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
