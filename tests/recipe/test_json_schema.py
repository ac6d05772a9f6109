"""The JSON Schema covers every component, refers to nothing that is not there, and agrees with the checks."""

import json
from typing import Any

import pytest
from pydantic import Field

from pixkit.components.config import ComponentConfig
from pixkit.components.registry import Registrar, Registry
from pixkit.models import AutoregressiveModel
from pixkit.recipe import json_schema


class Nested(AutoregressiveModel):
    class Config(ComponentConfig):
        class Inner(ComponentConfig):
            depth: int = 1

        inner: Inner = Field(default_factory=Inner)


class Tree(ComponentConfig):
    branches: "list[Tree]" = Field(default_factory=list)


class Recursive(AutoregressiveModel):
    Config = Tree


@pytest.fixture
def schema(registry):
    return json_schema(registry)


def walk(value: Any):
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(item)


def references(schema):
    return {item["$ref"] for item in walk(schema) if isinstance(item, dict) and isinstance(item.get("$ref"), str)}


def test_every_reference_resolves_and_every_definition_is_used(schema):
    found = {reference.removeprefix("#/$defs/") for reference in references(schema)}
    assert found == set(schema["$defs"])


def test_no_placeholder_is_left(schema):
    text = json.dumps(schema)
    assert "x-pixkit-kind" not in text
    assert "x-pixkit-key" not in text
    assert "x-pixkit-auto-or" not in text


def test_a_kind_is_a_name_or_one_component(schema):
    backbone = schema["$defs"]["backbone"]["oneOf"]
    assert backbone[0]["enum"] == ["net", "other_net", "pixkit:net", "pixkit:other_net"]
    assert [option["$ref"] for option in backbone[1:]] == ["#/$defs/backbone.net", "#/$defs/backbone.other_net"]


def test_a_component_has_its_key_its_fields_and_its_descriptions(schema):
    net = schema["$defs"]["backbone.net"]
    assert net["description"] == "A net."
    assert net["required"] == ["type", "layers"]
    assert net["additionalProperties"] is False
    assert net["properties"]["type"]["enum"] == ["net", "pixkit:net"]
    assert net["properties"]["layers"]["description"] == "How many."
    assert net["properties"]["layers"]["maximum"] == 100
    assert schema["$defs"]["data.files"]["required"] == ["source", "path"]


def test_names_that_two_plugins_bring_are_qualified(schema):
    names = schema["$defs"]["head"]["oneOf"][0]["enum"]
    assert names == ["acme:logistic", "pixkit:logistic", "pixkit:softmax", "softmax"]
    assert {"head.logistic", "head.acme:logistic"} <= set(schema["$defs"])


def test_sampler_names_are_listed(schema):
    names = ["ancestral", "auto", "pixkit:ancestral"]
    assert schema["$defs"]["recipe.SampleConfig"]["properties"]["type"]["enum"] == names


def test_definitions_of_a_component_keep_to_themselves():
    registrar = Registrar("pixkit", "1")
    registrar.add("model", "nested", Nested)
    registrar.add("model", "tree", Recursive)
    registry = Registry()
    registry.extend(registrar.entries)
    schema = json_schema(registry)
    assert schema["$defs"]["model.nested"]["properties"]["inner"]["$ref"] == "#/$defs/model.nested.Inner"
    assert schema["$defs"]["model.tree"]["properties"]["branches"]["items"]["$ref"] == "#/$defs/model.tree.Tree"
    assert list(schema["$defs"]["model.tree"]["properties"]) == ["type", "branches"]
    assert {reference.removeprefix("#/$defs/") for reference in references(schema)} <= set(schema["$defs"])


def test_a_kind_without_components_accepts_nothing():
    assert json_schema(Registry())["$defs"]["data"] == {"not": {}}
