"""What a lock means that lacks a key, as the pixkit that wrote it did not have the key."""

import json
from pathlib import Path

import pytest

from pixkit.errors import PluginError, RunError
from pixkit.recipe import load_recipe
from pixkit.runs.lockfile import recipe_of

LOCK = Path("recipe.lock.yaml")


@pytest.fixture
def settings():
    """Of a run whose images lie in folders."""
    data = {"source": "images", "path": "pictures", "size": 8}
    return load_recipe("digits-pixelcnn", [f"data={json.dumps(data)}"]).recipe.dump()


def test_a_key_that_a_lock_has_is_taken_as_it_is(settings):
    assert settings["data"]["splits"] == "folders"
    assert recipe_of(settings, LOCK).dump() == settings


def test_a_key_that_a_lock_lacks_means_what_was_done_before_it(settings):
    expected = {**settings, "data": {**settings["data"], "splits": "none"}}
    del settings["data"]["splits"]
    before = {**settings, "data": dict(settings["data"])}
    assert recipe_of(settings, LOCK).dump() == expected
    assert settings == before, "what was read stays as it is"


def test_a_component_that_is_missing_is_placed_as_recipes_place_it(settings):
    """In a member of a list that other values than lists may stand for, too."""
    model = {**settings["model"], "context": [{"type": "label"}, {"type": "gone"}]}
    with pytest.raises(PluginError) as caught:
        recipe_of({**settings, "model": model}, LOCK)
    assert caught.value.where == "recipe.lock.yaml, model.context[1].type"
    model = {**settings["model"], "backbone": {"width": 8}}
    with pytest.raises(RunError) as caught:
        recipe_of({**settings, "model": model}, LOCK)
    assert caught.value.where == "recipe.lock.yaml, model.backbone.type"


def test_another_key_that_a_lock_lacks_has_its_default(settings):
    expected = {**settings, "data": dict(settings["data"])}
    del settings["data"]["frames"]
    assert recipe_of(settings, LOCK).dump() == expected
