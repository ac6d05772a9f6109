"""Plugins on the command line: their commands, and what becomes of broken ones."""

import json

import pytest

COMMAND = """
import click

@pixkit.hookimpl
def pixkit_commands(cli):
    print("here I am")
    @cli.command()
    @click.argument("word")
    def {name}(word):
        click.echo(word.upper())
"""


def test_a_plugin_brings_a_command(pixkit, install):
    install("loud", COMMAND.format(name="shout"))
    assert pixkit("shout", "hey").out == "HEY\n"
    assert pixkit("shout").code == 2
    assert "Did you mean 'shout'?" in pixkit("shuot").err
    row = next(row for row in json.loads(pixkit("plugins", "--json").out) if row["name"] == "loud")
    assert row == {
        "name": "loud",
        "distribution": "loud",
        "version": "1.2",
        "health": "ok",
        "detail": "",
        "components": [],
        "commands": ["shout"],
    }
    assert "command shout" in pixkit("plugins").out


def test_two_plugins_with_one_command_are_both_named(pixkit, install):
    install("loud", COMMAND.format(name="shout"))
    install("louder", COMMAND.format(name="shout"))
    outcome = pixkit("shout", "hey")
    assert outcome.code == 4
    assert "'loud' of loud 1.2" in outcome.err
    assert "'louder' of louder 1.2" in outcome.err


def test_a_plugin_cannot_replace_a_command_of_pixkit(pixkit, install):
    install("sly", COMMAND.format(name="cp"))
    assert pixkit("cp", "--help").out.startswith("Usage: pixkit cp [OPTIONS] RECIPE")


@pytest.mark.parametrize("source", ["raise ImportError('no such thing')", "raise SystemExit(3)", "def pixkit_x(): 1"])
def test_a_broken_plugin_is_reported_in_a_line_and_left_out(pixkit, install, source):
    install("bad", source)
    outcome = pixkit("ls", "backbones")
    assert outcome.code == 0
    assert "pixelcnn" in outcome.out
    assert outcome.err.startswith("pixkit: the plugin 'bad' of bad 1.2 is broken and was left out: ")
    assert outcome.err.count("\n") == 1


def test_strict_plugins_stops_at_a_broken_plugin(pixkit, install):
    assert pixkit("--strict-plugins", "ls").code == 0
    install("bad", "raise ImportError('no such thing')")
    from pixkit.components.plugins import plugins

    plugins.cache_clear()
    outcome = pixkit("--strict-plugins", "ls")
    assert outcome.code == 4
    assert "'bad' of bad 1.2 is broken: ImportError: no such thing" in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize("source", ["raise ValueError('oh')", "raise SystemExit(3)"])
def test_a_plugin_whose_commands_fail_breaks_nothing_else(pixkit, install, source):
    install("odd", f"@pixkit.hookimpl\ndef pixkit_commands(cli):\n    {source}\n")
    install("loud", COMMAND.format(name="shout"))
    outcome = pixkit("shout", "hey")
    assert (outcome.code, outcome.out) == (0, "HEY\n")
    assert "the commands of the plugin 'odd' of odd 1.2 were left out" in outcome.err


def test_a_component_that_a_missing_plugin_may_bring_is_exit_code_4(pixkit, install, monkeypatch):
    assert pixkit("show", "backbone", "nonsense").code == 2
    monkeypatch.setenv("PIXKIT_DISABLE_PLUGINS", "pixelcnn")
    from pixkit.components.plugins import plugins

    plugins.cache_clear()
    outcome = pixkit("show", "backbone", "pixelcnn")
    assert outcome.code == 4
    assert "the plugin 'pixelcnn' of pixkit" in outcome.err
    assert "disabled" in outcome.err
