"""Plugins on the command line: their commands, and what becomes of broken ones."""

import json
import re
import shlex

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

    from pixkit.components.plugins import plugins

    plugins.cache_clear()
    strict = pixkit("--strict-plugins", "plugins")
    assert (strict.code, strict.out) == (4, "") and "'odd' of odd 1.2 is broken: pixkit_commands" in strict.err


def test_a_component_that_a_missing_plugin_may_bring_is_exit_code_4(pixkit, install, monkeypatch):
    assert pixkit("show", "backbone", "nonsense").code == 2
    monkeypatch.setenv("PIXKIT_DISABLE_PLUGINS", "pixelcnn")
    from pixkit.components.plugins import plugins

    plugins.cache_clear()
    outcome = pixkit("show", "backbone", "pixelcnn")
    assert outcome.code == 4
    assert "the plugin 'pixelcnn' of pixkit" in outcome.err
    assert "disabled" in outcome.err


MINE = """
import pixkit
from pixkit.layers import MaskedConv2d

pixkit_api_version = 1


class Mine(pixkit.Backbone):
    "One layer."

    class Config(pixkit.ComponentConfig):
        pass

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 6
        self.layer = MaskedConv2d(spec.inputs, 6, 3, "A", spec.ordering)

    def forward(self, x):
        return self.layer(x)


@pixkit.hookimpl
def pixkit_register(registry):
    registry.add("backbone", "mine", Mine)
"""


def mine_in(workplace, file="my.py"):
    """Write a plugin file that brings a backbone, and mine.yaml, which names it."""
    (workplace / file).write_text(MINE, encoding="utf-8")
    recipe = (workplace / "tiny.yaml").read_text(encoding="utf-8")
    start = recipe.index("{type: pixelcnn")
    recipe = recipe.replace(recipe[start : recipe.index("\n", start)], "{type: mine}")
    (workplace / "mine.yaml").write_text(recipe, encoding="utf-8")


def test_a_plugin_file_may_be_named_before_and_after_the_command(pixkit, install, workplace):
    mine_in(workplace)

    from pixkit.components.plugins import plugins

    def afresh(*arguments):
        plugins.cache_clear()
        return pixkit(*arguments)

    assert afresh("validate", "mine.yaml").code == 2
    assert afresh("--plugin", "my.py", "validate", "mine.yaml").out == "mine.yaml: ok\n"
    assert afresh("verify", "mine.yaml", "--plugin", "my.py", "-q").code == 0
    outcome = afresh("build", "-q", "mine.yaml", "--plugin", "my.py", "-o", "run")
    assert outcome.code == 0, outcome.err
    assert afresh("sample", "run", "-n", 1, "-o", "x.npz").code == 4
    assert afresh("sample", "run", "-n", 1, "-o", "x.npz", "--plugin", "my.py").code == 0
    for where in (("--plugin", "absent.py", "ls"), ("ls", "--plugin", "absent.py")):
        outcome = afresh(*where)
        assert (outcome.code, "absent.py" in outcome.err) == (4, True)


def test_python_loads_a_run_with_its_plugin_file(pixkit, install, workplace):
    import pixkit as api
    from pixkit.components.plugins import plugins

    test_a_plugin_file_may_be_named_before_and_after_the_command(pixkit, install, workplace)
    plugins.cache_clear()
    with pytest.raises(api.PluginError):
        api.load("run")
    model = api.load("run", plugins=["my.py"])
    assert type(model.network.backbone).__name__ == "Mine"


def test_a_class_registered_by_hand_is_built_and_loaded(install, workplace):
    import pixkit as api

    namespace = {}
    exec(MINE, namespace)
    assert api.register("backbone", "mine", namespace["Mine"]) is namespace["Mine"]
    change = ["model.backbone={type: mine}", "train.steps=2", "train.eval_every=2"]
    run = api.build("tiny.yaml", "by_hand", overrides=change).run
    assert type(api.load(run.path).network.backbone) is namespace["Mine"]


def test_the_next_command_names_the_plugin_files(pixkit, install, workplace):
    """As it stands, in a process that has not loaded them; with a blank in the file's name, quoted."""
    from pixkit.components.plugins import plugins

    mine_in(workplace, "my net.py")
    found = json.loads(pixkit("build", "mine.yaml", "-q", "--json", "-o", "run", "--plugin", "my net.py").out)
    assert found["next"] == "pixkit sample run -n 16 -o samples.png --plugin 'my net.py'"
    plugins.cache_clear()
    assert pixkit(*shlex.split(found["next"])[1:]).code == 0
    assert pixkit("show", "backbone", "nonsense", "--plugin", "my net.py").err.endswith(
        "try: pixkit ls backbone --plugin 'my net.py'\n"
    )


def test_strict_plugins_is_asked_of_files_wherever_they_are_named(pixkit, install, workplace):
    from pixkit.components.plugins import plugins

    (workplace / "clash.py").write_text(MINE.replace('"mine"', '"pixelcnn"'), encoding="utf-8")
    for arguments in (
        ["--strict-plugins", "--plugin", "clash.py", "plugins"],
        ["--plugin", "clash.py", "--strict-plugins", "plugins"],
        ["--strict-plugins", "plugins", "--plugin", "clash.py"],
        ["--strict-plugins", "bench", "sample", "tiny.yaml", "--plugin", "clash.py"],
    ):
        plugins.cache_clear()
        outcome = pixkit(*arguments)
        assert (outcome.code, outcome.out) == (4, ""), arguments
        assert "'clash' of clash.py" in outcome.err and "is in conflict" in outcome.err
    plugins.cache_clear()
    assert pixkit("plugins", "--plugin", "clash.py").code == 0


def test_a_plugin_file_may_be_named_between_a_group_and_its_command(pixkit, install, workplace):
    mine_in(workplace)
    outcome = pixkit("bench", "--plugin", "my.py", "sample", "mine.yaml", "--batch", "1", "--rounds", "1", "-q")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (MINE.replace("def forward", "def backward"), "the class of the backbone 'mine' lacks `forward`"),
        (MINE.replace("self.width = 6", "pass"), "the backbone 'mine' (Mine of my.py"),
        (MINE.replace("self.width = 6", "self.width = 5"), "gives 6 maps, its width says 5"),
    ],
)
def test_an_incomplete_component_is_exit_code_4(pixkit, install, workplace, source, message):
    from pixkit.components.plugins import plugins

    mine_in(workplace)
    (workplace / "my.py").write_text(source, encoding="utf-8")
    for command in (["build", "mine.yaml", "-o", "run"], ["verify", "mine.yaml"]):
        plugins.cache_clear()
        outcome = pixkit(*command, "--plugin", "my.py", "-q")
        assert (outcome.code, outcome.out) == (4, "")
        assert message in outcome.err
    assert not (workplace / "run").exists()


BRANCHING = MINE.replace("return self.layer(x)", "return self.layer(x) if float(x.sum()) < 1e9 else x")


@pytest.fixture
def afresh(pixkit):
    """Runs a command with my.py as in a process of its own: no plugin file has been read."""
    from pixkit.components.plugins import plugins

    def call(*arguments):
        plugins.cache_clear()
        return pixkit(*arguments, "--plugin", "my.py")

    return call


def test_why_whole_passes_are_made_is_said_once(afresh, workplace, recwarn):
    """As the remark of what the sampler did, which -q silences; the warning is for Python."""
    mine_in(workplace)
    (workplace / "my.py").write_text(BRANCHING, encoding="utf-8")
    assert afresh("build", "mine.yaml", "-q", "-o", "run").code == 0
    recwarn.clear()
    for command in (
        ["sample", "run", "-n", 1, "-o", "x.npz"],
        ["complete", "run", "test:0", "--keep-top", 4, "-o", "x.png"],
    ):
        assert afresh(*command).err.count("whole passes") == 1
        assert afresh(*command, "-q").err == ""
    assert not [warning.message for warning in recwarn if "whole passes" in str(warning.message)]


def test_an_edited_plugin_file_is_said_to_be_another(afresh, install, workplace):
    """In a line each time that the run is loaded, until resuming has made it the run's own."""
    mine_in(workplace)
    assert afresh("build", "-q", "mine.yaml", "-o", "run").code == 0
    (workplace / "my.py").write_text(MINE + "# edited\n", encoding="utf-8")
    said = r"run: the run was made with my\.py \w{12}, and this is my\.py \w{12}, which brings the backbone 'mine'"
    for command in (
        ["sample", "run", "-n", 1, "-o", "x.npz"],
        ["eval", "run"],
        ["bench", "sample", "run", "--batch", 1],
    ):
        with pytest.warns(RuntimeWarning, match=said) as caught:
            assert afresh(*command).code == 0
        assert len(caught) == 1
    with pytest.warns(RuntimeWarning, match=said):
        outcome = afresh("build", "run", "--resume")
    assert re.search(r"since the run began, so results may differ: plugin my\.py:my \w{12} -> \w{12}\n", outcome.err)
    assert afresh("sample", "run", "-n", 1, "-o", "x.npz").code == 0
