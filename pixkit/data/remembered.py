"""Folders of pictures that were decoded before: read back from what was kept, where nothing of them has changed."""

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
"""So many files, or so many bytes of them, take long enough to decode that what comes of it is kept."""
SETTLED = 2.0
"""Seconds that files have to be unchanged: within the precision of a file system's times a change would not show."""
DECODERS = ("depth", "fitting", "jpegxl", "levels", "picture", "planes", "reading", "remembered")
"""Modules of this package that decide what a file is decoded to."""
LIBRARIES = ("tifffile", "imagecodecs")
CODECS = ("libjpeg_turbo", "jpg", "webp", "libtiff")


@dataclass(frozen=True)
class _Stamp:
    """What files are known by without being read: paths, sizes and times."""

    digest: str
    files: int
    size: int
    newest: float
    """When one of them changed last, in seconds since the epoch."""


def recall_folder(listing: Listing, how: How, progress: Progress | None) -> Folder:
    """`read_folder`, or what it gave of the same files before, by the same decoders; a note says so.

    Raises:
        DataError: as `read_folder`.
    """
    began, stamp = time.time(), _stamp(listing)
    if stamp is None or not kept.most() or (stamp.files < FEWEST and stamp.size < LEAST):
        return read_folder(listing, how, progress)
    key = _key(stamp, how)
    if (found := kept.find(key)) is not None:
        pixels, facts = found
        names = [listing.names[number] for number in facts["files"]]
        said = f"the images of {listing.folder} were decoded before: {in_words(pixels.nbytes)} are read from "
        said += f"{kept.folder()} (pixkit cache lists what is kept, and clears it)"
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
    """The file of each image that `read_folder` gives, told without reading any; None where that is not known."""
    if how.each_one:
        return listing.names
    stamp = _stamp(listing)
    found = None if stamp is None else kept.find(_key(stamp, how, "files"))
    return None if found is None else [listing.names[number] for number in found[0]]


def _key(stamp: _Stamp, how: How, *more: str) -> str:
    return kept.key_of(stamp.digest, asdict(how), decoding(), *more)


def decoding() -> list[Any]:
    """What decides, besides the files, which levels they are decoded to: pixkit's own code, and libraries."""
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
    """None where the system does not say: who reads the files meets the reason."""
    try:
        if listing.packed is None:
            files = [_facts(f"{listing.folder}/{name}") for name in listing.names]
            sizes = [size for size, _, _ in files]
        else:  # of its files an archive's own times tell
            files = [_facts(archive) for archive in sorted({member.archive for member in listing.packed.values()})]
            sizes = [listing.packed[name].size for name in listing.names]
    except OSError:
        return None
    known = "\0".join([str(listing.folder), *listing.names, repr(sizes), repr(files)])
    newest = max(max(modified, changed) for _, modified, changed in files) / 1e9
    return _Stamp(hashlib.sha256(os.fsencode(known)).hexdigest(), len(sizes), sum(sizes), newest)


def _facts(file: str | Path) -> tuple[int, int, int]:
    """Size of a file, and when it and its entry changed last, in nanoseconds."""
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
