"""Shell completion from the catalogue: imports no command, no plugin and not torch.

`pixkit.cli.shells` handles the shells. An argument or option is completed according to its name, also in plugins'
commands: `run`, `recipe`, `overrides`, `label` and so on, as in `COMPLETERS`.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from pixkit.catalogue.contents import Catalogue
from pixkit.catalogue.keys import Keys
from pixkit.catalogue.kinds import KINDS
from pixkit.catalogue.recipes import find_recipe, packaged_recipes, summary_of
from pixkit.catalogue.topics import topics
from pixkit.catalogue.zoo import LOCK, PREFIX, run_folder, zoo_runs
from pixkit.cli.look import catalogue
from pixkit.cli.sketch import Completer, drawn
from pixkit.context import LABEL
from pixkit.errors import printable

MANIFEST_STEP = "step-"
"""The prefix of checkpoints' names in a run."""
MOST = 2_000_000
"""Bytes of a recipe that are read to find its components."""


@functools.cache
def _catalogue() -> Catalogue:
    """Read once, silently."""
    with _silence():
        return catalogue(quiet=True)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the output of plugins, compiled code and other programs from the shell.

    On stdout it would be taken for completions, and on stderr it would appear in the command line.
    """
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        contextlib.ExitStack() as restored,
    ):
        for descriptor in (1, 2):
            with contextlib.suppress(OSError):  # a closed stream
                copy = os.dup(descriptor)
                restored.callback(os.close, copy)
                restored.callback(os.dup2, copy, descriptor)
                os.dup2(nowhere.fileno(), descriptor)
        yield


def drawn_command(name: str) -> click.Command | None:
    """The command with that name, as far as completion needs it."""
    found = next((each for each in _catalogue().commands if each.name == name), None)
    return None if found is None or not found.sketch else drawn(found.sketch, COMPLETERS)


def command_items(incomplete: str) -> list[CompletionItem]:
    """Commands that begin with a name."""
    return _matching({each.name: each.summary for each in _catalogue().commands}, incomplete)


def _matching(names: dict[str, str], incomplete: str) -> list[CompletionItem]:
    """Names that begin so, with their descriptions."""
    return [
        CompletionItem(name, help=printable(text) or None)
        for name, text in names.items()
        if name.startswith(incomplete) and name.isprintable() and not any(map(str.isspace, name))
    ]


def _plain(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return _matching(dict.fromkeys(names, ""), incomplete)


def _recipes(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Recipes that come with pixkit, and files."""
    names = {name: summary_of(path) for name, path in packaged_recipes().items()}
    folder = os.path.dirname(incomplete)
    with contextlib.suppress(OSError):
        with os.scandir(folder or ".") as entries:
            found = sorted(each.name for each in entries if each.name.endswith((".yaml", ".yml")))
        names |= {os.path.join(folder, name): "" for name in found}
    return _matching(names, incomplete) or [CompletionItem(incomplete, type="file")]


def _runs(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Runs in the typed folder or in `runs`; those of the zoo; any folder if there are none."""
    zoo = [f"{PREFIX}{name}" for name in _zoo()] if incomplete[:1] == PREFIX[0] else []
    folder = os.path.dirname(incomplete) or "runs"
    names = []
    with contextlib.suppress(OSError):
        with os.scandir(folder) as entries:
            found = sorted(each.name for each in entries)
        names = [os.path.join(folder, name) for name in found if os.path.isfile(os.path.join(folder, name, LOCK))]
    return _plain([*names, *zoo], incomplete) or [CompletionItem(incomplete, type="dir")]


def _zoo() -> list[str]:
    """The names of the runs of the zoo."""
    return list(dict.fromkeys(run.name for run in zoo_runs()[0]))


def _kinds(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _plain([*KINDS, "recipe", "run", "zoo"], incomplete)


def _of_kind(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of the kind that was typed before."""
    kind = str(_given(ctx, "kind") or "")
    for known, completer in (("recipe", _recipes), ("run", _runs)):
        if kind in (known, f"{known}s"):
            return completer(ctx, parameter, incomplete)
    if kind in ("zoo", "zoos"):
        return _plain(_zoo(), incomplete)
    found = {each.name: each.summary for each in _catalogue().components if kind in (each.kind, f"{each.kind}s")}
    return _matching(found, incomplete)


def _samplers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _plain(["auto", *(each.name for each in _catalogue().components if each.kind == "sampler")], incomplete)


def _checkpoints(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    names = ["best", "last"]
    with contextlib.suppress(OSError), os.scandir(_run_of(ctx) / "checkpoints") as entries:
        names += sorted(each.name for each in entries if each.name.startswith(MANIFEST_STEP))
    return _plain(names, incomplete)


def _labels(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of the classes that the run was trained with."""
    lock = _read(_run_of(ctx) / LOCK).get("lock")
    names = lock.get("class_names") if isinstance(lock, dict) else None
    return _plain(["all", *(str(name) for name in names or [])], incomplete)


def _conditions(ctx: click.Context) -> list[str]:
    """The names of the conditions in a run's recipe."""
    recipe = _read(_run_of(ctx) / LOCK)
    found = recipe["model"].get("context") or []
    arrays = list(recipe["data"].get("context") or {})
    return [LABEL] if isinstance(found, dict) else [_name_of(each, arrays) for each in found]


def _name_of(conditioner: dict[str, Any], arrays: list[str]) -> str:
    named = conditioner.get("from")
    return LABEL if conditioner["type"] == LABEL and named is None else str(named or arrays[0])


def _varied(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _plain(["pixels", *(_conditions(ctx) or ["latent"])], incomplete)


def _guided(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _plain([f"{name}=" for name in _conditions(ctx)], incomplete)


def _overrides(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The keys of a recipe, section by section, and the values of those that have few."""
    before = [text for text in ctx.params.get(parameter.name or "") or () if isinstance(text, str)]
    keys = Keys(_catalogue(), _recipe_of(ctx, before))
    typed, equals, value = incomplete.partition("=")
    *above, last = typed.split(".")
    if equals:
        # A sweep takes several values, separated by commas.
        done, comma, value = value.rpartition(",") if parameter.name == "keys" else ("", "", value)
        found = [each for each in keys.values((*above, last)) if each.startswith(value)]
        return [CompletionItem(f"{typed}={done}{comma}{each}") for each in found]
    stem = "".join(f"{part}." for part in above)
    names = [name if name.endswith(".") else f"{name}=" for name in keys.below(tuple(above))]
    return [CompletionItem(f"{stem}{name}") for name in names if name.startswith(last)]


def _topics(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _matching({name: topic.summary for name, topic in topics().items()}, incomplete)


def _files(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]


def _run_of(ctx: click.Context) -> Path:
    """The run that was typed before: a path, the name of one in `runs`, or zoo:NAME."""
    given = run_folder(str(_given(ctx, "run") or "."))
    return given if given.is_dir() or len(given.parts) > 1 else Path("runs") / given


def _given(ctx: click.Context, name: str) -> Any:
    """The value typed for an argument; where an option has no value yet, click does not say which argument is which."""
    if ctx.params.get(name) is not None:
        return ctx.params[name]
    names = [each.name for each in ctx.command.params if isinstance(each, click.Argument)]
    return dict(zip(names, ctx.args, strict=False)).get(name)


def _recipe_of(ctx: click.Context, overrides: Iterable[str]) -> dict[str, Any]:
    """The content of the typed recipe with its overrides, of which those that name components matter."""
    given = _given(ctx, "recipe")
    recipe = _read(find_recipe(given)) if isinstance(given, str) else _read(_run_of(ctx) / LOCK)
    for text in overrides:
        key, _, value = text.partition("=")
        *above, last = key.split(".")
        section: Any = recipe
        for part in above:
            inner = section.get(part)
            section[part] = inner if isinstance(inner, dict) else {"source" if part == "data" else "type": inner}
            section = section[part]
        section[last] = value
    return recipe


def _read(path: Path) -> dict[str, Any]:
    """A YAML file as plain data; empty if it cannot be read."""
    import yaml

    with contextlib.suppress(OSError, ValueError, yaml.YAMLError, RecursionError):
        if path.is_file() and path.stat().st_size <= MOST:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            found = yaml.load(path.read_bytes(), Loader=loader)
            return found if isinstance(found, dict) else {}
    return {}


def _guarded(completer: Completer) -> Completer:
    """The same, but returning nothing on errors, which are reported when the command is run."""

    @functools.wraps(completer)
    def call(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        with contextlib.suppress(Exception):
            return completer(ctx, parameter, incomplete)
        return []

    return call


COMPLETERS: dict[str, Completer] = {
    name: _guarded(completer)
    for names, completer in (
        ("recipe recipes", _recipes),
        ("run runs", _runs),
        ("kind", _kinds),
        ("name", _of_kind),
        ("overrides keys", _overrides),
        ("label labels", _labels),
        ("vary", _varied),
        ("guidance", _guided),
        ("sampler", _samplers),
        ("checkpoint", _checkpoints),
        ("topic", _topics),
        ("images given", _files),
    )
    for name in names.split()
}
"""How an argument or an option is completed, by its name."""
