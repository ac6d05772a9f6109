"""Registries: names, who brings them, and conflicts."""

import pytest

from pixkit.components.config import ComponentConfig
from pixkit.components.registry import KINDS, Registrar, Registry
from pixkit.errors import PluginError


class Thing:
    """First line.

    More.
    """

    class Config(ComponentConfig):
        """No keys."""


class Bare:
    class Config(ComponentConfig):
        pass


def brought(distribution, *names, kind="backbone", version="1.2"):
    registrar = Registrar(distribution, version)
    for name in names:
        registrar.add(kind, name, Thing)
    return registrar.entries


def test_the_kinds():
    assert KINDS == ("ordering", "mask", "backbone", "head", "sampler", "model", "data")


def test_an_entry_knows_who_brings_it():
    (entry,) = brought("dist", "thing")
    assert (entry.kind, entry.name, entry.cls, entry.distribution, entry.version) == (
        "backbone", "thing", Thing, "dist", "1.2",
    )  # fmt: skip
    assert entry.qualified == "dist:thing"
    assert entry.recipe_name == "dist:thing"
    assert entry.summary == "First line."
    assert brought("pixkit", "thing")[0].recipe_name == "thing"


def test_a_class_without_a_docstring_has_an_empty_summary():
    registrar = Registrar("dist", "1")
    registrar.add("head", "bare", Bare)
    assert registrar.entries[0].summary == ""


def test_bare_and_qualified_names_resolve():
    registry = Registry()
    registry.extend(brought("one", "a", "b"))
    assert registry.conflicts() == {}
    assert registry.get("backbone", "a").name == "a"
    assert registry.get("backbone", "one:b").name == "b"
    assert registry.find("backbone", "two:b") is None
    assert registry.find("head", "a") is None, "kinds are apart"


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a.b", "a/b", None, 3])
def test_bad_names_are_refused(name):
    with pytest.raises(PluginError, match="bad name") as error:
        Registrar("dist", "1").add("head", name, Thing)
    assert error.value.where == "dist"


@pytest.mark.parametrize("name", ["a", "a_b", "a-b", "A1", "1a"])
def test_good_names_are_taken(name):
    registrar = Registrar("dist", "1")
    registrar.add("head", name, Thing)
    assert registrar.entries[0].name == name


def test_an_unknown_kind_is_refused_with_those_there_are():
    with pytest.raises(PluginError, match="no registry 'backbones'") as error:
        Registrar("dist", "1").add("backbones", "a", Thing)
    assert "backbone" in error.value.expected


@pytest.mark.parametrize("config", [None, object(), int, {}])
def test_a_class_without_a_config_is_refused(config):
    cls = type("Lacking", (), {} if config is None else {"Config": config})
    with pytest.raises(PluginError, match="has no nested Config"):
        Registrar("dist", "1").add("head", "lacking", cls)


def test_a_plugin_may_not_bring_a_name_twice():
    registrar = Registrar("dist", "1")
    registrar.add("head", "a", Thing)
    registrar.add("mask", "a", Thing)
    with pytest.raises(PluginError, match="'a' is registered twice"):
        registrar.add("head", "a", Thing)


def test_two_plugins_of_a_distribution_may_not_either():
    registry = Registry()
    registry.extend(brought("dist", "a", "b"))
    with pytest.raises(PluginError, match="'b' is registered twice"):
        registry.extend(brought("dist", "c", "b"))
    assert registry.names("backbone") == ["a", "b"], "nothing of the second was taken"


def test_a_duplicate_names_both_distributions_and_the_way_out():
    registry = Registry()
    registry.extend(brought("one", "a", version="1.0"))
    registry.extend(brought("two", "a", "b", version="2.0"))
    assert registry.conflicts() == {("backbone", "a"): "the backbone 'a' is brought by one 1.0 and two 2.0"}
    with pytest.raises(PluginError, match=r"brought by one 1\.0 and two 2\.0") as error:
        registry.get("backbone", "a")
    assert error.value.hint.startswith("write one of one:a, two:a, or leave a plugin out")
    assert error.value.exit_code == 4
    assert registry.get("backbone", "one:a").version == "1.0"
    assert registry.get("backbone", "two:a").version == "2.0"
    assert registry.get("backbone", "b").distribution == "two"


def test_three_of_a_name_are_all_named():
    registry = Registry()
    for distribution in ("one", "two", "three"):
        registry.extend(brought(distribution, "a"))
    with pytest.raises(PluginError, match=r"one 1\.2 and two 1\.2 and three 1\.2"):
        registry.find("backbone", "a")


def test_a_missing_name_gets_the_nearest_and_all_there_are():
    registry = Registry()
    registry.extend(brought("one", "pixelcnn", "other"))
    with pytest.raises(PluginError, match="no backbone named 'pixlcnn'; did you mean 'pixelcnn'") as error:
        registry.get("backbone", "pixlcnn")
    assert "(there are: other, pixelcnn)" in str(error.value)
    with pytest.raises(PluginError) as error:
        registry.get("backbone", "zzz")
    assert "did you mean" not in str(error.value)


def test_walking_goes_by_kind_and_name():
    registry = Registry()
    registry.extend([*brought("one", "b", "a"), *brought("one", "z", kind="ordering")])
    assert [(entry.kind, entry.name) for entry in registry] == [("ordering", "z"), ("backbone", "a"), ("backbone", "b")]
    assert registry.names("data") == []
