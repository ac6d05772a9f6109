"""`pixkit show`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pixkit.catalogue.contents import Component, named
from pixkit.catalogue.recipes import find_recipe, packaged_recipes
from pixkit.catalogue.zoo import PREFIX, run_folder
from pixkit.cli.group import plugin_option
from pixkit.cli.look import catalogue, importing
from pixkit.cli.options import KIND, json_option
from pixkit.cli.output import emit, emit_json, pairs, table
from pixkit.cli.plugins import find_component, loaded_plugins, plugin_options
from pixkit.errors import RunError, printable


@click.command()
@click.argument("kind", type=KIND)
@click.argument("name", required=False)
@plugin_option
@json_option
def command(kind: str, name: str | None, as_json: bool) -> None:
    """Show a component and its keys, a recipe or a run.

    `show KIND NAME` explains a component: what it is, its source, and its keys in a recipe. `show recipe NAME` prints a
    recipe (NAME may be - for standard input), `show recipe` only the keys of every recipe, `show run PATH` describes a
    run and its scores, and `show zoo NAME` the card of a run of the zoo.
    """
    if name is None and kind != "recipe":
        raise click.UsageError(f"which {kind}? `pixkit ls {kind}{plugin_options()}` lists them")
    if kind == "run":
        show_run(str(name), as_json)
    elif kind == "zoo":
        show_card(str(name), as_json)
    elif kind != "recipe":
        show_component(*look_up(kind, str(name)), as_json)
    elif name is None:
        show_recipe_keys(as_json)
    else:
        show_recipe(name, as_json)


def look_up(kind: str, name: str) -> tuple[Component, dict[str, Any]]:
    """A component and its details.

    Raises:
        PixkitError: as `find_component`.
    """
    found = catalogue()
    match named(found, kind, name):
        case [component] if details := found.details(component):
            return component, details
    with importing():
        from pixkit.cli.live import component_of, details_of
        from pixkit.components.plugins import plugins

        loaded = plugins()
    entry = find_component(loaded, kind, name)  # raises an error that says what is wrong
    return component_of(entry), details_of(entry)


def show_component(component: Component, details: dict[str, Any], as_json: bool) -> None:
    """Show a component and its keys."""
    counts = details["free_parameters"]
    if as_json:
        emit_json(
            {
                "kind": component.kind,
                "name": component.name,
                "distribution": component.distribution,
                "version": component.version,
                "class": details["class"],
                "description": details["description"],
                "keys": details["keys"],
                **({"free_parameters": counts} if counts else {}),
            }
        )
        return
    head = printable(f"{component.kind} {component.name}, from {component.distribution} {component.version}")
    emit(f"{head}\n\n{details['description']}")
    if details["keys"]:
        emit(f"\n{_key_table(details['keys'])}")
    if counts:
        rows = [[str(value) for value in row.values()] for row in counts]
        emit("\nFree parameters of one site, with every key at its default:")
        emit(table(("channels", "levels", "parameters"), rows))


def show_recipe_keys(as_json: bool) -> None:
    """The keys that every recipe has."""
    keys = catalogue().recipe()["keys"]
    emit_json(keys) if as_json else emit(_key_table(keys))


def show_recipe(name: str, as_json: bool) -> None:
    """The text of a recipe, or as JSON its content with every default."""
    path = find_recipe(name)
    if not as_json and path in packaged_recipes().values():
        emit(path.read_text(encoding="utf-8").rstrip("\n"))
        return
    from pixkit.cli.recipes import DASH, named_recipe, piped_text
    from pixkit.recipe.files import read_recipe

    if as_json:
        loaded_plugins()
        loaded = named_recipe(name)
        emit_json({"path": loaded.path and str(loaded.path), "recipe": loaded.recipe.dump()})
    else:
        emit((piped_text() if name == DASH else read_recipe(path)).rstrip("\n"))


def show_run(path: str, as_json: bool) -> None:
    """Show a run and its scores."""
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


def show_card(name: str, as_json: bool) -> None:
    """Show the card of a run of the zoo."""
    from pixkit.runs.card import CARD, read_card
    from pixkit.runs.run import Run

    run = Run(run_folder(f"{PREFIX}{name.removeprefix(PREFIX)}"))
    card = read_card(run)
    if card is None:
        raise RunError("this run has no card", where=str(run.path / CARD), hint=f"pixkit show run {PREFIX}{name}")
    emit_json(card.model_dump()) if as_json else emit(printable(card.body(), lines=True))


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _key_table(keys: list[dict[str, Any]]) -> str:
    names = ("key", "type", "default", "range", "description")
    return table(names, [["(required)" if key[name] is None else key[name] for name in names] for key in keys])
