"""pixkit as an installed distribution: its name, its version, and what else is installed that a user should know of.

The distribution is called `pixkit-models`; what is imported, and the command, are called `pixkit`. Until 0.1 the
distribution was called `pixkit` as well, but on PyPI that name is somebody else's. Other modules ask here, so that the
name stands in one place.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution

OWN = "pixkit-models"
"""The distribution that pixkit's own plugins come from."""
FORMER = ("pixkit",)
"""Names that it had before; recipes and runs of that time use them."""
GROUP = "pixkit"
"""The entry-point group of plugins."""
NEWEST_TORCH = (2, 15)
"""The newest torch that the tests were run with, as (major, minor)."""


def version() -> str:
    """The version of pixkit that is installed; that of its former name, where a checkout was not installed anew."""
    found = next((one for one in map(_installed, (OWN, *FORMER)) if one is not None), None)
    return "unknown" if found is None else found.version


def canonical(distribution: str) -> str:
    """A distribution's name as packaging compares it (PEP 503); a former name of pixkit's own is the present one."""
    name = re.sub(r"[-_.]+", "-", distribution).lower()
    return OWN if name in FORMER else name


def is_own(distribution: str) -> bool:
    """Whether a name, present or former, is that of pixkit itself."""
    return canonical(distribution) == OWN


def former_double(distribution: str, plugin: str, own: Collection[str]) -> bool:
    """Whether a plugin is one of `own`, the names of those that pixkit brings, registered under its former name too."""
    return is_own(distribution) and distribution != OWN and plugin in own


def remarks() -> Iterator[str]:
    """One line for each thing about this environment that a user should know."""
    for name in FORMER:
        found = _installed(name)
        if found is not None and _installed(OWN) is not None:
            yield _about_namesake(found)
    torch = _installed("torch")
    if torch is not None and _minor(torch.version) > NEWEST_TORCH:
        tried = ".".join(map(str, NEWEST_TORCH))
        yield f"torch {torch.version} is newer than {tried}, the newest that pixkit was tried with"


def _about_namesake(found: Distribution) -> str:
    name = f"{found.metadata['Name']} {found.version}"
    whose = "is its former self" if any(point.group == GROUP for point in found.entry_points) else "is somebody else's"
    return (
        f"{name}, which is installed beside {OWN}, {whose} and writes into the same folder: pip uninstall "
        f"{found.metadata['Name']}, then pip install --force-reinstall --no-deps {OWN}"
    )


def _installed(name: str) -> Distribution | None:
    import importlib.metadata

    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _minor(version: str) -> tuple[int, ...]:
    """(major, minor)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
