"""Where compiled code is kept between processes: whole files, in folders that only this user can write."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pixkit.cache import cache_dir, require_private, temporary_dir
from pixkit.files import open_regular, sync_folder
from pixkit.locks import system_lock

LARGEST = 2**24
"""Bytes above which a library is not one of ours."""


def places() -> tuple[Path, ...]:
    """Folders to keep libraries in, the best first: in the cache, and among the temporary files."""
    found = [cache_dir() / "native"]
    with contextlib.suppress(OSError):  # there may be no folder for temporary files
        found.append(temporary_dir() / "native")
    return tuple(dict.fromkeys(found))


def find(folder: Path, key: str, suffix: str = ".so") -> Path | None:
    """Find the library, or other file with the suffix, kept under that key; None if there is none that is whole and
    that only this user can have put there.

    Its name ends in the hash of its content, so that a file cut short by a full disk or a power failure is recognised:
    loading it might crash.
    """
    try:
        require_private(folder)
        for path in sorted(folder.glob(f"kernel-{key}-*{suffix}")):
            with contextlib.suppress(OSError), open_regular(path, links=False, most=LARGEST) as file:
                if path.name == _name(key, file.read(), suffix):
                    return path
    except OSError:
        return None
    return None


def keep(built: Path, folder: Path, key: str, suffix: str = ".so") -> Path:
    """Copy a library into a folder, which is made if necessary; return its path there.

    Raises:
        OSError: if it cannot be written, or if others can write there: a library is code.
    """
    _made(folder)
    content = built.read_bytes()
    target = folder / _name(key, content, suffix)
    temporary = folder / f".{target.stem}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        sync_folder(folder)
    finally:
        temporary.unlink(missing_ok=True)
    return target


@contextlib.contextmanager
def one_at_a_time(folders: Iterable[Path]) -> Iterator[None]:
    """Mutual exclusion among processes that keep files in these folders, or in one of them.

    Processes that start together, as the ranks of a launcher do, would all compile the same. If no folder can be
    locked, nobody waits.
    """
    with contextlib.ExitStack() as stack:
        for folder in folders:
            with contextlib.suppress(OSError):
                _made(folder)
                descriptor = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, descriptor)
                if system_lock(descriptor, wait=True):
                    break
        yield


def _made(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)
    require_private(folder)


def _name(key: str, content: bytes, suffix: str) -> str:
    return f"kernel-{key}-{hashlib.sha256(content).hexdigest()[:32]}{suffix}"
