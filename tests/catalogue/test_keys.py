"""What a recipe may say at a place, by JSON schemas alone: references, unions, components, and what stands there."""

import pytest

from pixkit.catalogue.contents import Component
from pixkit.catalogue.keys import AUTO, KEY, KIND, Keys

SCHEMA = {
    "properties": {
        "seed": {"type": "integer", "description": "Where\n  numbers begin."},
        "quick": {"type": "boolean"},
        "part": {KIND: "part", KEY: "type"},
        "train": {"$ref": "#/$defs/Train"},
    },
    "$defs": {
        "Train": {
            "properties": {
                "way": {"anyOf": [{"$ref": "#/$defs/Way"}, {"type": "null"}]},
                "rate": {
                    "oneOf": [{"$ref": "#/$defs/Flat"}, {"$ref": "#/$defs/Steep"}],
                    "discriminator": {"mapping": {"flat": "#/$defs/Flat", "steep": "#/$defs/Steep"}},
                },
                "sampler": {AUTO: "part"},
            }
        },
        "Way": {"enum": ["up", 2, True]},
        "Flat": {"properties": {"type": {"const": "flat"}, "level": {"type": "number"}}},
        "Steep": {"properties": {"type": {"const": "steep"}, "slope": {"type": "number"}}},
    },
}
INNER = {
    "a": {"properties": {"size": {"$ref": "#/$defs/Size"}, "part": {KIND: "part", KEY: "type"}},
          "$defs": {"Size": {"properties": {"width": {"enum": [1, 2]}}}}},
    "b": {"properties": {"size": {"const": 7}}},
}  # fmt: skip


class Told:
    """A catalogue of two parts, one of which two distributions bring, and something of another kind."""

    components = tuple(Component(*each, "1", "") for each in (
        ("part", "b", "mine"), ("part", "a", "pixkit"), ("part", "a", "my.own"), ("other", "c", "pixkit"),
    ))  # fmt: skip

    def details(self, component):
        return {"schema": INNER[component.name]} if component.distribution != "my.own" else {}

    def recipe(self):
        return {"schema": SCHEMA}


def keys(**recipe):
    return Keys(Told(), recipe)


@pytest.mark.parametrize(("recipe", "path", "found"), [
    ({}, (), {"seed": "Where numbers begin.", "quick": "", "part.": "", "train.": ""}),
    ({}, ("train",), {"way": "", "rate.": "", "sampler": ""}),
    ({}, ("train", "rate"), {"type": "", "level": "", "slope": ""}),
    ({"train": {"rate": {"type": "steep"}}}, ("train", "rate"), {"type": "", "slope": ""}),
    ({"train": {"rate": {"type": "other"}}}, ("train", "rate"), {"type": "", "level": "", "slope": ""}),
    ({"train": "nothing"}, ("train", "rate"), {"type": "", "level": "", "slope": ""}),
    ({}, ("part",), {"type": "Which part."}),
    ({"part": "a"}, ("part",), {"type": "Which part.", "size.": "", "part.": ""}),
    ({"part": {"type": "pixkit:a"}}, ("part",), {"type": "Which part.", "size.": "", "part.": ""}),
    ({"part": {"type": "My-Own:a"}}, ("part",), {"type": "Which part."}),
    ({"part": {"type": "c"}}, ("part",), {"type": "Which part."}),
    ({"part": {"type": 3}}, ("part",), {"type": "Which part."}),
    ({"part": {"type": "a"}}, ("part", "size"), {"width": ""}),
    ({"part": {"type": "a", "part": "b"}}, ("part", "part"), {"type": "Which part.", "size": ""}),
    ({}, ("absent",), {}), ({}, ("seed", "more"), {}),
], ids=str)  # fmt: skip
def test_the_keys_at_a_place(recipe, path, found):
    assert keys(**recipe).below(path) == found


@pytest.mark.parametrize(("recipe", "path", "found"), [
    ({}, ("quick",), ["true", "false"]), ({}, ("seed",), []),
    ({}, ("train", "way"), ["up", "2", "true", "null"]),
    ({}, ("train", "sampler"), ["auto", "a", "b"]),
    ({}, ("part",), ["a", "b"]), ({"part": "b"}, ("part", "type"), ["a", "b"]),
    ({"part": "b"}, ("part", "size"), ["7"]), ({"part": "a"}, ("part", "size", "width"), ["1", "2"]),
    ({"train": {"rate": {"type": "steep"}}}, ("train", "rate", "type"), ["flat", "steep"]),
    ({"train": {"rate": {"type": "steep"}}}, ("train", "rate", "level"), []),
    ({}, ("absent",), []),
], ids=str)  # fmt: skip
def test_the_values_of_a_key(recipe, path, found):
    assert keys(**recipe).values(path) == found
