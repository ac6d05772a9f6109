"""What callers and the command line may leave out, and what they get then."""

import enum
import importlib
import inspect

import click

import pixkit
from pixkit import public
from pixkit.cli.main import cli

PLAIN = (bool, int, float, str, bytes, type(None))


def commands():
    """Of each command and each of its options and arguments: names, type, bounds, how often, and the default."""
    context = click.Context(cli)
    found = {"": _parameters(cli, context)}
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        inner = click.Context(command, parent=context)
        found[name] = _parameters(command, inner)
        for verb in command.list_commands(inner) if isinstance(command, click.Group) else ():
            found[f"{name} {verb}"] = _parameters(command.get_command(inner, verb), inner)
    return found


def _parameters(command, context):
    return {parameter.name: _parameter(parameter, context) for parameter in command.params}


def _parameter(parameter, context):
    said = [*parameter.opts, *parameter.secondary_opts, _type(parameter.type)]
    for key in ("multiple", "is_flag", "required", "hidden", "is_eager", "envvar"):
        if value := getattr(parameter, key, None):
            said.append(key if value is True else f"{key} {value}")
    if parameter.nargs != 1:
        said.append(f"nargs {parameter.nargs}")
    default = parameter.get_default(context)
    if isinstance(default, PLAIN) and default is not None and not (default is False and "is_flag" in said):
        hidden = not (getattr(parameter, "show_default", True) or getattr(parameter, "is_flag", False))
        said.append(f"default {default!r}" + " that help does not show" * hidden)
    return ", ".join(said)


def _type(kind):
    bounds = {name: getattr(kind, name, None) for name in ("min", "max", "min_open", "max_open", "clamp", "choices")}
    bounds |= {name: getattr(kind, name, None) for name in ("exists", "dir_okay", "file_okay", "names")}
    stated = [
        f"{name}={list(value) if isinstance(value, tuple) else value}"
        for name, value in bounds.items()
        if value is not None and value is not False
    ]
    return " ".join([kind.name, *stated])


def signatures():
    """Of each public function and each public method of a public class: its parameters and their defaults."""
    values = {}
    for home in ("pixkit", *(f"pixkit.{name}" for name in public.modules())):
        module = importlib.import_module(home)
        names = pixkit.__all__ if module is pixkit else module.__all__
        values |= {f"{home}.{name}": getattr(module, name) for name in names}
    found = {}
    for place, value in values.items():
        found |= _signatures(place, value, [one for one in values.values() if inspect.isclass(one)])
    return dict(sorted(found.items()))


def _signatures(place, value, classes):
    if inspect.isfunction(value):
        return {place: _signature(value)}
    if not inspect.isclass(value) or issubclass(value, enum.Enum):
        return {}
    # What it has from a class that is not public is its own.
    bases = [base for base in value.__mro__[:0:-1] if base.__module__.startswith("pixkit") and base not in classes]
    members = {name: member for cls in (*bases, value) for name, member in vars(cls).items()}
    found = {}
    for name, member in members.items():
        function = getattr(member, "__func__", member)
        if not inspect.isfunction(function):
            continue
        own = name == "__init__" or function.__module__.startswith("pixkit")  # pydantic adds methods to its models
        if own and (name in ("__init__", "__call__") or not name.startswith("_")):
            found[f"{place}.{name}"] = _signature(function)
    return found


def _signature(function):
    said = []
    for parameter in inspect.signature(inspect.unwrap(function)).parameters.values():
        sign = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = parameter.default
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in "".join(said):
            said.append("*")
        if default is parameter.empty:
            said.append(f"{sign}{parameter.name}")
        else:
            shown = repr(default) if isinstance(default, PLAIN) else _shown(default)
            said.append(f"{parameter.name}={shown}")
    return ", ".join(said)


def _shown(default):
    if isinstance(default, tuple | list) and all(isinstance(part, PLAIN) for part in default):
        return repr(default)
    return getattr(default, "__qualname__", type(default).__qualname__)
