"""pixkit as an installed distribution: its name, its version, and what else is installed that a user should know of.

Other modules ask here, so that the distribution's name stands in one place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution

OWN = "pixkit"
"""The distribution that pixkit's own plugins come from."""
FORMER: tuple[str, ...] = ()
"""Names that it had before; recipes and runs of that time use them."""
GROUP = "pixkit"
"""The entry-point group of plugins."""
NEWEST_TORCH = (2, 15)
"""The newest torch that the tests were run with, as (major, minor)."""


def version() -> str:
    """The version of pixkit that is installed."""
    import importlib.metadata  # here, since `pixkit --help` imports this module and needs no metadata

    return importlib.metadata.version(OWN)


def canonical(distribution: str) -> str:
    """A distribution's name as packaging compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def is_own(distribution: str) -> bool:
    """Whether a name, present or former, is that of pixkit itself."""
    return canonical(distribution) in (OWN, *FORMER)


def remarks() -> Iterator[str]:
    """One line for each thing about this environment that a user should know."""
    torch = _installed("torch")
    if torch is not None and _minor(torch.version) > NEWEST_TORCH:
        tried = ".".join(map(str, NEWEST_TORCH))
        yield f"torch {torch.version} is newer than {tried}, the newest that pixkit was tried with"


def _installed(name: str) -> Distribution | None:
    import importlib.metadata

    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _minor(version: str) -> tuple[int, ...]:
    """(major, minor)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
