"""The guard of the plugin door, case by case, with modules made up here."""

import importlib.metadata
import sys
import types

import pluggy
import pytest

from pixkit.components import hookspecs
from pixkit.components.attempt import HOOKS
from pixkit.components.config import ComponentConfig
from pixkit.components.hookspecs import hookimpl
from pixkit.components.plugins import DISABLE_VARIABLE, Plugins, load_plugins
from pixkit.components.registry import Absence, Registrar, Registry
from pixkit.data.base import DataSource
from pixkit.distribution import GROUP, Unreadable
from pixkit.errors import PluginError
from pixkit.orderings.masks import TapShape


class Thing(TapShape):
    """A component."""

    class Config(ComponentConfig):
        """No keys."""

    def has(self, dy, dx):
        return True


@pytest.fixture
def plugin(monkeypatch):
    """plugin(name, **contents) makes a module and gives the entry point that names it."""

    def _plugin(name, entry="", **contents):
        module = types.ModuleType(f"made_up_{name}")
        vars(module).update({"pixkit_api_version": 1, **contents})
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return importlib.metadata.EntryPoint(name, module.__name__ + entry, GROUP)

    return _plugin


def registering(*names, kind="mask", then=None):
    """A hook that registers some components and then fails, if told with what."""

    @hookimpl
    def pixkit_register(registry):
        for name in names:
            registry.add(kind, name, Thing)
        if then is not None:
            raise then

    return pixkit_register


def only(entry_point):
    (info,) = load_plugins([entry_point]).infos
    return info


def test_a_sound_plugin(plugin):
    info = only(plugin("sound", pixkit_register=registering("a", "b")))
    assert (info.health, info.detail, info.components) == ("ok", "", [("mask", "a"), ("mask", "b")])


def test_a_plugin_may_be_an_object_with_hooks(plugin):
    class Object:
        pixkit_api_version = 1

        @hookimpl
        def pixkit_register(self, registry):
            registry.add("mask", "a", Thing)

    assert only(plugin("object", ":made", made=Object())).components == [("mask", "a")]


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("not even this")


@pytest.mark.parametrize(("contents", "detail"), [
    ({"pixkit_api_version": None}, "states no pixkit_api_version; this pixkit has 1"),
    ({"pixkit_api_version": 2}, "states pixkit_api_version = 2; this pixkit has 1"),
    ({"pixkit_api_version": "1"}, "states pixkit_api_version = '1'; this pixkit has 1"),
    ({}, "implements no pixkit hook; the hooks are pixkit_commands, pixkit_register"),
    ({"pixkit_registre": lambda registry: None}, "'pixkit_registre' is not a pixkit hook; the hooks are"),
    ({"pixkit_register": lambda registry: None}, "'pixkit_register' lacks the @pixkit.hookimpl marker"),
    ({"pixkit_regster": hookimpl(lambda registry: None)}, "unknown hook 'pixkit_regster'"),
    ({"register": hookimpl(lambda registry: None)}, "unknown hook 'register'"),
    ({"pixkit_regster": hookimpl(lambda registry: None, optionalhook=True)}, "'pixkit_regster' is not a pixkit hook"),
    ({"pixkit_register": hookimpl(lambda registry, more: None)}, "Argument(s) {'more'} are declared"),
    ({"pixkit_train_step": hookimpl(lambda run, loss: None)}, "Argument(s) {'loss'} are declared"),
    ({"pixkit_register": registering(then=KeyError("k"))}, "KeyError: 'k'"),
    ({"pixkit_register": registering(then=SystemExit(3))}, "SystemExit: 3"),
    ({"pixkit_register": registering(then=SystemExit())}, "SystemExit"),
    ({"pixkit_register": registering(then=GeneratorExit("odd"))}, "GeneratorExit: odd"),
    ({"pixkit_register": registering(then=RuntimeError("a\n\n  b\tc"))}, "RuntimeError: a b c"),
    ({"pixkit_register": registering(then=Unspeakable())}, "Unspeakable"),
    ({"pixkit_register": registering("a", "a")}, "the mask 'a' is registered twice"),
    ({"pixkit_register": registering("a", kind="masks")}, "no registry 'masks'"),
    ({"pixkit_register": registering("a b")}, "bad name for a mask"),
])  # fmt: skip
def test_what_is_wrong_is_said_in_one_line_and_leaves_nothing(plugin, contents, detail):
    loaded = Plugins()
    loaded.load(plugin("before", pixkit_register=registering("kept")))
    hooks = {name: len(caller.get_hookimpls()) for name, caller in vars(loaded.manager.hook).items()}
    info = loaded.load(plugin("wrong", **contents))
    assert info.health == "broken"
    assert detail in info.detail and "\n" not in info.detail
    assert info.components == []
    assert loaded.broken() == [info]
    assert [entry.name for entry in loaded.registry] == ["kept"]
    assert [name for name, _ in loaded.manager.list_name_plugin()] == ["?:before"]
    assert {name: len(caller.get_hookimpls()) for name, caller in vars(loaded.manager.hook).items()} == hooks
    loaded.manager.check_pending()


@pytest.mark.parametrize(("length", "shown"), [(300, "x" * 300), (301, "x" * 297 + "..."), (5000, "x" * 297 + "...")])
def test_a_message_of_more_than_300_characters_is_cut(plugin, length, shown):
    detail = only(plugin("long", pixkit_register=registering(then=ValueError("x" * length)))).detail
    assert detail == f"ValueError: {shown} ({__file__}, line {registering.__code__.co_firstlineno + 8})"


def test_what_is_left_out_is_named_where_something_is_missing(plugin, monkeypatch):
    """A distribution whose list of plugins cannot be read, and a plugin that broke after it said what it brings."""
    found = Unreadable("stranger", "3.1", "not UTF-8")
    stranger = f"the plugin '?' of stranger 3.1 (broken: not UTF-8; reinstall it, or {DISABLE_VARIABLE}=stranger)"
    loaded = Plugins()
    loaded.note(found)
    loaded.load(plugin("wrong", pixkit_register=registering("known", then=KeyError("k"))))
    assert [(info.name, info.health) for info in loaded.infos] == [("?", "broken"), ("wrong", "broken")]
    assert loaded.registry.explain("mask", "known").startswith("it belongs to the plugin 'wrong' of ?")
    assert loaded.registry.explain("mask", "a").startswith(
        f"it may belong to a plugin that could not be loaded: {stranger} or the plugin 'wrong' of ?"
    )
    monkeypatch.setenv(DISABLE_VARIABLE, "stranger")
    loaded.note(found)
    assert (loaded.infos[-1].health, loaded.infos[-1].detail) == ("disabled", f"left out by {DISABLE_VARIABLE}")


def test_an_entry_point_that_leads_nowhere():
    for value in ("no_such_module_at_all", "json:nothing", "json:loads.nothing", "not a reference"):
        info = only(importlib.metadata.EntryPoint("nowhere", value, GROUP))
        assert info.health == "broken" and info.detail


def test_ctrl_c_is_not_swallowed(plugin):
    with pytest.raises(KeyboardInterrupt):
        load_plugins([plugin("stop", pixkit_register=registering(then=KeyboardInterrupt()))])


def test_what_a_plugin_prints_goes_to_stderr(plugin, capsys):
    @hookimpl
    def pixkit_register(registry):
        print("hello")

    assert only(plugin("chatty", pixkit_register=pixkit_register)).health == "ok"
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


def test_a_second_plugin_of_the_same_name_does_not_remove_the_first(plugin):
    loaded = load_plugins([plugin("same", pixkit_register=registering("a"))])
    again = loaded.load(plugin("same", pixkit_register=registering("b")))
    assert again.health == "broken"
    assert [entry.name for entry in loaded.registry] == ["a"]
    assert loaded.manager.has_plugin("?:same")


def test_the_same_module_twice_does_not_remove_the_first(plugin):
    point = plugin("one", pixkit_register=registering("a"))
    loaded = load_plugins([point, importlib.metadata.EntryPoint("two", point.value, GROUP)])
    assert [info.health for info in loaded.infos] == ["ok", "broken"]
    assert [entry.name for entry in loaded.registry] == ["a"]


def test_a_name_twice_in_one_distribution_is_the_second_plugins_fault(plugin):
    loaded = load_plugins(
        [plugin("a", pixkit_register=registering("n")), plugin("b", pixkit_register=registering("m", "n"))]
    )
    assert [info.health for info in loaded.infos] == ["ok", "broken"]
    assert [entry.name for entry in loaded.registry] == ["n"]
    assert not loaded.manager.has_plugin("?:b")


def test_late_additions_do_not_count(plugin):
    kept = []

    @hookimpl
    def pixkit_register(registry):
        kept.append(registry)

    loaded = load_plugins([plugin("late", pixkit_register=pixkit_register)])
    kept[0].add("mask", "late", Thing)
    assert loaded.registry.names("mask") == []


def test_a_hook_of_one_plugin_is_called_alone(plugin):
    calls = []

    def sound(name):
        commands = hookimpl(lambda cli: calls.append((name, cli)))
        return plugin(name, pixkit_register=registering(name), pixkit_commands=commands)

    loaded = load_plugins([sound("a"), sound("b"), plugin("c", pixkit_register=registering("c"))])
    for info in loaded.infos:
        loaded.call(info, "pixkit_commands", cli=info.name)
    assert calls == [("a", "a"), ("b", "b")]


@pytest.mark.parametrize(("value", "health"), [
    ("guest", "disabled"), (" guest ,other", "disabled"), ("?", "disabled"),
    ("", "ok"), ("Guest", "ok"), ("gues", "ok"),
])  # fmt: skip
def test_disabling_by_name(plugin, monkeypatch, value, health):
    monkeypatch.setenv("PIXKIT_DISABLE_PLUGINS", value)
    assert only(plugin("guest", pixkit_register=registering("a"))).health == health


def test_a_disabled_plugin_is_not_imported(monkeypatch):
    monkeypatch.setenv("PIXKIT_DISABLE_PLUGINS", "guest")
    info = only(importlib.metadata.EntryPoint("guest", "no_such_module_at_all", GROUP))
    assert (info.health, info.detail) == ("disabled", "left out by PIXKIT_DISABLE_PLUGINS")


def test_the_hooks_are_those_of_the_specification():
    manager = pluggy.PluginManager("pixkit")
    manager.add_hookspecs(hookspecs)
    assert {name for name in vars(manager.hook) if not name.startswith("_")} == HOOKS
    assert "pixkit_register" in HOOKS and len(HOOKS) == 6


def absent(name="guest", distribution="Guest_Dist", reason="broken: E: why", names=()):
    return Absence(name, distribution, "1.0", reason, frozenset(names))


def test_a_registry_explains_what_is_missing():
    registry = Registry()
    assert registry.explain("mask", "a") is None, "a slip of the pen needs no plugin"
    assert registry.explain("mask", "far:a") == "no plugin of far that is loaded here provides it: install far"
    assert registry.explain("mask", "far-off:a", {"Far_Off": "2.1"}).endswith("install far-off >= 2.1")
    registry.left_out(absent())
    registry.left_out(absent("other", "other-dist", "disabled: by hand", [("mask", "known")]))
    guest = "the plugin 'guest' of Guest_Dist 1.0 (broken: E: why)"
    other = "the plugin 'other' of other-dist 1.0 (disabled: by hand)"
    assert registry.explain("mask", "a") == f"it may belong to a plugin that could not be loaded: {guest} or {other}"
    assert registry.explain("mask", "known") == f"it belongs to {other}"
    assert registry.explain("head", "known").startswith("it may belong")
    assert registry.explain("mask", "guest-dist:a") == f"it belongs to {guest}"
    with pytest.raises(PluginError) as error:
        registry.get("mask", "known")
    assert error.value.hint == f"it belongs to {other}"


def test_distributions_are_compared_as_packaging_does():
    registrar = Registrar("My_Dist.x", "1")
    registrar.add("mask", "a", Thing)
    registry = Registry()
    registry.extend(registrar.entries)
    for name in ("My_Dist.x:a", "my-dist-x:a", "MY.DIST.X:a"):
        assert registry.get("mask", name).cls is Thing
    assert registry.find("mask", "my-dist:a") is None


@pytest.mark.parametrize("kind", ["data", "mask"])
def test_a_key_that_names_the_component_is_refused(kind):
    key = "source" if kind == "data" else "type"
    config = type("Config", (ComponentConfig,), {"__annotations__": {key: str}, key: "x"})
    base = DataSource if kind == "data" else TapShape
    with pytest.raises(PluginError, match=f"has a key '{key}'"):
        Registrar("dist", "1").add(kind, "a", type("Thing", (base,), {"Config": config}))
    with pytest.raises(PluginError, match="is not a class"):
        Registrar("dist", "1").add(kind, "a", Thing())
