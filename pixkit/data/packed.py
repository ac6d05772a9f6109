"""Files in zip and tar archives, which may be hostile: read in place, nothing is unpacked to disk."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from pixkit.data.archive import CHUNK, Bounded, leads_out
from pixkit.data.contents import HEAD, told
from pixkit.data.fitting import BadPicture
from pixkit.errors import DataError, reason
from pixkit.files import is_file, is_folder, open_regular

LARGEST = 2**28
"""The most bytes of a file in an archive."""
UNPACKED = 2**31
"""The most bytes that a compressed tar archive may unpack to: to find a file, everything before it is unpacked."""
OPENERS: dict[str, Callable[[Any], Any]] = {
    "a gzip archive": gzip.open,
    "a bzip2 archive": bz2.open,
    "an xz archive": lzma.open,
}
"""For compressed tar archives, by the description that `told` returns."""
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    KeyError,
)
"""Errors of the standard library for archives that are damaged, encrypted, or packed with unknown methods."""

Reading: TypeAlias = Callable[[int], bytes]
"""Called as read(bytes at most)."""


@dataclass(frozen=True)
class Member:
    """A file of an archive."""

    archive: Path
    name: PurePosixPath
    size: int
    read: Reading

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}"

    @property
    def suffix(self) -> str:
        """The suffix, as for a path."""
        return self.name.suffix

    def content(self) -> bytes:
        """Its bytes.

        Raises:
            BadPicture: if it is damaged, encrypted or too large.
            DataError: if the system cannot read the archive.
        """
        if self.size > LARGEST:
            raise BadPicture(
                "the file is too large", where=str(self), found=f"{self.size:,} bytes", expected=f"at most {LARGEST:,}"
            )
        try:
            content = self.read(self.size)
        except OSError as error:
            raise DataError("cannot be read", where=str(self.archive), found=reason(error)) from error
        except DAMAGE as error:
            raise BadPicture("damaged in its archive", where=str(self), found=str(error)) from error
        if len(content) != self.size:
            raise BadPicture("cut short in its archive", where=str(self), found=f"{len(content)} bytes")
        return content


def within(path: Path) -> tuple[Path, PurePosixPath] | None:
    """The file that a path leads into, and the folder in it; None if it leads to a folder, or nowhere."""
    for file in (path, *path.parents):
        if is_folder(file):
            return None
        if is_file(file):
            return file, PurePosixPath(path.relative_to(file).as_posix())
    return None


def members(archive: Path) -> dict[PurePosixPath, Member]:
    """The files of an archive, by their paths in it; of several with one path the last, as if unpacked.

    Raises:
        DataError: if it is damaged, not a zip or tar archive, or contains paths that lead out of it.
    """
    try:
        file = open_regular(archive)
        head = file.read(HEAD)
        found = told(head)
        if found in ("a zip archive", "an empty zip archive"):
            files = list(_zipped(file, archive))
        elif found == "a tar archive":
            files = list(_in_tar(file, archive))
        elif found in OPENERS:
            files = list(_in_packed_tar(file, archive, OPENERS[found]))
        else:
            file.close()
            raise DataError(
                "neither a folder nor an archive",
                where=str(archive),
                found=found or "a file of unknown content",
                expected="a folder, or a zip or tar archive",
            )
    except OSError as error:
        raise DataError("cannot be read", where=str(archive), found=reason(error)) from error
    except DAMAGE as error:
        raise DataError(
            "the archive is damaged, or not an archive of files", where=str(archive), found=str(error)
        ) from error
    return {member.name: member for member in files}


def _zipped(file: Any, archive: Path) -> Iterator[Member]:
    opened = zipfile.ZipFile(file)
    weakref.finalize(opened, file.close)
    for info in opened.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if not info.orig_filename.endswith("/") and kind in (0, stat.S_IFREG):
            yield Member(archive, _admitted(info.orig_filename, archive), info.file_size, _ZipRead(opened, info))


@dataclass(frozen=True)
class _ZipRead:
    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    def __call__(self, most: int) -> bytes:
        with self.archive.open(self.info) as member:
            return member.read(most)


@dataclass(frozen=True)
class _TarRead:
    file: Any
    start: int

    def __call__(self, most: int) -> bytes:
        self.file.seek(self.start)
        out: bytes = self.file.read(most)
        return out


@dataclass(frozen=True)
class _Held:
    held: bytes

    def __call__(self, most: int) -> bytes:
        return self.held


class _Kept:
    """An open file that is closed when nothing reads from it any more."""

    def __init__(self, file: Any) -> None:
        self.seek, self.read = file.seek, file.read
        weakref.finalize(self, file.close)


def _in_tar(file: Any, archive: Path) -> Iterator[Member]:
    kept = _Kept(file)
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for info in tar:
            if info.isreg() and not info.issparse():
                yield Member(archive, _admitted(info.name, archive), info.size, _TarRead(kept, info.offset_data))


def _in_packed_tar(file: Any, archive: Path, unpack: Callable[[Any], Any]) -> Iterator[Member]:
    """The files of a compressed archive, which is read once, into memory."""
    file.seek(0)
    with file, unpack(file) as packed:
        bounded = io.BufferedReader(Bounded(packed, UNPACKED), CHUNK)  # type: ignore[type-var]
        with tarfile.open(fileobj=bounded, mode="r|") as tar:
            for info in tar:
                if not info.isreg() or info.issparse():
                    continue
                name = _admitted(info.name, archive)
                if _hidden(name):
                    continue
                stream = tar.extractfile(info) if info.size <= LARGEST else None
                yield Member(archive, name, info.size, _Held(b"" if stream is None else stream.read()))


def _admitted(name: str, archive: Path) -> PurePosixPath:
    if leads_out(name):
        raise DataError(
            "refused to read this archive", where=str(archive), found=f"a path that leads out of it: {name!r}"
        )
    return PurePosixPath(name)


def _hidden(name: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in name.parts)


def visible(files: Mapping[PurePosixPath, Member], folder: PurePosixPath) -> dict[PurePosixPath, Member]:
    """The files below a folder of an archive, by their paths in it, without hidden ones."""
    inside = {name: file for name, file in files.items() if name.is_relative_to(folder) and not _hidden(name)}
    return {name.relative_to(folder): file for name, file in inside.items()}
