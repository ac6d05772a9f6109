"""Defaults, shapes, layers and state-dict keys are what they were: the files beside this one change on purpose only."""

import difflib
import json
import math
import re
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from drawn import pictures
from pinned import defaults, network, records
from reported import reported
from small import SMALL, small, specs
from surface import commands, signatures

from pixkit.components.plugins import registry
from pixkit.components.spec import ComponentSpec, walk
from pixkit.distribution import OWN

HERE = Path(__file__).parent
COMPUTED = re.compile(r"\d+x\d+x\d+ / ")
"""How places of what a network computes begin; other numbers are what somebody wrote."""
MEANT = "if that is meant, run `python tests/golden/pinned.py`, look at `git diff tests/golden`, and tell users"
DEFAULTS, NETWORKS, PICTURES, COMMANDS, SIGNATURES, RECORDS, REPORTED = (
    json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("defaults", "networks", "pictures", "commands", "signatures", "records", "reported")
)


def differences(found, pinned, place=""):
    """A line for each entry that is not what is pinned; numbers of networks may be off by a rounding."""
    if isinstance(found, dict) and isinstance(pinned, dict):
        for key in dict.fromkeys([*pinned, *found]):
            yield from differences(found.get(key), pinned.get(key), f"{place} / {key}" if place else key)
    elif isinstance(found, list | tuple) and isinstance(pinned, list) and len(found) == len(pinned):
        for number, (one, other) in enumerate(zip(found, pinned, strict=True)):
            yield from differences(one, other, f"{place}[{number}]")
    elif not same(found, pinned, place):
        yield f"{place}: {found!r}, pinned as {pinned!r}"


def same(found, pinned, place):
    if COMPUTED.match(place) and isinstance(found, float) and isinstance(pinned, float):
        return math.isclose(found, pinned, rel_tol=1e-7 if "losses" in place else 1e-3, abs_tol=1e-6)
    return type(found) is type(pinned) and found == pinned


def unchanged(found, pinned):
    lines = list(differences(found, pinned))
    assert not lines, "\n".join([*lines, MEANT])


def test_defaults_and_bounds_of_all_keys():
    unchanged(json.loads(json.dumps(defaults())), DEFAULTS)


@pytest.mark.parametrize("name", SMALL)
def test_layers_shapes_and_losses_of_small_models(name):
    for spec in specs(name):
        size = f"{spec.channels}x{spec.height}x{spec.width}"
        unchanged({size: network(name, spec)}, {size: NETWORKS.get(name, {}).get(size)})


def test_pictures_have_their_pixels_texts_and_sizes(tmp_path):
    unchanged(pictures(tmp_path), PICTURES)


def test_a_report_has_its_texts_and_its_pictures_in_their_places(tmp_path):
    found = reported(tmp_path)
    assert found.keys() == REPORTED.keys()
    lines = [f"{part}: {line}" for part in found for line in found[part]]
    pinned = [f"{part}: {line}" for part in REPORTED for line in REPORTED[part]]
    changed = [line for line in difflib.unified_diff(pinned, lines, lineterm="", n=0) if not line.startswith("@@")]
    assert not changed, "\n".join([*changed, MEANT])


def test_what_commands_and_calls_take_and_their_defaults():
    unchanged(commands(), COMMANDS)
    unchanged(signatures(), SIGNATURES)


def test_what_files_of_a_run_may_contain():
    unchanged(json.loads(json.dumps(records())), RECORDS)


def test_nothing_else_is_pinned():
    assert set(NETWORKS) == set(SMALL)


def held():
    """The components of each small model, and whether the model knows labels."""
    for name in SMALL:
        model = small(name)
        for _, value, _ in [((), model, None), *walk(model.config)]:
            if isinstance(value, ComponentSpec):
                yield value, getattr(model.config, "context", None) is not None


def choices(annotation):
    """The words and truth values among what a key may be."""
    if annotation is bool:
        return {True, False}
    if get_origin(annotation) is Literal:
        return {value for value in get_args(annotation) if isinstance(value, str)}
    return set().union(*map(choices, get_args(annotation)))


def test_every_component_of_a_network_is_in_small_models_with_each_of_its_choices_and_with_labels_if_it_takes_them():
    wanted, found = set(), set()
    for entry in registry():
        if entry.kind in ("backbone", "head", "model") and entry.distribution == OWN:
            wanted.add((entry.name,))
            if getattr(entry.cls, "conditional", False):
                wanted.add((entry.name, "labels"))
            for key, field in entry.cls.Config.model_fields.items():
                owner = entry.name if key != "init" else "any"  # backbones share initialisers
                wanted |= {(owner, key, choice) for choice in choices(field.annotation)}
    for part, labelled in held():
        name = part.entry.name
        found |= {(name,), (name, "labels")} if labelled else {(name,)}
        found |= {(name if key != "init" else "any", key, value) for key, value in part.config if _plain(value)}
    assert not wanted - found


def _plain(value):
    return isinstance(value, str | bool)


@pytest.mark.parametrize(("found", "line"), [
    ({"a": {"b": 1}}, "a / c: None, pinned as 2"),
    ({"a": {"b": True, "c": 2}}, "a / b: True, pinned as 1"),
    ({"a": {"b": 1, "c": 2, "d": [0]}}, "a / d: [0], pinned as None"),
])  # fmt: skip
def test_what_differs_is_told_and_what_to_do(found, line):
    with pytest.raises(AssertionError) as raised:
        unchanged(found, {"a": {"b": 1, "c": 2}})
    assert line in str(raised.value) and MEANT in str(raised.value)


def test_what_networks_compute_may_be_off_by_a_rounding_and_no_more():
    """Numbers that somebody wrote may not: the smallest of them are tolerances."""
    size = "1x2x3"
    pinned = {size: {"losses": 2.0, "a": [["weight", "3", 0.5, 0.25]]}}
    unchanged({size: {"losses": 2.0 + 1e-9, "a": [("weight", "3", 0.50001, 0.25)]}}, pinned)
    assert list(differences({size: {"losses": 2.0 + 1e-6, "a": [("weight", "3", 0.51, 0.25)]}}, pinned)) == [
        f"{size} / losses: 2.000001, pinned as 2.0", f"{size} / a[0][2]: 0.51, pinned as 0.5"
    ]  # fmt: skip
    assert list(differences({"TOLERANCE": 2e-12}, {"TOLERANCE": 1e-12})) == ["TOLERANCE: 2e-12, pinned as 1e-12"]
