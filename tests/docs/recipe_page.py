"""The page of what recipes take and score, as text: from recipes/figures.json and the recipes themselves."""

import yaml

from pixkit.catalogue.published import PUBLISHED
from pixkit.catalogue.recipes import packaged_recipes

HEAD = """\
# What each recipe takes and scores

<!-- Written by tests/docs/recipe_costs.py; edit recipes/figures.json, or that script, and run it. -->

`pixkit build NAME` trains one of these. [recipes/README.md](../../recipes/README.md) explains the keys of a recipe.

## Time and memory

What training takes on one core of a server CPU (Intel Xeon), in float32 with nothing fused. *Memory* is the peak:
weights, gradients, optimiser, averaged weights and a batch's activations; Python and torch take about 0.5 GB besides.
*A step* is processor time, and *in all* that time times the recipe's steps, without scores. A build takes less: it uses
all cores, and measures at its start whether bfloat16, another memory format and fused kernels are faster. Recipes
marked * are for a GPU; they were measured with 2 images and scaled to their batch.

Your machine differs. `pixkit build NAME --dry-run` makes a few steps and tells time and memory there.

"""
SCORES = """
## Scores

*Here* is the test line, with EMA weights, that `pixkit build NAME` ends with on two cores, or ends with after the steps
that are named. *Dry run only* means that the model was built, proved causal and run for a step on a CPU with one
or two images: these recipes are for a GPU.

Published figures of MNIST are of the static binarisation where they say so; the recipes binarise dynamically, which is
another data set. Compare like with like. [Concepts](concepts.md#scores) explains nats, bits/dim and the marks `<=` and
`~`.

"""


def stated(name):
    """What a recipe states, comments and layout left out."""
    return yaml.safe_load(packaged_recipes()[name].read_text(encoding="utf-8"))


def page(figures):
    """The whole page."""
    costs = [["recipe", "images", "weights", "memory", "a step", "in all"], ["---"] * 6]
    scores = [["recipe", "what it is", "published, test", "here"], ["---"] * 4]
    for name, row in figures.items():
        if "measured" in row:
            costs.append([f"`{name}`", *_cost(name, row["measured"])])
        published = PUBLISHED[name].figure if name in PUBLISHED else row.get("published", "none")
        scores.append([f"`{name}`", row["what"], published, row["here"]])
    rest = ", ".join(f"`{name}`" for name, row in figures.items() if "measured" not in row)
    left = f"\nNot measured here: {rest}. A dry run tells what they take.\n" if rest else ""
    return HEAD + _table(costs) + left + SCORES + _table(scores)


def _cost(name, found):
    channels, height, width, levels = found["image"]
    seconds, mark = found["seconds_per_step"], "*" if for_gpus(name) else ""
    steps = stated(name)["train"]["steps"]
    return (
        f"{channels}x{height}x{width}, {levels} levels",
        f"{found['weights']:,}",
        _bytes(found["bytes"]) + mark,
        _two_digits(seconds) + f" s{mark}",
        _duration(seconds * steps) + mark,
    )


def _bytes(count):
    return f"{_two_digits(count / 1e9)} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _two_digits(value):
    """Two significant digits, or all of a whole number; never an exponent, which 99.6 would have by `.2g`."""
    return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"


def for_gpus(name):
    """Whether a recipe is measured with few images."""
    return name.startswith("cifar10-") and not name.endswith("-small")


def _duration(seconds):
    for most, unit, size in ((5400, "min", 60), (172_800, "h", 3600)):
        if seconds < most:
            return f"{max(seconds / size, 0.1):.2g} {unit}"
    return f"{seconds / 86_400:,.0f} days"


def _table(rows):
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
