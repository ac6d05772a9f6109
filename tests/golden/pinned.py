"""What is pinned by the files beside this one, and the command that writes them anew:

    python tests/golden/pinned.py

Run it after a change that is meant, read `git diff tests/golden`, and say in CHANGELOG.md what users will notice.
"""

import importlib
import json
import pkgutil
import tempfile
from pathlib import Path

import torch
from drawn import pictures
from limits import limits
from reported import reported
from small import SMALL, small, specs
from surface import commands, signatures
from torch import Tensor, nn

import pixkit.runs
import pixkit.tasks.scoring.threshold
import pixkit.training.resume
from pixkit.components.keys import keys_of
from pixkit.components.plugins import registry
from pixkit.components.registry import Registry
from pixkit.distribution import OWN
from pixkit.image import Batch
from pixkit.layers import MixingLayer
from pixkit.recipe import json_schema
from pixkit.recipe.schema import Recipe
from pixkit.runs.schema import Record
from pixkit.testing import random_images, randomise

HERE = Path(__file__).parent
CLASSES, IMAGES = 3, 3
TALK = {"description", "title", "$schema"}
"""What a JSON Schema has for readers alone."""


def defaults():
    """By component and key: the default, the type and the bounds of pixkit's own components, as the JSON Schema says.

    Beside them, as `recipe`, what a recipe comes to that states nothing; sections that the schema leaves open among it.
    """
    own = Registry()
    own.extend([entry for entry in registry() if entry.distribution == OWN])
    schema = json_schema(own)
    found = {"recipe": {row.key: row.default for row in keys_of(Recipe)}}
    for name, definition in schema["$defs"].items():
        for key, rule in definition.get("properties", {}).items():
            found.setdefault(name, {})[key] = _silent(rule)
    for entry in own:  # what the schema does not say
        for key, field in entry.cls.Config.model_fields.items():
            if field.default_factory is not None:
                found[f"{entry.kind}.{entry.name}"][key]["default"] = field.default_factory().model_dump(mode="json")
    return found


def _silent(rule):
    if isinstance(rule, list):
        return [_silent(part) for part in rule]
    return {key: _silent(part) for key, part in rule.items() if key not in TALK} if isinstance(rule, dict) else rule


BOUNDS = {
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern"),
    *("enum", "const", "default", "required", "minItems", "maxItems"),
}
"""What a JSON Schema says of values beside their types, which differ from one pydantic to another."""


def records():
    """By class and place: what the records of a run's files may contain, and what is there if nothing is said."""
    for module in pkgutil.walk_packages(pixkit.runs.__path__, "pixkit.runs."):
        importlib.import_module(module.name)
    found, kinds = {}, list(Record.__subclasses__())
    for kind in kinds:
        kinds += kind.__subclasses__()
        if kind.__module__.startswith("pixkit."):
            found[kind.__name__] = dict(_bounds(kind.model_json_schema(), ""))
    return dict(sorted(found.items()))


def _bounds(schema, place):
    for key, part in sorted(schema.items()):
        inside = f"{place} {key}".strip()
        if key == "properties":
            for name, rule in part.items():
                yield from _bounds(rule, f"{place} {name}".strip())
        elif key in BOUNDS:
            yield inside, part
        elif key == "$defs":
            continue  # records of their own
        elif isinstance(part, dict):
            yield from _bounds(part, inside)
        elif isinstance(part, list):
            for number, one in enumerate(part):
                yield from _bounds(one, f"{inside}[{number}]") if isinstance(one, dict) else ()


def network(name, spec):
    """Of a small model: its layers, the state that it is saved with, and the losses of each phase with random weights.

    A layer is what has tensors, reads other sites than it writes, or drops out. It has its class, the shape of what it
    gives, and its tensors by name: shape, mean and deviation at the start from one seed; or how much it drops.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = small(name).build(spec, CLASSES).double()
        layers, state = {}, model.state_dict()
        for place, module in model.named_modules():
            own = [name for name in state if name.rpartition(".")[0] == place]
            if isinstance(module, nn.Dropout):
                layers[place] = ["Dropout", module.p]
            elif own or isinstance(module, MixingLayer):
                tensors = ([name.rpartition(".")[2], *_described(state[name])] for name in own)
                layers[place] = [type(module).__name__, *tensors]
        randomise(model.eval(), seed=1, gain=1.0)
        for place in layers:
            model.get_submodule(place).register_forward_hook(_note(layers[place]))
        losses = {}
        for phase in model.phases():
            torch.manual_seed(0)
            losses[phase.name] = round(float(phase.loss(_batch(spec), 5)["loss"].detach()), 10)
    return {**layers, "losses": losses}


def _batch(spec):
    return Batch(random_images(spec, IMAGES), torch.arange(IMAGES) % CLASSES, torch.arange(IMAGES))


def _note(layer):
    def note(module, inputs, output):
        if isinstance(output, Tensor) and " " not in layer[0]:
            layer[0] += f" {_shape(output)}"

    return note


def _shape(tensor):
    return "x".join(map(str, tensor.shape))


def _described(tensor):
    """Shape, mean and deviation."""
    values = tensor.double()
    return _shape(tensor), *(float(f"{number:.5g}") for number in (values.mean(), values.std(correction=0)))


def networks():
    """`network` of every small model, for each of its sizes."""
    return {
        name: {f"{spec.channels}x{spec.height}x{spec.width}": network(name, spec) for spec in specs(name)}
        for name in SMALL
    }


def _written(value, depth):
    """JSON with a line for each entry at that depth and above."""
    if depth == 0 or not isinstance(value, dict):
        return json.dumps(value)
    lines = (f"{json.dumps(key)}: {_written(part, depth - 1)}" for key, part in value.items())
    return "{\n" + ",\n".join(" " + line.replace("\n", "\n ") for line in lines) + "\n}"


if __name__ == "__main__":
    (HERE / "defaults.json").write_text(_written(defaults(), 2) + "\n", encoding="utf-8")
    (HERE / "networks.json").write_text(_written(networks(), 3) + "\n", encoding="utf-8")
    texts = {"commands": commands(), "limits": limits(), "signatures": signatures(), "records": records()}
    for name, found in texts.items():
        (HERE / f"{name}.json").write_text(_written(found, 2) + "\n", encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        (HERE / "pictures.json").write_text(_written(pictures(Path(folder)), 2) + "\n", encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(reported(Path(folder)), indent=1)  # a line of the file for one of the page
        (HERE / "reported.json").write_text(text + "\n", encoding="utf-8")
