"""pixkit as an installed distribution: its name, its version, and remarks on what else is installed.

The distribution is called `pixkit-models`; the import package and the command are called `pixkit`. Until 0.1 the
distribution was called `pixkit` as well, but on PyPI that name belongs to somebody else. Other modules ask here, so the
name is in one place only.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from email.message import Message
    from importlib.metadata import Distribution, EntryPoint

OWN = "pixkit-models"
"""The distribution that pixkit's own plugins come from."""
FORMER = ("pixkit",)
"""Its former names, which old recipes and runs use."""
GROUP = "pixkit"
"""The entry-point group of plugins."""
NEWEST_TORCH = (2, 15)
"""The newest torch that the tests were run with, as (major, minor)."""
DISABLE_VARIABLE = "PIXKIT_DISABLE_PLUGINS"
"""The environment variable that names plugins, or distributions, to leave out."""
POINTS = "entry_points.txt"
"""The file in which a distribution lists its plugins."""
SWITCHES = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0", "PYDANTIC_DISABLE_PLUGINS": "__all__"}
"""Environment variables that keep torch and pydantic from looking for their own plugins."""


class Unreadable(NamedTuple):
    """A distribution that may have plugins, but whose entry points cannot be read."""

    distribution: str
    version: str
    reason: str


def version() -> str:
    """The installed version of pixkit; that of its former name if a checkout was not installed anew."""
    found = next((one for one in map(_installed, (OWN, *FORMER)) if one is not None), None)
    return "unknown" if found is None else _identity(found)[1].replace("?", "unknown")


def origin(entry_point: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution of an entry point; '?' where unknown."""
    return ("?", "?") if entry_point.dist is None else _identity(entry_point.dist)


def plugin_points(group: str = GROUP) -> tuple[list[EntryPoint], list[Unreadable]]:
    """The entry points of all installed plugins, and the distributions that may have more but cannot be read.

    `group` may be another group whose name begins like that of plugins.

    Distributions are examined one by one, so that a damaged one only loses its own plugins. If several have the same
    name, the first on the path counts, as everywhere in Python.
    """
    points: list[EntryPoint] = []
    unreadable: list[Unreadable] = []
    seen: set[str] = set()
    for found in _distributions():
        name = _normal(_by_folder(found)[0] or _identity(found)[0])
        # pip renames a distribution to "~..." before removing it, and leaves it there if killed.
        if name in seen or name.startswith("~"):
            continue
        seen.add(name)
        try:
            points += _points(found, group)
        except Exception as error:
            if _may_bring_plugins(found):
                unreadable.append(Unreadable(*_identity(found), f"{_folder(found)}/{POINTS}: {_why(error)}"))
    return points, unreadable


def shield_libraries() -> None:
    """Let torch and pydantic be imported even if the entry points of some distribution are damaged.

    Both look for their own plugins in the entry points of every distribution, and fail on a damaged one. If that would
    happen, they are told not to look. Must be called before torch is first imported.
    """
    import importlib.metadata

    if "torch" in sys.modules:
        return
    try:
        importlib.metadata.entry_points(group=GROUP)
    except Exception:
        for name, value in SWITCHES.items():
            os.environ.setdefault(name, value)


def release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version; (0, 2, 0) for 0.2.0.dev0. () if there are none."""
    found = re.match(r"[0-9]{1,9}(\.[0-9]{1,9})*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def canonical(distribution: str) -> str:
    """A distribution's name as packaging compares it (PEP 503); pixkit's former names become the current one."""
    name = _normal(distribution)
    return OWN if name in FORMER else name


def is_own(distribution: str) -> bool:
    """Whether a name, current or former, is pixkit's."""
    return canonical(distribution) == OWN


def in_order(points: Iterable[EntryPoint]) -> list[EntryPoint]:
    """Plugins in loading order, pixkit's own first, and without those repeated under its former name."""
    found = sorted((not is_own(origin(point)[0]), *origin(point), point.name, point) for point in points)
    own = {name for _, distribution, _, name, _ in found if distribution == OWN}
    return [
        point for foreign, distribution, _, name, point in found if foreign or distribution == OWN or name not in own
    ]


def remarks() -> Iterator[str]:
    """One line for each thing about this environment that a user should know."""
    for name in FORMER:
        found = _installed(name)
        if found is not None and _installed(OWN) is not None:
            yield _about_namesake(found)
    torch = _installed("torch")
    version = "" if torch is None else _identity(torch)[1]
    if _minor(version) > NEWEST_TORCH:
        tried = ".".join(map(str, NEWEST_TORCH))
        yield f"torch {version} is newer than {tried}, the newest that pixkit was tried with"


def _about_namesake(found: Distribution) -> str:
    name, version = _identity(found)
    try:
        former = bool(_points(found))
    except Exception:
        former = False
    whose = "is its former self" if former else "is somebody else's"
    return (
        f"{name} {version}, which is installed beside {OWN}, {whose} and writes into the same folder: pip uninstall "
        f"{name}, then pip install --force-reinstall --no-deps {OWN}"
    )


def _distributions() -> Iterator[Distribution]:
    import importlib.metadata

    # Python itself skips entries of the path that are not text.
    return iter(importlib.metadata.distributions(path=[place for place in sys.path if isinstance(place, str)]))


def _installed(name: str) -> Distribution | None:
    import importlib.metadata

    try:
        return importlib.metadata.distribution(name)
    except Exception:  # missing, or too damaged to tell
        return None


def _points(found: Distribution, group: str = GROUP) -> list[EntryPoint]:
    """The plugins of one distribution. Raises whatever is wrong with the file."""
    text = found.read_text(POINTS)
    if text is None:
        _require_readable(_folder(found))
    # Most distributions have none, and their files need not be parsed.
    return [point for point in found.entry_points if point.group == group] if text and group in text else []


def _require_readable(folder: Any) -> None:
    """Raise PermissionError if a file of entry points may be hidden; importlib treats that as missing."""
    if isinstance(folder, os.PathLike):
        try:
            os.close(os.open(os.path.join(folder, POINTS), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))
        except PermissionError:
            raise
        except OSError:
            return


def _may_bring_plugins(found: Distribution) -> bool:
    """Whether an unreadable file mentions this group, or may mention it."""
    try:
        return GROUP.encode() in _folder(found).joinpath(POINTS).read_bytes()
    except Exception:
        return True


def _why(error: Exception) -> str:
    match error:
        case OSError(strerror=str()):
            return str(error.strerror)
        case UnicodeError():
            return "not UTF-8"
        case _:
            return "not a list of entry points"


@functools.lru_cache(maxsize=64)
def _identity(found: Distribution) -> tuple[str, str]:
    """Name and version from the metadata, or from the name of their folder; else '?'."""
    stated: Message | dict[str, str] = {}
    with suppress(Exception):
        stated = _stated(found)
    name, version = _by_folder(found)
    return str(stated.get("Name") or name or "?"), str(stated.get("Version") or version or "?")


def _stated(found: Distribution) -> Message:
    """The headers of the metadata; importlib would parse the README after them as well, which takes a millisecond."""
    from email.parser import HeaderParser

    texts = (found.read_text(name) for name in ("METADATA", "PKG-INFO", ""))
    return HeaderParser().parsestr(next(filter(None, texts), ""))


def _by_folder(found: Distribution) -> tuple[str, str]:
    """Name and version from NAME-VERSION.dist-info, without opening a file; empty for other folder names."""
    stem, _, kind = os.path.basename(str(_folder(found) or "").rstrip("/")).rpartition(".")
    if kind not in ("dist-info", "egg-info"):
        return "", ""
    name, _, rest = stem.partition("-")
    return name, rest.partition("-")[0]


def _folder(found: Distribution) -> Any:
    """The location of the metadata, a path on disk or in an archive; None if unknown."""
    return getattr(found, "_path", None)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _minor(version: str) -> tuple[int, ...]:
    """(major, minor)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
