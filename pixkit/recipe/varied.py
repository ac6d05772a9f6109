"""The keys in which several recipes differ, and short names for these keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pixkit.recipe.diff import ABSENT, equal

SORTS = ("type", "source")
"""The key that decides the meaning of the others in its section: a component's name."""
LEFT_OUT = ("pixkit", "name")
"""Keys that do not affect what is trained."""
TOLD = ("folder", "state", "step", "steps", "validation", "images", "date", "differs")
"""Columns shown for a run beside its keys: no key is shortened to one of these words, such as `validation`."""
Values = dict[str, Any]
"""Values by dotted key."""


def varied(recipes: Sequence[Mapping[str, Any]], *, beside: bool = False) -> list[Values]:
    """For each plain recipe, the keys in which it differs from another one, in the order of the first that has them.

    Sections of different components differ only in their `type` (or `source`): one's width cannot be compared with
    another's. A key that a recipe lacks, as in older runs, is not a difference either. A list of components differs in
    their types and, where these are the same, in the keys of each, by what it reads, its type or, if several have the
    same, its number: `model.context[small].dropout`.

    Args:
        recipes: as plain data, of the same format.
        beside: compare all keys of the same name, including missing ones.
    """
    found = [dict(_leaves(recipe, "", ())) for recipe in recipes]
    if beside:
        found = [{(path, ()): value for (path, _), value in leaves.items()} for leaves in found]
    places = dict.fromkeys(place for leaves in found for place in leaves)
    kept = [place for place in places if _differs([leaves.get(place, ABSENT) for leaves in found], beside)]
    return [{place[0]: leaves[place] for place in kept if place in leaves} for leaves in found]


def _leaves(section: Mapping[str, Any], prefix: str, sorts: tuple[Any, ...]) -> Iterator[tuple[tuple[str, Any], Any]]:
    """Each key with the components above it, and its value."""
    named = next((key for key in SORTS if isinstance(section.get(key), str)), None)
    within = sorts if named is None else (*sorts, section[named])
    for key, value in section.items():
        path = f"{prefix}{key}"
        if path in LEFT_OUT:
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}.", within)
        elif types := _types(value):
            yield (path, within), types
            names = [str(each.get("from") or each["type"]) for each in value]
            for number, each in enumerate(value):
                place = f"{path}[{names[number] if len(set(names)) == len(names) else number}]"
                held = _leaves(each, f"{place}.", (*within, *types))
                yield from (leaf for leaf in held if leaf[0][0] != place)  # its type was among them
        else:
            # A section's type is compared with whatever is in its place: perhaps nothing.
            yield ((prefix.rstrip("."), sorts) if key == named else (path, within)), value


def _types(value: Any) -> list[str]:
    """The types of a list of components, in order; empty for anything else."""
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        return []
    found = [each.get("type") for each in value]
    return found if all(isinstance(each, str) for each in found) else []


def _differs(values: list[Any], beside: bool) -> bool:
    there = values if beside else [value for value in values if value is not ABSENT]
    return not all(equal(there[0], value) for value in there[1:])


def without_sort(path: str) -> str:
    """The dotted key of a section for its `type` or `source`: `model.backbone` for `model.backbone.type`."""
    section, _, last = path.rpartition(".")
    return section if section and last in SORTS else path


def short_names(keys: Iterable[str], among: Iterable[str]) -> dict[str, str]:
    """For each dotted key, the shortest ending that is unique and not one of TOLD: `lr` for train.optimizer.lr.

    Args:
        keys: the keys to shorten.
        among: all existing keys.
    """
    everyone = {*TOLD, *(without_sort(key) for key in among)}
    found = {}
    for key in keys:
        path = without_sort(key)
        parts = path.split(".")
        ends = [".".join(parts[start:]) for start in reversed(range(len(parts)))]
        others = everyone - {path}
        found[key] = next((end for end in ends if not any(f".{other}".endswith(f".{end}") for other in others)), path)
    return found


def keys_in(recipe: Mapping[str, Any]) -> list[str]:
    """The dotted keys that a plain recipe sets."""
    return [path for (path, _), _ in _leaves(recipe, "", ())]
