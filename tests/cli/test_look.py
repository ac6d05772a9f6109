"""Which catalogue commands look things up in, and what they say while it is made."""

import json

import pytest

from pixkit.catalogue import store
from pixkit.catalogue.contents import Kept, named
from pixkit.cli import live, look
from pixkit.cli.live import Live, details_of
from pixkit.components.plugins import plugins
from pixkit.components.registry import Registry

LINE = "indexing pixkit and its plugins"


@pytest.fixture
def unloaded(catalogue_data, monkeypatch):
    """As in a process that has imported no plugin and finds no catalogue; gives what was kept."""
    kept = []
    monkeypatch.setattr(look, "plugins_are_loaded", lambda: False)
    monkeypatch.setattr(store, "find", lambda: kept[-1] if kept else None)
    monkeypatch.setattr(store, "keep", lambda held, watch: kept.append(json.loads(json.dumps(held))))
    monkeypatch.setattr(Live, "plain", lambda live: catalogue_data)
    return kept


@pytest.mark.parametrize("terminal", [True, False])
def test_the_first_call_says_on_a_terminal_what_it_does(pixkit, unloaded, monkeypatch, terminal):
    monkeypatch.setattr(look, "is_terminal", lambda stream: terminal)
    first, second = pixkit("ls", "heads"), pixkit("ls", "heads")
    assert first.out == second.out and "softmax" in first.out
    assert (LINE in first.err) == terminal
    assert second.err == ""
    assert len(unloaded) == 1


def test_help_makes_it_too(pixkit, unloaded, monkeypatch):
    monkeypatch.setattr(look, "is_terminal", lambda stream: True)
    outcome = pixkit("--help")
    assert "From plugins:\n  restore " in outcome.out
    assert LINE in outcome.err
    assert len(unloaded) == 1


def test_help_is_there_where_commands_and_configurations_fail(monkeypatch):
    """As they do where torch is broken."""

    def fail(*given):
        raise ImportError

    monkeypatch.setattr(live, "sketch", fail)
    monkeypatch.setattr(live, "keys_of", fail)
    found = Live(plugins())
    assert {each.name for each in found.commands} >= {"build", "ls", "restore"}
    assert not any(each.sketch for each in found.commands)
    assert live._if_it_can(details_of, found._entries[found.components[0]]) == {}


@pytest.mark.parametrize("kind", ["ordering", "mask", "backbone", "head", "sampler", "model", "data"])
def test_what_is_kept_is_what_is_loaded(catalogue_data, kind):
    kept = Kept(catalogue_data)
    entries = [entry for entry in plugins().registry if entry.kind == kind]
    components = [component for component in kept.components if component.kind == kind]
    assert [(each.name, each.distribution, each.version, each.summary) for each in components] == [
        (entry.name, entry.distribution, entry.version, entry.summary) for entry in entries
    ]
    for component, entry in zip(components, entries, strict=True):
        assert kept.details(component) == json.loads(json.dumps(details_of(entry)))


def test_components_are_found_by_bare_and_by_qualified_names_present_and_former(catalogue_data):
    kept = Kept(catalogue_data)
    for name in ("softmax", "pixkit-models:softmax", "pixkit:softmax", "Pixkit_Models:softmax"):
        assert [each.name for each in named(kept, "head", name)] == ["softmax"]
    assert not named(kept, "head", "other:softmax") and not named(kept, "mask", "softmax")


def test_what_is_not_in_it_is_explained_by_those_who_know(pixkit, unloaded):
    unknown = pixkit("show", "head", "softmx")
    assert unknown.code == 2
    assert "did you mean 'softmax'?" in unknown.err


def test_broken_plugins_and_remarks_are_told_from_what_was_kept(pixkit, unloaded, catalogue_data):
    broken = {"name": "odd", "distribution": "some", "version": "1", "health": "broken", "detail": "Error: x\x1b"}
    unloaded.append({**catalogue_data, "plugins": [broken], "remarks": ["torch 9 is newer"]})
    with pytest.warns(RuntimeWarning, match="torch 9 is newer"):
        outcome = pixkit("ls", "heads")
    assert outcome.err == "pixkit: the plugin 'odd' of some 1 is broken and was left out: Error: x\\x1b\n"
    assert pixkit("--help").err == ""


def test_a_configuration_without_a_schema_is_listed_and_said_why_when_it_is_shown(pixkit, unloaded, catalogue_data):
    components = [
        {**each, "details": {}} if each["entry"]["name"] == "softmax" else each for each in catalogue_data["components"]
    ]
    unloaded.append({**catalogue_data, "components": components})
    assert "softmax" in pixkit("ls", "heads").out
    assert "Free parameters" in pixkit("show", "head", "softmax").out


def test_a_failure_of_the_commands_of_a_plugin_is_kept_with_it(monkeypatch):
    class Odd:
        registry = Registry()
        infos = ()

    from pixkit.components.plugins import PluginInfo

    info = PluginInfo("odd", "some", "1")
    loaded = Odd()
    loaded.infos = [info]

    def call(info, hook, cli):
        raise ValueError("no commands today")

    loaded.call = call
    (plugin,) = Live(loaded).plain()["plugins"]
    line = f"{__file__}, line {call.__code__.co_firstlineno + 1}"
    assert (plugin["health"], plugin["fault"]) == ("ok", f"pixkit_commands: ValueError: no commands today ({line})")
