"""The `pixkit` command: its global options, and the one place where errors become exit codes."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

import click

from pixkit.cli.group import CommandGroup, plugin_option
from pixkit.cli.output import colour_wanted, emit_line, explain, fail
from pixkit.distribution import version
from pixkit.errors import PixkitError, message, printable

TRACEBACK_VARIABLE = "PIXKIT_TRACEBACK"
COMPLETION_VARIABLE = "_PIXKIT_COMPLETE"
"""The variable set by shells during completion, under click's name."""


class Terminated(KeyboardInterrupt):
    """Raised by SIGTERM in pixkit's own process: half-written files are removed, as after Ctrl-C."""


@dataclass
class Settings:
    """The global options."""

    traceback: bool = False
    own_process: bool = False
    """Whether the process runs only this command."""


def _say_version(ctx: click.Context, parameter: click.Parameter, asked: bool) -> None:
    """Not click's own option, which fails if pixkit's metadata are damaged."""
    if asked and not ctx.resilient_parsing:
        emit_line(f"pixkit {version()}")
        ctx.exit()


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_say_version,
    help="Show the version and exit.",
)
@plugin_option
@click.option("--traceback", "whole", is_flag=True, help="Show the full traceback of an error.")
@click.option("--strict-plugins", is_flag=True, help="Stop, with exit code 4, if any plugin is broken.")
@click.pass_context
def cli(ctx: click.Context, whole: bool, strict_plugins: bool) -> None:
    """Pixel models from parts: train, sample and score what a recipe describes.

    Start with `pixkit ls recipes`, then `pixkit build RECIPE`. Plugins may add commands; `pixkit plugins` lists them.
    """
    ctx.obj.traceback = whole or bool(os.environ.get(TRACEBACK_VARIABLE))
    ctx.color = colour_wanted()
    if strict_plugins:
        from pixkit.cli.plugins import require_sound
        from pixkit.components.plugins import plugins

        require_sound(plugins())


def main(arguments: Sequence[str] | None = None, *, own_process: bool = False) -> int:
    """Run the command line; return its exit code."""
    settings = Settings(bool(os.environ.get(TRACEBACK_VARIABLE)), own_process)
    given = None if arguments is None else list(arguments)
    if os.environ.get(COMPLETION_VARIABLE):
        from pixkit.cli.shells import prepare

        prepare()
    try:
        code = cli.main(given, prog_name="pixkit", standalone_mode=False, obj=settings)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        if settings.traceback and not isinstance(error, click.ClickException):
            explain(traceback.format_exc())
        told = getattr(error, "told", False)  # reported by another process of the same command
        with contextlib.redirect_stderr(io.StringIO()) if told else contextlib.nullcontext():
            return _explain(error, settings)
    return code if isinstance(code, int) else 0


def run() -> None:
    """Run the command line in a process of its own, and end it."""
    warnings.formatwarning = _one_line
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    code = main(own_process=True)
    # Objects made by torch's import are not searched for garbage again: that takes longer than most commands.
    gc.freeze()
    sys.exit(code)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Format a warning like other remarks on stderr: its line of code tells users of commands nothing."""
    return f"pixkit: warning: {printable(' '.join(str(message).split()))}\n"


def _explain(error: BaseException, settings: Settings) -> int:
    """Report an error on stderr; return its exit code."""
    code = 1
    match error:
        case click.ClickException():
            said = io.StringIO()
            error.show(said)
            explain(said.getvalue())
            code = error.exit_code
        case click.Abort() | KeyboardInterrupt():  # click turns one into the other
            code = 143 if isinstance(error.__cause__ or error, Terminated) else 130
        case BrokenPipeError():
            _drop_stdout()
        case PixkitError():
            fail(str(error))
            code = error.exit_code
        case OSError(filename=str(), strerror=str()):
            fail(f"{printable(error.filename)}: {error.strerror}")
        case _:
            text = message(error)
            hint = f"\n  try: {TRACEBACK_VARIABLE}=1 (or pixkit --traceback ...) for the full traceback"
            fail(f"{type(error).__name__}: {printable(text)}{'' if settings.traceback else hint}")
    return code


def _drop_stdout() -> None:
    """The reader of stdout is gone; discard the interpreter's last flush."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
