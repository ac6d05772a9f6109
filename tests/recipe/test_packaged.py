"""The recipes that come with pixkit, in a wheel and in a checkout."""

from pathlib import Path

import pytest

from pixkit.catalogue import recipes as packaged
from pixkit.recipe import find_recipe, load_recipe, packaged_recipes


@pytest.mark.parametrize("name", packaged_recipes())
def test_every_packaged_recipe_is_valid_and_named_like_its_file(name):
    assert load_recipe(name).recipe.name == name


@pytest.fixture
def layout(tmp_path, monkeypatch):
    """An installation with the recipes in one of its folders."""

    def _layout(folder):
        (tmp_path / "site" / "pixkit").mkdir(parents=True)
        (tmp_path / "site" / folder).mkdir()
        for name in ("b-net.yaml", "a-net.yaml", "notes.txt"):
            (tmp_path / "site" / folder / name).write_text("x")
        monkeypatch.setattr(packaged, "_PACKAGE", tmp_path / "site" / "pixkit")
        return tmp_path / "site" / folder

    return _layout


@pytest.mark.parametrize("folder", ["pixkit/_recipes", "recipes"])
def test_wheel_and_checkout(layout, folder):
    place = layout(folder)
    assert packaged_recipes() == {"a-net": place / "a-net.yaml", "b-net": place / "b-net.yaml"}
    assert list(packaged_recipes()) == ["a-net", "b-net"]


def test_find_recipe(layout, tmp_path, monkeypatch):
    place = layout("recipes")
    monkeypatch.chdir(tmp_path)
    assert find_recipe("a-net") == place / "a-net.yaml"
    assert find_recipe("a-net.yaml") == place / "a-net.yaml"
    assert find_recipe("./sub/a-net") == Path("sub/a-net")
    assert find_recipe("c-net") == Path("c-net")
    (tmp_path / "a-net").mkdir()
    assert find_recipe("a-net") == place / "a-net.yaml"
    (tmp_path / "a-net.yaml").write_text("x")
    assert find_recipe("a-net.yaml") == Path("a-net.yaml")
    assert find_recipe("a-net") == place / "a-net.yaml"


def test_a_packaged_recipe_is_loaded_by_its_name(layout, recipe_text, registry):
    place = layout("recipes")
    (place / "a-net.yaml").write_text(recipe_text)
    loaded = load_recipe("a-net", registry=registry)
    assert loaded.base == place


def test_a_misspelt_name_is_answered_with_the_nearest(layout, registry):
    layout("recipes")
    with pytest.raises(Exception, match="did you mean the packaged recipe 'b-net'"):
        load_recipe("b-nett", registry=registry)
