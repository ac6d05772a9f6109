"""Keys with several names: a recipe may use any, and everything that pixkit writes uses one."""

import pytest
from pydantic import AliasChoices, Field

import pixkit
from pixkit.catalogue.keys import Keys
from pixkit.cli.live import Live
from pixkit.components.config import ComponentConfig, aliases
from pixkit.components.keys import keys_of
from pixkit.components.plugins import plugins, registry
from pixkit.components.registry import Registrar, Registry
from pixkit.distribution import is_own
from pixkit.errors import RecipeError, RunError
from pixkit.recipe import InvalidRecipe, dump_yaml, json_schema, load_recipe
from pixkit.runs.former_keys import FORMER_KEYS, with_present_keys
from pixkit.runs.lockfile import recipe_of
from pixkit.trackers import Tracker

RECIPE = {
    "pixkit": 1,
    "name": "named",
    "data": {"source": "digits"},
    "model": {"type": "autoregressive", "head": {"type": "logistic_mixture"}},
}
WIDTH = "model.backbone.width"
FILTERS = "model.backbone.filters"


def loaded(overrides=(), **keys):
    model = {**RECIPE["model"], "backbone": {"type": "pixelcnnpp", **keys}}
    return load_recipe(dump_yaml({**RECIPE, "model": model}), overrides)


@pytest.mark.parametrize(
    ("keys", "overrides", "width"),
    [
        ({"filters": 8}, [], 8),
        ({"width": 8}, [f"{FILTERS}=9"], 9),
        ({"filters": 8}, [f"{WIDTH}=9"], 9),
        ({"filters": 8}, [f"{WIDTH}=9", f"{FILTERS}=10"], 10),
        ({"filters": 8}, [f"{FILTERS}=9", f"{WIDTH}=10"], 10),
        ({"width": 8}, ["model.backbone={type: pixelcnnpp, filters: 9, blocks: 2}"], 9),
    ],
)
def test_any_name_counts_the_last_one_wins_and_one_is_written(keys, overrides, width):
    found = loaded(overrides, blocks=2, **keys)
    written = found.lock()["model"]["backbone"]
    assert written == loaded(width=width, resnets=2).lock()["model"]["backbone"]
    assert (written["width"], written["blocks"]) == (width, 2) and not {"filters", "resnets"} & set(written)


class Noted(Tracker):
    """Notes some rows."""

    class Config(ComponentConfig):
        rows: int = Field(1, validation_alias=AliasChoices("rows", "lines"))

    log = start = None


def test_other_names_count_within_lists():
    brought, known = Registrar("pixkit", "1"), Registry()
    brought.add("tracker", "noted", Noted)
    known.extend([*registry(), *brought.entries])
    given = {**RECIPE, "model": {**RECIPE["model"], "backbone": "pixelcnnpp"}}
    log = ["noted", {"type": "noted", "rows": 2}, {"type": "noted", "lines": 3}]
    found = load_recipe(dump_yaml({**given, "train": {"log": log}}), registry=known).recipe.dump()["train"]["log"]
    assert [each["rows"] for each in found] == [1, 2, 3]
    log[2]["rows"] = 4
    with pytest.raises(InvalidRecipe, match="names of one key") as caught:
        load_recipe(dump_yaml({**given, "train": {"log": log}}), registry=known)
    assert caught.value.problems[0].path == ("train", "log", 2, "rows")


def test_two_names_of_one_key_in_one_place_are_an_error():
    with pytest.raises(InvalidRecipe, match="'width' and 'filters' are names of one key") as caught:
        loaded(filters=8, width=8, resnets=1)
    (problem,) = caught.value.problems
    assert problem.path == ("model", "backbone", "width") and problem.hint == "give one of them"
    assert problem.mark.excerpt().splitlines()[1].index("^") == problem.mark.excerpt().index("width")
    with pytest.raises(InvalidRecipe, match="names of one key"):
        loaded(["model.backbone={type: pixelcnnpp, width: 3, filters: 4}"])
    with pytest.raises(RecipeError, match="'width' and 'filters' are names of one key: give one of them") as caught:
        pixkit.component("backbone", "pixelcnnpp", width=3, filters=4)
    assert caught.value.where == "backbone 'pixelcnnpp'"


def test_other_names_are_known_where_a_key_is_not():
    with pytest.raises(InvalidRecipe, match="did you mean 'width'") as caught:
        loaded(fillters=8)
    assert "filters" not in caught.value.problems[0].expected
    with pytest.raises(InvalidRecipe, match="pixelcnnpp, which has this key"):
        load_recipe(dump_yaml({**RECIPE, "model": {**RECIPE["model"], "backbone": {"type": "pixelcnn", "filters": 8}}}))
    with pytest.raises(InvalidRecipe) as caught:
        loaded(filters=0)
    assert caught.value.problems[0].where.endswith(WIDTH)


def test_the_lock_of_a_run_that_was_built_with_another_name_says_the_same(tmp_path):
    now = loaded(width=8, blocks=1).lock()
    then = {key: value for key, value in now["model"]["backbone"].items() if key not in ("width", "blocks")}
    model = {**now["model"], "backbone": {**then, "filters": 8, "resnets": 1}}
    assert recipe_of({**now, "model": model, "lock": {}}, tmp_path).dump() == now
    model["backbone"]["width"] = 9
    with pytest.raises(RunError, match="'width' and 'filters' are names of one key"):
        recipe_of({**now, "model": model, "lock": {}}, tmp_path)


def test_locks_are_read_by_the_present_names():
    """Without plugins, so that runs are compared; of the components, which names these are."""
    own = [entry for entry in registry() if is_own(entry.distribution) and aliases(entry.cls.Config)]
    assert {entry.name: aliases(entry.cls.Config) for entry in own} == FORMER_KEYS
    then = {"model": [{"type": "pixelcnnpp", "filters": 8, "dropout": 0.5}, {"type": "pixelcnn", "filters": 8}, 1]}
    now = {"model": [{"type": "pixelcnnpp", "width": 8, "dropout": 0.5}, {"type": "pixelcnn", "filters": 8}, 1]}
    found = with_present_keys(then)
    assert found == now and list(found["model"][0]) == ["type", "width", "dropout"]
    both = {"type": "row_rnn", "hidden_size": 1, "units": 2}
    assert with_present_keys(both) == both and with_present_keys({"type": [1]}) == {"type": [1]}


class Named(ComponentConfig):
    width: int = Field(ge=1, validation_alias=AliasChoices("width", "maps", "filters"))
    """Maps."""


def test_the_schema_takes_every_name_once():
    rule = json_schema(registry())["$defs"]["backbone.pixelcnnpp"]
    filters, width = rule["properties"]["filters"], rule["properties"]["width"]
    assert filters == {**width, "description": "Another name of width.", "deprecated": True}
    assert {"not": {"required": ["width", "filters"]}} in rule["allOf"]
    schema = Named.model_json_schema()
    assert not schema["required"] and list(schema["properties"]) == ["width", "maps", "filters"]
    either = [{"required": [name]} for name in ("width", "maps", "filters")]
    never = [{"not": {"required": list(two)}} for two in (("width", "maps"), ("width", "filters"), ("maps", "filters"))]
    assert schema["allOf"] == [*never, {"anyOf": either}]
    assert Named(filters=2) == Named(width=2) == Named(maps=2)
    with pytest.raises(ValueError, match="'maps' and 'filters' are names of one key"):
        Named(maps=2, filters=2)
    (key,) = keys_of(Named)
    assert (key.key, key.description) == ("width", "Maps. Also called maps, filters.")


def test_tab_offers_one_name():
    offered = Keys(Live(plugins()), loaded(filters=8).recipe.dump()).below(("model", "backbone"))
    assert {"width", "blocks"} <= set(offered) and not {"filters", "resnets"} & set(offered)


@pytest.mark.parametrize("kind", ["backbone", "model"])
def test_one_quantity_has_one_name_in_all_that_pixkit_brings(kind):
    own = [entry.cls.Config for entry in registry() if entry.kind == kind and is_own(entry.distribution)]
    known = {alias for config in own for alias in aliases(config)}
    assert not known & {name for config in own for name in config.model_fields}
    assert not {"filters", "maps", "channels", "num_layers", "hidden_size", "resnets"} & {
        name for config in own for name in config.model_fields
    }
