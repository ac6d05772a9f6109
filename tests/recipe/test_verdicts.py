"""What is said of each kind of error of pydantic's, by the value that is there and the key's own bounds."""

from typing import Annotated

import pytest
from pydantic import Field
from pydantic.fields import FieldInfo

from pixkit.errors import RecipeError
from pixkit.recipe import load_recipe
from pixkit.recipe.messages import Verdict, judge, type_hint, union_tag, unknown_component
from pixkit.recipe.source import Mark, Source
from pixkit.recipe.yaml import Node, parse_yaml


def node(text):
    """The value of a key, as in a file."""
    return parse_yaml(f"a: {text}\n", "r").value["a"]


def verdict(error, context, text="1", field=None):
    return judge({"type": error, "ctx": context, "msg": "Value error,  a  b\nc"}, node(text), field)


BOUNDED = FieldInfo.from_annotation(Annotated[int, Field(ge=2, lt=2**60)])
SHORT = FieldInfo.from_annotation(Annotated[float, Field(gt=0.5, le=3.0)])


@pytest.mark.parametrize(("kind", "context", "field", "found"), [
    ("int_type", {}, None, ("wrong type", "a whole number")),
    ("int_type", {}, BOUNDED, ("wrong type", f"a whole number, at least 2 and less than {2**60}")),
    ("float_type", {}, SHORT, ("wrong type", "a number, more than 0.5 and at most 3")),
    ("bool_type", {}, BOUNDED, ("wrong type", "true or false")),
    ("greater_than", {"gt": 2.0}, None, ("out of range", "more than 2")),
    ("less_than_equal", {"le": 0.25}, None, ("out of range", "at most 0.25")),
    ("less_than", {"lt": 7}, SHORT, ("out of range", "more than 0.5 and at most 3")),
    ("multiple_of", {"multiple_of": 3}, None, ("out of range", "a multiple of 3")),
    ("string_too_long", {"max_length": 4}, None, ("wrong length", "at most 4 characters")),
    ("too_short", {"min_length": 1}, None, ("wrong length", "at least 1 items")),
    ("string_pattern_mismatch", {"pattern": "^a$"}, None, ("not well formed", "text that matches ^a$")),
    ("component_section", {"kind": "data", "key": "source"}, None,
     ("wrong type", "the name of a data source, or a mapping with the key 'source'")),
    ("value_error", {}, None, ("a b c", None)),
], ids=str)  # fmt: skip
def test_what_is_wrong_and_what_was_expected(kind, context, field, found):
    said = verdict(kind, context, field=field)
    assert (said.message, said.expected) == found
    assert said.is_type == (found[0] == "wrong type")


@pytest.mark.parametrize(("text", "expected", "hint"), [
    ("'3'", "'a', 'b' or 3", "3, without quotes"), ("3.0", "'a' or 3", "3"), ("3.5", "'a' or 3", None),
    ("4.0", "1, 2 or 3", None), ("12", "'11' or '12'", '"12", in quotes'), ("true", "'true' or 2", '"true", in quotes'),
    ("bet", "'alpha' or 'beta'", "did you mean 'beta'?"), ("[3]", "'3' or 3", None), ("x", "'alpha'", None),
])  # fmt: skip
def test_a_choice_that_is_written_otherwise_is_told_how(text, expected, hint):
    said = verdict("literal_error", {"expected": expected}, text)
    assert (said.message, said.hint, said.is_type) == ("not one of the choices", hint, True)
    choices = [word.strip("',") for word in expected.split() if word != "or"]
    assert said.expected == ", ".join(choices)


@pytest.mark.parametrize(("kind", "text", "hint"), [
    ("int_type", "", "give a value, or remove the key"), ("int_type", "null", None),
    ("bool_type", "yes", "true"), ("bool_type", "No", "false"), ("bool_type", "'true'", "true, without quotes"),
    ("bool_type", "maybe", None), ("bool_type", "1", None),
    ("int_type", "3.0", "3"), ("int_type", "3.5", None), ("float_type", "3.0", None),
    ("string_type", "1.50", '"1.50", in quotes, if text is meant'), ("string_type", "[a]", None),
    ("string_type", "{a: 1}", None), ("model_attributes_type", "adam", "{type: adam}"),
    ("model_attributes_type", "3", None), ("model_type", "adam", None),
    ("tuple_type", "[1]", "if the length is right, the component's author forgot Field(strict=False) on this tuple"),
    ("tuple_type", "1", None), ("list_type", "[1]", None),
    ("int_type", "'12'", "12, without quotes"), ("float_type", "'-.5e-3'", "-.5e-3, without quotes"),
    ("float_type", "'1e'", None), ("list_type", "'12'", None),
])  # fmt: skip
def test_likely_slips_of_yaml(kind, text, hint):
    assert type_hint(kind, node(text)) == hint


def test_names_of_components_and_of_members_of_a_union():
    nearest = unknown_component("data", "digit", ["digits", "files"])
    assert nearest == Verdict(
        "there is no data source with this name", "digits, files", "did you mean 'digits'?", "data"
    )
    nothing = unknown_component("mask", "a", [])
    assert nothing.expected == "a mask, but none is registered" and nothing.hint.startswith("if a plugin has it: ")
    assert union_tag({"discriminator": "'type'"}, None) == Verdict("the key 'type' is missing")
    tags = {"discriminator": "'type'", "expected_tags": "'slow', 'fast'"}
    assert union_tag(tags, node("fasd")) == Verdict("not one of the choices", "slow, fast", "did you mean 'fast'?")
    assert union_tag(tags, None).hint is None


def test_values_in_a_few_words():
    described = {"{a: 1}": "a mapping", "{}": "an empty mapping", "[1]": "a list", "[]": "an empty list", "x": "'x'",
                 "1e3": "1e3", "": "nothing", f"'{'x' * 90}'": f"'{'x' * 76}...", "9" * 30: "9" * 30}  # fmt: skip
    for text, words in described.items():
        assert node(text).describe() == words
    mark = Mark(Source("r", "a"), 0, 0)
    assert (
        Node(None, mark).holder is mark
        and Node(None, mark, key=(other := Mark(Source("s", "b"), 0, 0))).holder is other
    )


@pytest.mark.parametrize(("name", "hint"), [
    ("digits-pixelcn.yaml", "did you mean the packaged recipe 'digits-pixelcnn'?"),
    ("digits-pixelcn", "did you mean the packaged recipe 'digits-pixelcnn'?"),
    ("quite-another", "a file's path, or a packaged recipe: cifar10-"),
])  # fmt: skip
def test_a_file_that_is_not_there_may_be_a_packaged_recipe(name, hint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="there is no such file") as caught:
        load_recipe(name)
    assert caught.value.hint.startswith(hint) and caught.value.where == name
