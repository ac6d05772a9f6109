"""Read known files from a possibly hostile .tar.gz: into memory, by exact name, within bounds."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pixkit.errors import DataError, reason

MEMBERS = 64
"""The most entries of an archive."""
SLACK = 2**22
"""Bytes that an archive may unpack to beyond the requested files."""
CHUNK = 2**18
"""Bytes unpacked at a time."""


class Bounded(io.RawIOBase):
    """A stream that refuses to return more than `limit` bytes, so that no archive unpacks without end."""

    def __init__(self, stream: io.BufferedIOBase, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def readable(self) -> bool:
        """See io.RawIOBase."""
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """See io.RawIOBase; raises tarfile.ReadError beyond the limit."""
        piece = self._stream.read(len(buffer))
        self._left -= len(piece)
        if self._left < 0:
            raise tarfile.ReadError("it unpacks to far more than the data set holds")
        buffer[: len(piece)] = piece
        return len(piece)


def members(archive: Path, wanted: Mapping[str, str], largest: int) -> dict[str, bytearray]:
    """Read files of a gzipped tar archive into memory.

    Args:
        archive: the .tar.gz file.
        wanted: paths of files in the archive, and their keys in the result.
        largest: the most bytes of a file.

    Raises:
        DataError: if the archive is damaged, lacks a file, contains links, devices or paths that lead out of it, or
            unpacks to more than the requested files can amount to.
    """
    found: dict[str, bytearray] = {}
    try:
        with gzip.open(archive) as packed:
            stream = Bounded(packed, len(wanted) * largest + SLACK)
            bounded = io.BufferedReader(stream, CHUNK)  # type: ignore[type-var]
            with tarfile.open(fileobj=bounded, mode="r|") as tar:
                for number, member in enumerate(tar):
                    _admit(member, number, archive)
                    name = wanted.get(member.name.removeprefix("./"))
                    if name is not None and member.isfile():
                        found[name] = _content(tar, member, largest, archive)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError) as error:
        raise DataError(
            "the archive is damaged", where=str(archive), found=str(error), hint="delete it and download it again"
        ) from error
    except OSError as error:
        raise DataError("cannot be read", where=str(archive), found=reason(error)) from error
    missing = [path for path, name in wanted.items() if name not in found]
    if missing:
        raise DataError("files are missing from the archive", where=str(archive), expected=", ".join(missing))
    return found


def leads_out(name: str) -> bool:
    """Whether a name in an archive leads out of the target folder, on any system."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not path.parts


def _admit(member: tarfile.TarInfo, number: int, archive: Path) -> None:
    if number >= MEMBERS:
        fault = f"more than {MEMBERS} entries"
    elif leads_out(member.name):
        fault = f"a path that leads out of it: {member.name}"
    elif not (member.isreg() or member.isdir()):
        fault = f"an entry that is neither file nor folder: {member.name}"
    else:
        return
    raise DataError("refused to read this archive", where=str(archive), found=fault)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, largest: int, archive: Path) -> bytearray:
    stream = tar.extractfile(member)
    if stream is None or not 0 <= member.size <= largest:
        raise DataError(
            "a file has an impossible size",
            where=f"{archive}: {member.name}",
            found=f"{member.size} bytes",
            expected=f"at most {largest}",
        )
    content = bytearray(member.size)
    with memoryview(content) as view:  # in pieces: at once it would be copied
        for start in range(0, member.size, CHUNK):
            stream.readinto(view[start : start + CHUNK])  # type: ignore[attr-defined]
    return content
