"""Whether the plugins that provide a run's components are those that it was made with."""

from __future__ import annotations

import warnings
from pathlib import Path

from pixkit.components.spec import ComponentSpec, Entry, walk
from pixkit.distribution import canonical, is_own
from pixkit.recipe.schema import Recipe
from pixkit.runs.lockfile import built_with
from pixkit.runs.places import ENVIRONMENT


def warn_of_others(run: Path, recipe: Recipe, stacklevel: int = 3) -> None:
    """Warn once for each distribution, or plugin file, whose version is not the one that the run was made with.

    pixkit itself is left out: it keeps reading what it wrote.

    Args:
        run: the run's folder.
        recipe: its recipe, with the current components.
        stacklevel: of the warning, see `warnings.warn`; 3 is the caller's caller.
    """
    for text in others(run, recipe):
        warnings.warn(text, RuntimeWarning, stacklevel=stacklevel)


def others(run: Path, recipe: Recipe) -> list[str]:
    """A sentence for each, sorted; empty for a run that does not record what it was made with."""
    before = {canonical(name): version for name, version in built_with(run / ENVIRONMENT).items()}
    brought: dict[tuple[str, str], list[Entry]] = {}
    for _, value, _ in walk(recipe):
        if isinstance(value, ComponentSpec) and not is_own(value.entry.distribution):
            same = brought.setdefault((value.entry.distribution, value.entry.version), [])
            if value.entry not in same:
                same.append(value.entry)
    return sorted(
        _sentence(run, f"{name} {before[canonical(name)]}", f"{name} {version}", entries)
        for (name, version), entries in brought.items()
        if before.get(canonical(name), version) != version
    )


def _sentence(run: Path, was: str, now: str, entries: list[Entry]) -> str:
    brings = " and ".join(f"the {entry.kind} '{entry.name}'" for entry in entries)
    return (
        f"{run}: the run was made with {was}, and this is {now}, which brings {brings}: "
        "the meaning of its weights may have changed"
    )
