"""In which keys several recipes differ, and what these keys are called for short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pixkit.recipe.diff import ABSENT, equal

SORTS = ("type", "source")
"""The key of a section that says what the others beside it mean: a component's name."""
LEFT_OUT = ("pixkit", "name")
"""Keys that say nothing of what is trained."""
TOLD = ("folder", "state", "step", "steps", "validation", "images", "date", "differs")
"""What is told of a run beside its keys: none of these words stands for a key, which would be `validation` too."""
Values = dict[str, Any]
"""By dotted key, what it is set to."""


def varied(recipes: Sequence[Mapping[str, Any]], *, beside: bool = False) -> list[Values]:
    """Of each plain recipe, the keys in which it differs from another one, in the order of the first that has them.

    Sections of other components are told apart by their `type` (or `source`) alone: one's width says nothing beside
    another's. A key that a recipe lacks, as older runs do, makes no difference either.

    Args:
        recipes: as plain data, of the same format.
        beside: compare whatever has the same name, and lack of a key too.
    """
    found = [dict(_leaves(recipe, "", ())) for recipe in recipes]
    if beside:
        found = [{(path, ()): value for (path, _), value in leaves.items()} for leaves in found]
    places = dict.fromkeys(place for leaves in found for place in leaves)
    kept = [place for place in places if _differs([leaves.get(place, ABSENT) for leaves in found], beside)]
    return [{place[0]: leaves[place] for place in kept if place in leaves} for leaves in found]


def _leaves(section: Mapping[str, Any], prefix: str, sorts: tuple[Any, ...]) -> Iterator[tuple[tuple[str, Any], Any]]:
    """Each key with the components that it stands below, and its value."""
    named = next((key for key in SORTS if isinstance(section.get(key), str)), None)
    within = sorts if named is None else (*sorts, section[named])
    for key, value in section.items():
        path = f"{prefix}{key}"
        if path in LEFT_OUT:
            continue
        if not isinstance(value, Mapping):
            # What a section is, is told beside what else stands at its place: nothing, say.
            yield ((prefix.rstrip("."), sorts) if key == named else (path, within)), value
        else:
            yield from _leaves(value, f"{path}.", within)


def _differs(values: list[Any], beside: bool) -> bool:
    there = values if beside else [value for value in values if value is not ABSENT]
    return not all(equal(there[0], value) for value in there[1:])


def without_sort(path: str) -> str:
    """The dotted key of a section that `type` or `source` stands for: `model.backbone` of `model.backbone.type`."""
    section, _, last = path.rpartition(".")
    return section if section and last in SORTS else path


def short_names(keys: Iterable[str], among: Iterable[str]) -> dict[str, str]:
    """Of each dotted key the shortest end that no other key has, nor one of TOLD is: `lr` for train.optimizer.lr.

    Args:
        keys: those asked for.
        among: all keys that there are.
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
