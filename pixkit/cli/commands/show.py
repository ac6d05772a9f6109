"""`pixkit show`."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import click

from pixkit.cli.group import plugin_option
from pixkit.cli.options import KIND, json_option
from pixkit.cli.output import emit, emit_json, pairs, table
from pixkit.cli.plugins import find_component, loaded_plugins, plugin_options
from pixkit.components.keys import Key, keys_of
from pixkit.components.spec import Entry
from pixkit.errors import printable


@click.command()
@click.argument("kind", type=KIND)
@click.argument("name", required=False)
@plugin_option
@json_option
def command(kind: str, name: str | None, as_json: bool) -> None:
    """Show a component and its keys, a recipe or a run.

    `show KIND NAME` explains a component: what it is, who brings it, and the keys that a recipe may
    give it. `show recipe NAME` prints a recipe (NAME may be - for standard input), `show recipe` alone the keys
    of every recipe, and `show run PATH` what a run is and how it scored.
    """
    if name is None and kind != "recipe":
        raise click.UsageError(f"which {kind}? `pixkit ls {kind}{plugin_options()}` lists them")
    if kind == "run":
        show_run(str(name), as_json)
    elif kind != "recipe":
        show_component(find_component(loaded_plugins(), kind, str(name)), as_json)
    elif name is None:
        show_recipe_keys(as_json)
    else:
        show_recipe(name, as_json)


def show_component(entry: Entry, as_json: bool) -> None:
    """What a component is and which keys it has."""
    keys = keys_of(entry.cls.Config)
    text = inspect.cleandoc(entry.cls.__doc__ or "")
    counts = _free_parameters(entry)
    if as_json:
        emit_json(
            {
                "kind": entry.kind,
                "name": entry.name,
                "distribution": entry.distribution,
                "version": entry.version,
                "class": f"{entry.cls.__module__}.{entry.cls.__qualname__}",
                "description": text,
                "keys": [dataclasses.asdict(key) for key in keys],
                **({"free_parameters": counts} if counts else {}),
            }
        )
        return
    head = printable(f"{entry.kind} {entry.name}, from {entry.distribution} {entry.version}")
    emit(f"{head}\n\n{text}")
    if keys:
        emit(f"\n{_key_table(keys)}")
    if counts:
        rows = [[str(value) for value in row.values()] for row in counts]
        emit("\nFree parameters of one site, with every key left out:")
        emit(table(("channels", "levels", "parameters"), rows))


def show_recipe_keys(as_json: bool) -> None:
    """The keys that every recipe has."""
    from pixkit.recipe.schema import Recipe

    keys = keys_of(Recipe)
    emit_json([dataclasses.asdict(key) for key in keys]) if as_json else emit(_key_table(keys))


def show_recipe(name: str, as_json: bool) -> None:
    """The text of a recipe, or as JSON its content with every default."""
    from pixkit.cli.recipes import DASH, named_recipe, piped_text
    from pixkit.recipe import find_recipe
    from pixkit.recipe.files import read_recipe

    if as_json:
        loaded_plugins()
        loaded = named_recipe(name)
        emit_json({"path": loaded.path and str(loaded.path), "recipe": loaded.recipe.dump()})
    else:
        emit((piped_text() if name == DASH else read_recipe(find_recipe(name))).rstrip("\n"))


def show_run(path: str, as_json: bool) -> None:
    """What a run is and how it scored."""
    from pixkit.cli.runs import opened_run, score_line
    from pixkit.cli.scores import score_table
    from pixkit.runs.summary import summary

    found = summary(opened_run(Path(path), quiet=as_json))
    if as_json:
        emit_json(found)
        return
    told = found | {"validation": score_line(found["validation"]), "nonfinite": found["nonfinite"] or None}
    emit(pairs({key: _text(value) for key, value in told.items() if key != "scores" and value is not None}))
    if found["scores"]:
        emit(f"\n{score_table(found['scores'])}")


def _free_parameters(entry: Entry) -> list[dict[str, int]]:
    """Of a head with its defaults, for common images; none for other kinds, and where the head does not say."""
    if entry.kind != "head" or any(field.is_required() for field in entry.cls.Config.model_fields.values()):
        return []
    from pixkit.image import ImageSpec

    found = []
    for channels, levels in ((1, 2), (1, 256), (3, 256)):
        count = entry.cls.parameter_count(entry.cls.Config(), ImageSpec(channels, 32, 32, levels))
        if count is not None:
            found.append({"channels": channels, "levels": levels, "count": count})
    return found


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _key_table(keys: list[Key]) -> str:
    rows = [
        (key.key, key.type, key.default if key.default is not None else "(required)", key.range, key.description)
        for key in keys
    ]
    return table(("key", "type", "default", "range", "description"), rows)
