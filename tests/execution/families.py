"""Every packaged recipe's model at a tiny size."""

import functools
import itertools
import json
import os

import torch
import yaml

from pixkit.context import ContextSpec
from pixkit.image import ImageSpec
from pixkit.network import Autoregressive
from pixkit.recipe import packaged_recipes
from pixkit.runs.load import construct
from pixkit.tasks.networks import find_examined
from pixkit.testing.parts import randomise

LONG = os.environ.get("PIXKIT_LONG") == "1"
MOST = {
    **dict.fromkeys(("layers", "blocks", "stages", "resnets", "residuals", "num_layers"), 1),
    **dict.fromkeys(("width", "output_width", "filters", "units", "features", "hidden", "hidden_size"), 12),
    **dict.fromkeys(("size", "latent", "heads", "key_width", "value_width", "components", "categorical"), 4),
    "first_kernel": 3,
}
"""Numbers of a model are at most these, which three colours can share."""


@functools.cache
def stated(name):
    """The section `model` of a recipe; who changes it copies it."""
    return yaml.safe_load(packaged_recipes()[name].read_text(encoding="utf-8"))["model"]


TWO = "[{type: snake}, {type: snake, transpose: true, flip_vertical: true}]"
"""Of eight orderings."""


def smaller(section, key="model"):
    """Overrides that make a section of a recipe, and all that is in it, small."""
    if section.get("type") == "order_agnostic" and "orderings" not in section and not LONG:
        yield f"{key}.orderings={TWO}"
    for name, value in section.items():
        if isinstance(value, dict):
            yield from smaller(value, f"{key}.{name}")
        elif isinstance(value, list) and all(isinstance(each, dict) for each in value):
            parts = [{kind: min(number, MOST.get(kind, number)) for kind, number in each.items()} for each in value]
            yield f"{key}.{name}={json.dumps(parts)}"
        elif name in MOST and value > MOST[name]:
            yield f"{key}.{name}={MOST[name]}"


def family(name):
    """What tells recipes apart that make the kernel do other things."""
    model = stated(name)
    parts = [model.get(part, {}) for part in ("ordering", "input", "backbone", "head")]
    context = model.get("context", [])
    kinds = {each["type"] for each in (context if isinstance(context, list) else [context])}
    maps = "every site" if kinds & {"image", "codes"} else "one" if kinds else None
    return (model["type"], *(each.get("type") for each in parts), maps, name.startswith("cifar10"))


def sample():
    """One recipe of each family; all of them in the long run."""
    first = {family(name): name for name in sorted(packaged_recipes(), reverse=True)}
    return sorted(packaged_recipes() if LONG else first.values())


def model_of(name, side=8, overrides=()):
    """Its model, on the CPU, in training mode, of images of this side."""
    model = stated(name)
    dropout = ["model.backbone.dropout=0"] if "dropout" in model["backbone"] else []
    loaded = find_examined(packaged_recipes()[name], [*smaller(model), *dropout, *overrides])
    channels, levels = 3 if name.startswith("cifar10") else 1, 2 if model["head"]["type"] == "bernoulli" else 5
    context = model.get("context", [])
    listed = context if isinstance(context, list) else [context]
    shapes = {"vector": (3,), "codes": (4, 4), "image": (channels, 4, 4)}
    read = {each["from"]: each["type"] for each in listed if "from" in each}
    beside = tuple(ContextSpec(key, shapes[kind], None if kind == "vector" else levels) for key, kind in read.items())
    classes = 3 if any(each["type"] == "label" for each in listed) else None
    spec = ImageSpec(channels, side, side, levels, context=beside)
    return construct(loaded.recipe, spec, classes, torch.device("cpu"))


def networks(name, side=8, most=2):
    """Its autoregressive networks with random weights, the first few of them but in the long run."""
    found = (module for module in model_of(name, side).eval().modules() if isinstance(module, Autoregressive))
    for network in itertools.islice(found, None if LONG else most):
        randomise(network, 1)
        yield network.double()
