"""How much memory is available: of the machine, of the process's control groups, of a GPU."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from pixkit.memory.heap import trim
from pixkit.numerals import significant

ROOT = Path("/")
SHARING = "LOCAL_WORLD_SIZE"
"""The variable in which a launcher gives the number of processes that it has started on this machine."""
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class Room:
    """Memory left by one bound: `free` of `size` bytes; `name` says what the bound is."""

    name: str
    free: int
    size: int

    def __str__(self) -> str:
        return f"{in_words(self.free)}, free of the {in_words(self.size)} of {self.name}"


def available(device: torch.device, root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> Room:
    """The memory available on a device without swapping or being killed: the least that any bound leaves.

    On a GPU that is the memory that no process uses plus torch's cache. On a CPU it is bounded by the machine and by
    every control group that contains the process, directly or not; pages that the system can drop at any time, such as
    those of files that were read, are free. (psutil knows the machine's memory, but not the groups'.) Processes that a
    launcher has started on one machine usually do the same work, so each gets an equal share.

    Args:
        device: where tensors will be.
        root: root of the file system.
        environment: environment variables, for the launcher's.
    """
    if device.type == "cuda":
        free, size = torch.cuda.mem_get_info(device)
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return Room("the GPU", free + kept, size)
    trim()
    room = min((_machine(root), *_groups(root)), key=lambda room: room.free)
    stated = environment.get(SHARING, "")
    sharing = max(int(stated), 1) if stated.isdecimal() else 1
    if sharing == 1:
        return room
    return Room(f"{room.name} for each of {sharing} processes", room.free // sharing, room.size // sharing)


def resident(root: Path = ROOT) -> int | None:
    """Bytes of memory that the process uses now; None if the system does not say."""
    trim()
    found = _table(root / "proc/self/status").get("VmRSS")
    return None if found is None else found * 1024


def in_words(size: int) -> str:
    """A number of bytes in readable units."""
    power = sum(size >= 1024**number for number in range(1, len(UNITS)))
    return f"{significant(size / 1024**power, 3)} {UNITS[power]}"


def _machine(root: Path) -> Room:
    """The whole machine; all of it counts as free if the system does not say."""
    table = _table(root / "proc/meminfo")
    if "MemTotal" in table and "MemAvailable" in table:
        return Room("the machine", table["MemAvailable"] * 1024, table["MemTotal"] * 1024)
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 62
    return Room("the machine", size, size)


def _groups(root: Path) -> Iterator[Room]:
    """Each control group with a limit that contains the process, of version 1 or 2 of their file system."""
    for mounted, version in _mounts(root):
        for folder in mounted:
            yield from _group_v2(folder) if version == 2 else _group_v1(folder)


def _group_v2(folder: Path) -> Iterator[Room]:
    # Above memory.high a process is not killed, but throttled almost to a halt.
    limits = [found for name in ("memory.max", "memory.high") if (found := _number(folder / name)) is not None]
    used = _number(folder / "memory.current")
    if limits and used is not None:
        table = _table(folder / "memory.stat")
        cached = table.get("inactive_file", 0) + table.get("active_file", 0)
        yield _room(folder, min(limits), used, cached)


def _group_v1(folder: Path) -> Iterator[Room]:
    limit, used = _number(folder / "memory.limit_in_bytes"), _number(folder / "memory.usage_in_bytes")
    if limit is not None and used is not None and limit < 1 << 60:  # "no limit" is the largest number of pages
        table = _table(folder / "memory.stat")
        cached = table.get("total_inactive_file", 0) + table.get("total_active_file", 0)
        yield _room(folder, limit, used, cached)


def _room(folder: Path, limit: int, used: int, cached: int) -> Room:
    return Room(f"the control group {folder}", max(limit - max(used - cached, 0), 0), limit)


def _mounts(root: Path) -> Iterator[tuple[list[Path], int]]:
    """The process's group and its ancestors in each mounted hierarchy with a memory controller, and its version."""
    own: dict[int, str] = {}
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            own[2] = path
        elif "memory" in controllers.split(","):
            own[1] = path
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        head, tail = before.split(), after.split()
        if len(head) < 5 or len(tail) < 1:
            continue
        version = {"cgroup2": 2, "cgroup": 1}.get(tail[0], 0)
        if version in own and (version == 2 or "memory" in tail[-1].split(",")):
            yield _around(root, _unescaped(head[4]), _unescaped(head[3]), own[version]), version


def _around(root: Path, mount: str, shown: str, own: str) -> list[Path]:
    """The folders of a group and its ancestors; `shown` is the group at the mount point.

    In a container, a process may see only the part below its own group, or a path that leads out of it.
    """
    top = root / mount.lstrip("/")
    parts = Path(own.removeprefix(shown.rstrip("/")).lstrip("/")).parts
    inside = own == shown or own.startswith(f"{shown.rstrip('/')}/")
    if not inside or ".." in parts:
        return [top]
    return list(itertools.accumulate(parts, Path.joinpath, initial=top))[::-1]


def _unescaped(text: str) -> str:
    """Decode a path from mountinfo, which writes spaces, tabs, newlines and backslashes as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _table(path: Path) -> dict[str, int]:
    """Parse a file of lines `name number` or `name: number kB`; empty if it cannot be read."""
    rows = (line.replace(":", " ").split() for line in _lines(path))
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _number(path: Path) -> int | None:
    """The number in a file; None if it cannot be read, or contains `max`."""
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
