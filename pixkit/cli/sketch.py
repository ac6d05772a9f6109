"""Commands as plain data: enough for completion without importing their code."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
"""The completions of a parameter, in click's form: given what was typed of it."""


def sketch(command: click.Command) -> dict[str, Any]:
    """A command's parameters, as plain data."""
    inner = command.commands if isinstance(command, click.Group) else None
    return {
        "name": command.name or "",
        "help": command.get_short_help_str(80),
        "hidden": command.hidden,
        "parameters": [_parameter(each) for each in command.params],
        **({} if inner is None else {"commands": [{**sketch(each), "name": name} for name, each in inner.items()]}),
    }


def _parameter(given: click.Parameter) -> dict[str, Any]:
    found: dict[str, Any] = {"name": given.name, "nargs": given.nargs}
    if isinstance(given.type, click.Choice):
        found["values"] = [str(each) for each in given.type.choices]
    elif isinstance(given.type, click.Path):
        found["path"] = "file" if given.type.file_okay else "dir"
    if isinstance(given, click.Option):
        for name in ("opts", "secondary_opts", "multiple", "is_flag", "count", "help", "hidden"):
            found[name] = getattr(given, name)
    return found


def drawn(data: dict[str, Any], completers: dict[str, Completer]) -> click.Command:
    """A command that takes the same parameters and does nothing.

    Args:
        data: the result of `sketch`.
        completers: by the name of the parameter.
    """
    parameters = [_drawn_parameter(each, completers) for each in data["parameters"]]
    if "commands" not in data:
        return click.Command(data["name"], params=parameters, short_help=data["help"], hidden=data["hidden"])
    inner = {each["name"]: drawn(each, completers) for each in data["commands"]}
    return click.Group(data["name"], inner, params=parameters, short_help=data["help"], hidden=data["hidden"])


def _drawn_parameter(data: dict[str, Any], completers: dict[str, Completer]) -> click.Parameter:
    usual: dict[str, Any] = {"nargs": data["nargs"], "shell_complete": completers.get(data["name"])}
    if "values" in data:
        usual |= {"type": click.Choice(data["values"]), "shell_complete": None}
    elif "path" in data and data["name"] not in completers:
        usual["type"] = click.Path(file_okay=data["path"] == "file")
    if "opts" not in data:
        return click.Argument([data["name"]], required=False, **usual)
    names = _declared(data["opts"], data["secondary_opts"])
    if data["is_flag"] or data["count"]:
        usual = {"is_flag": data["is_flag"]} if data["is_flag"] else {"count": True}
    options = {name: data[name] for name in ("help", "hidden", "multiple") if name != "multiple" or "nargs" in usual}
    return click.Option([data["name"], *names], **usual, **options)


def _declared(names: Iterable[str], opposite: Iterable[str]) -> list[str]:
    """The spellings of an option in click's form: ``--plain/--no-plain`` if it can be negated."""
    first, *rest = names
    return ["/".join([first, *opposite]), *rest]
