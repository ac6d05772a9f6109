"""Registries: names, who brings them, of what kind, and conflicts."""

import inspect
import itertools

import pytest

import pixkit
from pixkit.components.config import ComponentConfig
from pixkit.components.plugins import plugins
from pixkit.components.registry import BASES, KINDS, NOTEBOOK, Registrar, Registry, base_of
from pixkit.errors import PluginError


def thing(kind):
    """A class that may be registered as that kind: it has every method, though none that works."""
    base = base_of(kind)
    whole = type("Whole", (base,), dict.fromkeys(base.__abstractmethods__, object.__init__))

    class Thing(whole):
        """First line.

        More.
        """

        class Config(ComponentConfig):
            """No keys."""

    return Thing


class Bare(thing("head")):
    class Config(ComponentConfig):
        pass


def brought(distribution, *names, kind="backbone", version="1.2"):
    registrar = Registrar(distribution, version)
    for name in names:
        registrar.add(kind, name, thing(kind))
    return registrar.entries


def test_the_kinds():
    assert KINDS[:8] == ("ordering", "mask", "backbone", "head", "sampler", "model", "data", "tracker")
    added = ["activation", "norm", "initialiser", "encoding", "optimiser", "schedule", "conditioner"]
    assert list(KINDS[8:]) == added


def test_an_entry_knows_who_brings_it():
    registrar, cls = Registrar("dist", "1.2"), thing("backbone")
    registrar.add("backbone", "thing", cls)
    (entry,) = registrar.entries
    assert (entry.kind, entry.name, entry.distribution, entry.version) == ("backbone", "thing", "dist", "1.2")
    assert entry.cls is cls
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
        Registrar("dist", "1").add("head", name, thing("head"))
    assert error.value.where == "dist"


@pytest.mark.parametrize("name", ["a", "a_b", "a-b", "A1", "1a"])
def test_good_names_are_taken(name):
    registrar = Registrar("dist", "1")
    registrar.add("head", name, thing("head"))
    assert registrar.entries[0].name == name


def test_an_unknown_kind_is_refused_with_those_there_are():
    with pytest.raises(PluginError, match="no registry 'backbones'") as error:
        Registrar("dist", "1").add("backbones", "a", thing("head"))
    assert "backbone" in error.value.expected


@pytest.mark.parametrize("config", [None, object(), int, {}])
def test_a_class_without_a_config_is_refused(config):
    cls = type("Lacking", (base_of("head"),), {"Config": config})
    with pytest.raises(PluginError, match="has no nested Config"):
        Registrar("dist", "1").add("head", "lacking", cls)


@pytest.mark.parametrize(("kind", "key", "reserved"), [
    ("head", "type", True), ("head", "source", False), ("data", "source", True), ("data", "type", False),
])  # fmt: skip
def test_the_key_that_names_a_component_is_reserved(kind, key, reserved):
    config = type("Config", (ComponentConfig,), {"__annotations__": {key: int}, key: 1})
    registrar, cls = Registrar("dist", "1"), type("Keyed", (thing(kind),), {"Config": config})
    if not reserved:
        registrar.add(kind, "keyed", cls)
        return
    with pytest.raises(PluginError, match=f"the {kind} 'keyed' has a key '{key}', which is reserved") as error:
        registrar.add(kind, "keyed", cls)
    assert (error.value.where, error.value.hint) == ("dist", "rename the key")


def test_a_plugin_may_not_bring_a_name_twice():
    registrar = Registrar("dist", "1")
    registrar.add("head", "a", thing("head"))
    registrar.add("mask", "a", thing("mask"))
    with pytest.raises(PluginError, match="'a' is registered twice"):
        registrar.add("head", "a", thing("head"))


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
    assert registry.conflicts() == {("backbone", "a"): "the backbone 'a' is provided by one 1.0 and two 2.0"}
    with pytest.raises(PluginError, match=r"the backbone 'a' is provided by one 1\.0 and two 2\.0") as error:
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


def test_the_base_of_each_kind_is_public():
    assert tuple(BASES) == KINDS
    for kind in KINDS:
        assert getattr(pixkit, base_of(kind).__name__) is base_of(kind)


@pytest.mark.parametrize(("kind", "own"), list(itertools.permutations(KINDS, 2)))
def test_a_class_of_another_kind_is_refused_and_told_its_own(kind, own):
    with pytest.raises(PluginError, match=f"the class of the {kind} 'a' is not one of that kind") as error:
        Registrar("dist", "1").add(kind, "a", thing(own))
    assert (error.value.where, error.value.exit_code) == ("dist", 4)
    assert error.value.found.endswith(f"test_registry.thing.<locals>.Thing, a pixkit.{base_of(own).__name__}")
    assert error.value.expected == f"a subclass of pixkit.{base_of(kind).__name__}"
    assert error.value.hint == f'registry.add("{own}", "a", Thing)'


def test_by_hand_the_hint_is_what_one_writes_by_hand():
    with pytest.raises(PluginError) as error:
        Registrar(NOTEBOOK, "unversioned").add("head", "a", thing("backbone"))
    assert error.value.hint == 'pixkit.register("backbone", "a", Thing)'


@pytest.mark.parametrize(
    ("kind", "lacked"),
    [(kind, method) for kind in KINDS for method in sorted(base_of(kind).__abstractmethods__)],
)
def test_a_class_that_lacks_a_method_is_refused_and_told_which(kind, lacked):
    base = base_of(kind)
    given = dict.fromkeys(base.__abstractmethods__ - {lacked}, object.__init__)
    nearly = type("Nearly", (base,), {**given, "Config": type("Config", (ComponentConfig,), {})})
    registrar = Registrar("dist", "1")
    with pytest.raises(PluginError, match=f"the class of the {kind} 'a' lacks `{lacked}`") as error:
        registrar.add(kind, "a", nearly)
    assert (error.value.where, error.value.exit_code) == ("dist", 4)
    assert error.value.found.endswith(".Nearly")
    assert registrar.entries == []


@pytest.mark.parametrize("kind", KINDS)
def test_looking_like_a_component_is_not_enough(kind):
    base = base_of(kind)
    alike = {name: value for name, value in vars(base).items() if name not in ("__dict__", "__weakref__")}
    with pytest.raises(PluginError, match="not one of that kind") as error:
        Registrar("dist", "1").add(kind, "a", type(base.__name__, (), {**alike, "__module__": base.__module__}))
    assert error.value.hint is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_base_of_each_kind_is_abstract(kind):
    assert inspect.isabstract(base_of(kind))


def test_of_several_components_those_are_withdrawn_that_are_named():
    made, found = Registry(), plugins().registry
    entries = [found.get("ordering", name) for name in ("raster", "snake", "hilbert")]
    made.extend(entries)
    made.withdraw(entries[:2])
    assert [entry.name for entry in made] == ["hilbert"]
