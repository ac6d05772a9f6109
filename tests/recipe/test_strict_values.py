"""Values of keys are taken as they are written, and finite, whatever the component, in lists and mappings too."""

import math
from typing import Literal

import pytest
from pydantic import Field, ValidationError

from pixkit.components.config import ComponentConfig
from pixkit.components.plugins import registry
from pixkit.optimisers import SGD, Adam
from pixkit.recipe import InvalidRecipe, load_recipe
from pixkit.recipe.schema import Recipe, SampleConfig, TrainConfig

SECTIONS = (Recipe, TrainConfig, SampleConfig)
WRONG = {
    "integer": (True, 1.0, 1.5, "1", math.nan),
    "number": (True, "1", math.nan, math.inf, -math.inf),
    "boolean": (0, 1, 1.0, "true", None),
}


def configs():
    yield from ((cls.__name__, cls) for cls in SECTIONS)
    yield from ((f"{entry.kind} {entry.name}", entry.cls.Config) for entry in registry())


def types_of(rule):
    """The JSON types that a key takes, and its whole-number choices."""
    rules = [rule, *rule.get("anyOf", []), *rule.get("oneOf", [])]
    choices = [value for one in rules for value in one.get("enum", [one["const"]] if "const" in one else [])]
    return {one["type"] for one in rules if isinstance(one.get("type"), str) and "enum" not in one}, choices


def refuses(config, key, value):
    try:
        config.model_validate({key: value}, context={"registry": registry()})
    except ValidationError as error:
        return any(one["loc"][:1] == (key,) for one in error.errors())
    return False


@pytest.mark.parametrize(("name", "config"), [pytest.param(*pair, id=pair[0]) for pair in configs()])
def test_no_value_is_taken_for_one_of_another_type(name, config):
    looked_at = 0
    for key, rule in config.model_json_schema()["properties"].items():
        types, choices = types_of(rule)
        numbers = [value for value in choices if isinstance(value, int) and not isinstance(value, bool)]
        wrong = [float(value) for value in numbers] + [str(value) for value in numbers] + [True] * (1 in numbers)
        wrong += [value for kind in types & set(WRONG) for value in WRONG[kind]]
        if "number" in types:
            wrong = [value for value in wrong if value not in (1.0, 1.5)]
        for value in wrong:
            allowed = {str: "string", bool: "boolean", type(None): "null"}.get(type(value))
            if allowed not in types:
                assert refuses(config, key, value), f"{key}: {value!r}"
                looked_at += 1
        assert all(not refuses(config, key, value) for value in numbers)
    if any(types_of(rule)[0] & set(WRONG) for rule in config.model_json_schema()["properties"].values()):
        assert looked_at


class Nested(ComponentConfig):
    """Choices among numbers, wherever they may stand."""

    one: Literal[1] = 1
    many: list[Literal[1, 3]] = Field(default_factory=list)
    table: dict[str, Literal[3]] = Field(default_factory=dict)
    pair: tuple[Literal[0, 1], float] = Field((0, 1.0), strict=False)
    flag: Literal["auto", 1] | bool = "auto"
    truth: Literal[True] = True
    maybe: Literal[3, 5] | None = None


@pytest.mark.parametrize(("key", "value", "loc"), [
    ("one", True, ()), ("one", 1.0, ()), ("many", [1, 3.0], (1,)), ("many", [True], (0,)),
    ("table", {"a": 3.0}, ("a",)),
    ("pair", [False, 1.0], (0,)), ("truth", 1, ()), ("truth", 1.0, ()), ("maybe", 3.0, ()),
])  # fmt: skip
def test_numbers_of_a_choice_are_taken_as_they_are_written(key, value, loc):
    with pytest.raises(ValidationError) as caught:
        Nested(**{key: value})
    error = caught.value.errors()[0]
    assert error["type"] == "literal_error" and error["loc"] == (key, *loc)


def test_a_number_is_no_choice_of_a_union_because_it_equals_one():
    with pytest.raises(ValidationError) as caught:
        Nested(flag=1.0)
    error = caught.value.errors()[0]
    assert error["type"] == "literal_error" and error["loc"][0] == "flag"


def test_what_is_one_of_the_choices_stays_what_it_is():
    taken = Nested(one=1, many=[1, 3], table={"a": 3}, pair=[1, 2], flag=True, truth=True, maybe=5)
    assert taken.flag is True and taken.truth is True and taken.pair == (1, 2.0) and Nested(flag=1).flag == 1
    assert Nested.model_json_schema()["properties"]["maybe"]["anyOf"][0] == {"enum": [3, 5], "type": "integer"}


TINY = """\
pixkit: {version}
name: tiny
data: {{source: digits}}
model:
  type: autoregressive
  backbone: {{type: pixelcnn, kernel: {kernel}}}
train:
  optimizer: {optimizer}
"""


def problems(tmp_path, version="1", kernel="3", optimizer="adam"):
    path = tmp_path / "tiny.yaml"
    optimizer = optimizer if optimizer.startswith("{") else f"{{type: {optimizer}}}"
    path.write_text(TINY.format(version=version, kernel=kernel, optimizer=optimizer), encoding="utf-8")
    with pytest.raises(InvalidRecipe) as caught:
        load_recipe(path)
    return [(one.mark.line + 1, one.message, one.hint) for one in caught.value.problems]


@pytest.mark.parametrize(("written", "hint"), [
    ("true", None), ("1.0", "1"), ("'1'", "1, without quotes"), ("2", None), ("one", None),
    ('" 1"', "1, without quotes"),
])  # fmt: skip
def test_the_hint_does_not_repeat_the_fault(tmp_path, written, hint):
    assert problems(tmp_path, version=written) == [(1, "not one of the choices", hint)]


@pytest.mark.parametrize(("written", "hint"), [
    ("'true'", "true, without quotes"), ("'False'", "false"), ("on", "true"), ("1", None), ('"no"', "false"),
])  # fmt: skip
def test_truth_has_no_quotes(tmp_path, written, hint):
    assert problems(tmp_path, optimizer=f"{{type: sgd, nesterov: {written}}}") == [(8, "wrong type", hint)]


def test_kernels_are_whole_numbers(tmp_path):
    assert problems(tmp_path, kernel="3.0") == [(6, "not one of the choices", "3")]
    assert problems(tmp_path, kernel="'3'") == [(6, "not one of the choices", "3, without quotes")]
    assert problems(tmp_path, kernel="true") == [(6, "not one of the choices", None)]


@pytest.mark.parametrize(("optimizer", "message"), [
    ("{type: sgd, nesterov: true}", "needs a momentum"),
    ("{type: sgd, nesterov: true, momentum: 0}", "needs a momentum"),
    ("{type: sgd, momentum: 1}", "out of range"), ("{type: sgd, lr: 0}", "out of range"),
    ("{type: adam, betas: [1, 0.9]}", "out of range"), ("{type: adam, betas: [0.9, 1.5]}", "out of range"),
    ("{type: adamw, betas: [-0.1, 0.9]}", "out of range"), ("{type: adamw, betas: [0.9]}", "too short"),
    ("{type: adamw, eps: 0}", "out of range"), ("{type: adamw, weight_decay: -1}", "out of range"),
    ("{type: rmsprop, alpha: 1}", "out of range"), ("{type: rmsprop, lr: -1e-3}", "out of range"),
])  # fmt: skip
def test_optimisers_that_torch_would_refuse_have_a_line(tmp_path, optimizer, message):
    [(line, said, _)] = problems(tmp_path, optimizer=optimizer)
    assert line == 8 and message in said


def test_nesterov_with_a_momentum_is_fine():
    assert SGD.Config(momentum=0.9, nesterov=True).nesterov
    assert Adam.Config(betas=(0, 0.5)).betas == (0.0, 0.5)
