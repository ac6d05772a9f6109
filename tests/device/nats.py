"""Trains a recipe for as many steps as a time allows, and says what nats it ends at.

    python tests/device/nats.py REQUEST     # prints [verdict, note, figures] as JSON

The request is JSON, too: {"recipe": NAME, "options": [...], "device": ..., "seconds": ...}.
"""

import json
import sys
import tempfile
import time
import traceback
from pathlib import Path

from outcomes import FAILED, OK

from pixkit.recipe import load_recipe
from pixkit.training.build import build
from pixkit.training.dryrun import dry_run

SHARE = 0.7
"""Of the time, for steps; the rest is for looking at the model, scores and samples."""
FEWEST = 20


def trained(recipe, options, device, seconds):
    """See above. A step's time is measured first; as steps may become faster by being replayed, that is cautious."""
    begin = time.perf_counter()
    plain = load_recipe(recipe, [*options, "train.steps=1000"])
    each = dry_run(plain, device=device).seconds_per_step
    steps = int(SHARE * (seconds - (time.perf_counter() - begin)) / each)
    if steps < FEWEST:
        return FAILED, f"there is time for {steps} steps", {"ms a step": 1000 * each}
    often = [f"train.eval_every={max(steps // 4, 1)}", f"train.checkpoint_every={steps}"]
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_recipe(recipe, [*options, f"train.steps={steps}", *often])
        result = build(loaded, Path(folder) / "run", device=device)
        lock = result.run.settings()["lock"]
    figures = {f"{row.split} nats": row.nats for row in result.scores}
    figures |= {"steps": steps, "seconds": time.perf_counter() - begin}
    return OK, f"{recipe}, {lock['arithmetic']['precision']}, {(lock.get('steps') or {}).get('way', 'plain')}", figures


def main(request):
    """[verdict, note, figures]."""
    try:
        return trained(**json.loads(request))
    except Exception as error:
        traceback.print_exc()
        return FAILED, f"{type(error).__name__}: {error}", {}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
