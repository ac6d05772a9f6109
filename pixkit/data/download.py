"""Download published files: from several mirrors, resuming broken downloads, trusting only checksums."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pixkit.cache import VARIABLE
from pixkit.data.base import Progress
from pixkit.errors import DataError, reason
from pixkit.files import is_there, open_own
from pixkit.locks import Lease, system_lock

CHUNK = 2**18
TIMEOUT = 30.0
"""Seconds without a byte after which a connection is abandoned."""
OFFLINE = "PIXKIT_OFFLINE"
"""The environment variable that, set to anything, refuses downloads."""
ATTEMPTS = 4
"""Connections tried with one mirror; each continues where the last broke off."""


@dataclass(frozen=True)
class Remote:
    """A published file: its name, its published MD5, its size in bytes, and its locations."""

    name: str
    md5: str
    size: int
    mirrors: tuple[str, ...]


class _Broken(Exception):
    """A connection failed or returned the wrong file; another may do better."""


@contextmanager
def offline() -> Iterator[None]:
    """Context that refuses downloads: a missing file is an error that says which file to put where."""
    before = os.environ.get(OFFLINE)
    os.environ[OFFLINE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[OFFLINE]
        else:
            os.environ[OFFLINE] = before


def fetch(remote: Remote, folder: Path, names: Sequence[str], progress: Progress | None = None) -> Path:
    """The file's path in `folder`; it is downloaded if it is missing.

    It appears under its name only when complete and with the right checksum. Until then its first part is in NAME.part,
    and a later call continues from there. Processes that fetch the same file wait for one another. `names` are all the
    files that the data set needs: an error says where to put them by hand.

    Raises:
        DataError: if no mirror has it; the message says which file to put where.
    """
    target = folder / remote.name
    if is_there(target):
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{remote.name}.lock"):
            if not is_there(target):
                _from_mirrors(remote, target, names, progress)
    except OSError as error:
        raise DataError(
            "the download cannot be written",
            where=str(folder),
            found=reason(error),
            hint=f"{VARIABLE} names another folder for downloads",
        ) from error
    return target


def _from_mirrors(remote: Remote, target: Path, names: Sequence[str], progress: Progress | None) -> None:
    part = target.with_name(f"{target.name}.part")
    failures = []
    for url in remote.mirrors:
        try:
            _from_mirror(url, remote, part, progress)
        except _Broken as error:
            failures.append(f"{url}: {error}")
        else:
            os.replace(part, target)
            return
    raise DataError(
        f"{remote.name} could not be downloaded",
        where=str(target.parent),
        found="; ".join(failures),
        expected=f"a file with MD5 {remote.md5}",
        hint=f"without a network, put {', '.join(names)} into that folder, or name their folder in data.root",
    )


def _from_mirror(url: str, remote: Remote, part: Path, progress: Progress | None) -> None:
    """Fill `part` from one mirror, or raise _Broken."""
    for _ in range(ATTEMPTS):
        before = _size(part)
        if before < remote.size:
            try:
                _append(url, remote, part, progress)
            except _Broken:
                if _size(part) <= before:
                    raise
                continue
        found = _md5(part)
        if found == remote.md5:
            return
        part.unlink()
        if not before:
            raise _Broken(f"wrong checksum, MD5 {found}")
    raise _Broken(f"broke off {ATTEMPTS} times")


def _append(url: str, remote: Remote, part: Path, progress: Progress | None) -> None:
    """Download the rest of `part`. Raises _Broken for network failures, OSError for disk failures."""
    start = _size(part)
    with _open(url, start) as reply:
        done = _offset(reply, start)
        announced = reply.headers.get("Content-Length", "")
        if announced.isdecimal() and done + int(announced) != remote.size:
            raise _Broken(f"it has {done + int(announced)} bytes, not {remote.size}")
        with open(open_own(part, os.O_WRONLY | os.O_CREAT), "wb") as file:
            file.truncate(done)
            file.seek(done)
            for piece in _pieces(reply):
                file.write(piece)
                done += len(piece)
                if progress is not None:
                    progress(remote.name, done, remote.size)
                if done > remote.size:
                    break
            file.flush()
            os.fsync(file.fileno())
    if done < remote.size:
        raise _Broken(f"broke off after {done} of {remote.size} bytes")


def _open(url: str, start: int) -> http.client.HTTPResponse:
    if os.environ.get(OFFLINE):
        raise _Broken("not tried, since downloads are refused here")
    request = urllib.request.Request(url, headers={"User-Agent": "pixkit", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        out: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
        return out
    except urllib.error.HTTPError as error:
        error.close()
        raise _Broken(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(str(getattr(error, "reason", "") or error) or type(error).__name__) from error


def _offset(reply: http.client.HTTPResponse, start: int) -> int:
    """Where the reply's first byte belongs: a server may answer a request for the rest with the whole file."""
    if reply.status != 206:
        return 0
    place = re.match(r"bytes (\d+)-", reply.headers.get("Content-Range", ""))
    if not place or int(place[1]) != start:
        raise _Broken("the server did not continue at the requested offset")
    return start


def _pieces(reply: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            piece = reply.read(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(str(error) or type(error).__name__) from error
        if not piece:
            return
        yield piece


def _size(part: Path) -> int:
    return part.stat().st_size if is_there(part) else 0


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the system's lock, which ends with the process; if there are no locks, a lease."""
    with open(open_own(path, os.O_RDWR | os.O_CREAT, shared=True), "ab") as file:
        lease = Lease(path.with_suffix(".lease"))
        if not system_lock(file.fileno(), wait=True):
            lease.wait()
        try:
            yield
        finally:
            lease.release()
