"""Cached folders of decoded pictures: read back from the cache if none of their files has changed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.resources
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import features

from pixkit.data import kept
from pixkit.data.base import Progress
from pixkit.data.folders import Listing
from pixkit.data.reading import Folder, How, read_folder
from pixkit.memory import in_words

FEWEST, LEAST = 1000, 2**24
"""With this many files, or this many bytes, decoding takes long enough that the result is cached."""
SETTLED = 2.0
"""Seconds for which files must be unchanged: within the resolution of file times a change would not show."""
DECODERS = ("depth", "fitting", "jpegxl", "levels", "picture", "planes", "reading", "remembered")
"""Modules of this package that determine how a file is decoded."""
LIBRARIES = ("tifffile", "imagecodecs")
CODECS = ("libjpeg_turbo", "jpg", "webp", "libtiff")


@dataclass(frozen=True)
class _Stamp:
    """Identity of files without reading them: paths, sizes and times."""

    digest: str
    files: int
    size: int
    newest: float
    """When one of them last changed, in seconds since the epoch."""


def recall_folder(listing: Listing, how: How, progress: Progress | None) -> Folder:
    """`read_folder`, or its earlier result for the same files and decoders; a note says so.

    Raises:
        DataError: as for `read_folder`.
    """
    began, stamp = time.time(), _stamp(listing)
    if stamp is None or not kept.most() or (stamp.files < FEWEST and stamp.size < LEAST):
        return read_folder(listing, how, progress)
    key = _key(stamp, how)
    if (found := kept.find(key)) is not None:
        pixels, facts = found
        names = [listing.names[number] for number in facts["files"]]
        said = f"the images of {listing.folder} were decoded before: {in_words(pixels.nbytes)} are read from "
        said += f"{kept.folder()} (pixkit cache lists the cache, and clears it)"
        return Folder(listing, torch.from_numpy(pixels), names, [*listing.notes, *facts["notes"], said])
    read = read_folder(listing, how, progress)
    if 0 <= stamp.newest < began - SETTLED and _stamp(listing) == stamp:
        numbers = {name: number for number, name in enumerate(listing.names)}
        files = [numbers[name] for name in read.names]
        own = list(read.notes[len(listing.notes) :])
        kept.keep(key, read.pixels.numpy(), {"of": str(listing.folder), "files": files, "notes": own})
        if not how.each_one:
            said = f"{listing.folder}: which files are used"
            kept.keep(_key(stamp, how, "files"), np.array(files, np.int32), {"of": said})
    return read


def files_used(listing: Listing, how: How) -> list[str] | None:
    """The file of each image of `read_folder`, without reading any; None if unknown."""
    if how.each_one:
        return listing.names
    stamp = _stamp(listing)
    found = None if stamp is None else kept.find(_key(stamp, how, "files"))
    return None if found is None else [listing.names[number] for number in found[0]]


def _key(stamp: _Stamp, how: How, *more: str) -> str:
    return kept.key_of(stamp.digest, asdict(how), decoding(), *more)


def decoding() -> list[Any]:
    """Versions that determine the decoded levels besides the files: of pixkit's own code, and of libraries."""
    code = hashlib.sha256()
    for name in DECODERS:
        code.update(importlib.resources.files("pixkit.data").joinpath(f"{name}.py").read_bytes())
    codecs = [features.version(name) for name in CODECS]
    return [code.hexdigest(), PIL.__version__, *codecs, *map(_version, LIBRARIES)]


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _stamp(listing: Listing) -> _Stamp | None:
    """None if the system does not say: reading the files will report the reason."""
    try:
        if listing.packed is None:
            files = [_facts(f"{listing.folder}/{name}") for name in listing.names]
            sizes = [size for size, _, _ in files]
        else:  # an archive's own times cover its files
            files = [_facts(archive) for archive in sorted({member.archive for member in listing.packed.values()})]
            sizes = [listing.packed[name].size for name in listing.names]
    except OSError:
        return None
    known = "\0".join([str(listing.folder), *listing.names, repr(sizes), repr(files)])
    newest = max(max(modified, changed) for _, modified, changed in files) / 1e9
    return _Stamp(hashlib.sha256(os.fsencode(known)).hexdigest(), len(sizes), sum(sizes), newest)


def _facts(file: str | Path) -> tuple[int, int, int]:
    """Size of a file, and when it and its entry last changed, in nanoseconds."""
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
