"""The recipes of runs: their differences from the packaged ones and from each other, and in full."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pixkit.catalogue.recipes import packaged_recipes
from pixkit.errors import PixkitError, message
from pixkit.recipe import dump_yaml, load_recipe
from pixkit.recipe.diff import diff, in_short
from pixkit.recipe.varied import LEFT_OUT
from pixkit.report.markup import Element, beside, element, section, table
from pixkit.report.scores import recipe_name
from pixkit.report.subject import Subject

Packaged = dict[str, Any] | str
"""A packaged recipe with every default, or why it cannot be read."""


def recipes(subjects: Sequence[Subject], say: Callable[[str], None]) -> Element:
    """The differences, then each recipe in full.

    Args:
        subjects: the runs.
        say: told which packaged recipe cannot be read, and why.
    """
    packaged = {name: _packaged(name) for one in subjects if (name := recipe_name(one)) is not None}
    for name, found in packaged.items():
        if isinstance(found, str):
            say(f"the packaged recipe {name} cannot be read: {found}")
    parts = [part for one in subjects for part in _of_run(one, packaged)]
    return section("Recipes", "recipes", _between(subjects), parts)


def _packaged(name: str) -> Packaged:
    try:
        return load_recipe(packaged_recipes()[name]).lock()
    except PixkitError as error:
        return message(error)


def _between(subjects: Sequence[Subject]) -> Element | None:
    if len(subjects) < 2:
        return None
    keys = list(dict.fromkeys(key for one in subjects for key in one.differs))
    if not keys:
        return element("p", "All runs have the same recipe.")
    rows = [(key, [in_short(one.differs[key]) if key in one.differs else "" for one in subjects]) for key in keys]
    return beside("In which keys the runs differ", [one.mark for one in subjects], rows)


def _of_run(one: Subject, packaged: Mapping[str, Packaged]) -> Iterator[Element]:
    yield element("h3", one.name)
    yield _beside_packaged(one, packaged)
    lock = one.settings["lock"]
    for words, lines in (("Given on the command line", lock.get("overrides")), ("Changed since", lock.get("changes"))):
        if lines:
            yield element("p", f"{words}: ", element("code", ", ".join(map(str, lines))))
    if one.about["segments"]:
        yield element("p", f"Extended: {one.about['segments']} steps.")
    text = dump_yaml({key: value for key, value in one.settings.items() if key != "lock"})
    yield element("details", element("summary", "The whole recipe, with every default"), element("pre", text))


def _beside_packaged(one: Subject, packaged: Mapping[str, Packaged]) -> Element:
    name = recipe_name(one)
    if name is None:
        return element("p", "Of a recipe that does not come with pixkit.")
    found = packaged[name]
    if isinstance(found, str):
        return element("p", f"The packaged recipe {name} cannot be read: {found}", class_="note")
    changes = diff(_compared(found), _compared(one.recipe))
    if not changes:
        return element("p", "As the packaged recipe ", element("code", name), " says.")
    rows = [(change.path, in_short(change.old), in_short(change.new)) for change in changes]
    return table(f"What differs from the packaged recipe {name}", ("key", name, one.mark), rows)


def _compared(recipe: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in recipe.items() if key not in LEFT_OUT}
