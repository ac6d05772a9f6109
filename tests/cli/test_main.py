"""Help, exit codes and streams: what holds for every command."""

import importlib
import os
import pkgutil
import signal
import sys
from types import ModuleType

import click
import pytest

from pixkit.cli import commands, group
from pixkit.cli.main import cli, main
from pixkit.errors import (
    CausalityError,
    CheckpointError,
    DataError,
    NonFiniteError,
    PluginError,
    RecipeError,
    RunError,
    UsageError,
)
from pixkit.files import if_it_fails

COMMANDS = {name: summary for section in group.SECTIONS.values() for name, summary in section.items()}
HEAVY = {"torch", "numpy", "pydantic", "rich", "yaml", "PIL", "pluggy"}
LISTING = "import sys; from pixkit.cli.main import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"


@pytest.fixture
def failing(monkeypatch):
    """Make `pixkit ls` raise an error."""

    def arrange(error):
        @click.command()
        def command():
            raise error

        monkeypatch.setattr("pixkit.cli.commands.ls.command", command)

    return arrange


def test_the_version_imports_nothing_heavy(spawn):
    """Nor does help, once a catalogue was made: tests/doors/test_kept_catalogue.py."""
    out, err = spawn("--version", code=LISTING).communicate()
    assert "pixkit" in out
    assert not HEAVY & set(err.split())


def test_help_names_every_command(pixkit):
    outcome = pixkit("--help")
    assert outcome.code == 0
    for name, summary in COMMANDS.items():
        assert f"  {name} " in outcome.out
        assert summary in outcome.out


def test_every_command_has_a_module_and_every_module_a_line_in_the_sections():
    modules = {module.name for module in pkgutil.iter_modules(commands.__path__)}
    parts = {name for name in modules if name.partition("_")[0] == "bench" != name}  # commands of that command
    assert modules - parts == {name.replace("-", "_") for name in COMMANDS}
    assert len(COMMANDS) == sum(map(len, group.SECTIONS.values())), "a name stands in one section alone"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_that_starts_with_its_summary(pixkit, name):
    outcome = pixkit(name, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: pixkit {name} ")
    command = importlib.import_module(group.module_of(name)).command
    assert command.help.split("\n")[0] == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_is_explained(name):
    command = importlib.import_module(group.module_of(name)).command
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("error", [UsageError, RecipeError, RunError, DataError, CheckpointError, PluginError,
                                   CausalityError, NonFiniteError])  # fmt: skip
def test_an_error_is_one_message_and_its_exit_code(pixkit, failing, error):
    failing(error("it broke", where="here", found="this", expected="that", hint="so"))
    outcome = pixkit("ls")
    assert outcome.code == error.exit_code
    assert outcome.err == "error: here: it broke\n  found: this\n  expected: that\n  try: so\n"
    assert outcome.out == ""


def test_the_exit_codes_are_those_of_the_design():
    classes = (
        CausalityError,
        UsageError,
        RecipeError,
        RunError,
        DataError,
        CheckpointError,
        PluginError,
        NonFiniteError,
    )
    assert [error.exit_code for error in classes] == [1, 2, 2, 2, 3, 3, 4, 5]


def test_an_unexpected_error_is_short_and_says_how_to_see_more(pixkit, failing):
    failing(ZeroDivisionError("division by\nzero"))
    outcome = pixkit("ls")
    assert outcome.code == 1
    assert outcome.err.startswith("error: ZeroDivisionError: division by zero\n")
    assert "PIXKIT_TRACEBACK=1" in outcome.err
    assert "Traceback" not in outcome.err


def test_the_trace_is_shown_on_request(pixkit, failing, monkeypatch):
    failing(ZeroDivisionError("division by zero"))
    assert "Traceback" in pixkit("--traceback", "ls").err
    monkeypatch.setenv("PIXKIT_TRACEBACK", "1")
    assert "Traceback" in pixkit("ls").err


def test_an_error_of_the_system_names_the_file(pixkit, failing):
    failing(PermissionError(13, "Permission denied", "/some/file"))
    outcome = pixkit("ls")
    assert outcome.code == 1
    assert outcome.err == "error: /some/file: Permission denied\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_ctrl_c_is_130(pixkit, failing, error):
    failing(error)
    outcome = pixkit("ls")
    assert outcome.code == 130
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["--nonsense"], ["ls", "--nonsense"], ["ls", "nonsense"], ["build"], ["show"]]
)
def test_misuse_is_exit_code_2(pixkit, arguments):
    outcome = pixkit(*arguments)
    assert outcome.code == 2
    assert "Usage: pixkit" in outcome.err
    assert outcome.out == ""


def test_a_misspelt_command_is_guessed(pixkit):
    outcome = pixkit("biuld", "recipe.yaml")
    assert outcome.code == 2
    assert "no command 'biuld'. Did you mean 'build'?" in outcome.err


def test_colour_is_for_terminals_and_not_under_no_color(pixkit, failing, monkeypatch):
    failing(UsageError("it broke"))
    monkeypatch.setattr("click._compat.isatty", lambda stream: True)
    assert pixkit("ls").err.startswith("\x1b[31m\x1b[1merror: \x1b[0m")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in pixkit("ls").err


def test_a_reader_that_went_away_is_met_with_silence(spawn):
    reading, writing = os.pipe()
    os.close(reading)
    process = spawn("ls", "recipes", stdout=writing)
    os.close(writing)
    _, err = process.communicate()
    assert process.returncode == 1
    assert err == ""


@pytest.mark.skipif(os.name != "posix", reason="shells of other systems differ")
def test_a_closed_stdout_is_met_with_silence(spawn):
    run = "from pixkit.cli.main import run; run()"
    code = f"import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-c', {run!r}, *sys.argv[1:]])"
    process = spawn("ls", "recipes", code=code)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (0, "", "")


def test_run_exits_with_the_code_of_main(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pixkit", "--nonsense"])
    with pytest.raises(SystemExit) as caught:
        importlib.import_module("pixkit.cli.main").run()
    assert caught.value.code == 2


def test_ctrl_c_while_the_script_imports_ends_it_quietly(monkeypatch, capfd):
    class Pressed(ModuleType):
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "pixkit.cli.main", Pressed("pixkit.cli.main"))
    with pytest.raises(SystemExit) as caught:
        importlib.import_module("pixkit.__main__").run()
    assert caught.value.code == 130 and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("ignored", [False, True])
def test_sigterm_ends_a_command_as_ctrl_c_does(monkeypatch, tmp_path, ignored):
    """What is half written is taken away; unless the signal was ignored, as under nohup, when pixkit was started."""
    half = tmp_path / "half"

    @click.command()
    def command():
        with if_it_fails(half.unlink):
            half.touch()
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("pixkit.cli.commands.ls.command", command)
    monkeypatch.setattr(sys, "argv", ["pixkit", "ls"])
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as caught:
            importlib.import_module("pixkit.cli.main").run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (caught.value.code, half.exists()) == ((0, True) if ignored else (143, False))


def test_the_group_lists_commands_for_completion():
    assert cli.list_commands(click.Context(cli)) == list(COMMANDS)
    assert main(["--version"]) == 0
