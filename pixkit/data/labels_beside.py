"""Labels in a file beside each image, of its name and another suffix: 0001.jpg and 0001.cls, as WebDataset has them."""

from __future__ import annotations

import re
from pathlib import Path

from pixkit.data.folders import Listing
from pixkit.data.packed import Member
from pixkit.data.picture import SUFFIXES as PICTURES
from pixkit.data.picture import BadPicture
from pixkit.data.table import SUFFIXES as TABLES
from pixkit.errors import DataError, listed, reason
from pixkit.files import open_regular

SUFFIX = re.compile(r"(\.[A-Za-z0-9_-]+)+")
"""A value of `data.labels` that is the suffix of such files."""
MOST = 4096
"""The largest size of a label in bytes."""


def suffix_of(labels: bool | str) -> str | None:
    """The suffix of files of labels; None if labels come from elsewhere.

    Raises:
        DataError: for a suffix of pictures.
    """
    if not isinstance(labels, str) or not SUFFIX.fullmatch(labels) or labels.lower() in TABLES:
        return None
    if labels.lower() in PICTURES:
        raise DataError(
            "pictures are no labels", where="data.labels", found=labels, expected=".cls, the suffix of files of labels"
        )
    return labels


def match_files(listing: Listing, suffix: str) -> tuple[dict[Path, str], int]:
    """The labels of a listing's images by path, as far as there are some, and how many files belong to no image.

    An image's file has its name, without the last suffix or else without further ones: beside a/7.rgb.png that is
    a/7.rgb.cls or, as WebDataset has it, a/7.cls.

    Args:
        listing: the images, and the files of labels, in its `beside`.
        suffix: of these.

    Raises:
        DataError: if a file cannot be read, or is not one line of text.
    """
    files = set(listing.beside)
    labels: dict[str, str] = {}
    found: dict[Path, str] = {}
    for name in listing.names:
        file = next((each for each in _candidates(name, suffix) if each in files), None)
        if file is not None:
            if file not in labels:
                labels[file] = _read(listing.file(file), listing.folder / file)
            found[listing.folder / name] = labels[file]
    return found, len(files) - len(labels)


def _candidates(name: str, suffix: str) -> list[str]:
    """The names that the file of an image's label may have."""
    folder, between, own = name.rpartition("/")
    parts = own.split(".")
    return [f"{folder}{between}{'.'.join(parts[:count])}{suffix}" for count in range(max(len(parts) - 1, 1), 0, -1)]


def _read(file: Path | Member, where: Path) -> str:
    """The line of a file."""
    try:
        if isinstance(file, Member):
            content = file.content()
        else:
            with open_regular(file) as opened:
                content = opened.read(MOST + 1)
    except BadPicture:
        raise
    except OSError as error:
        raise DataError("cannot be read", where=str(where), found=reason(error)) from error
    try:
        lines = content[: MOST + 1].decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        lines = []
    label, *more = [line.strip() for line in lines if line.strip()] or [""]
    if not label or more or len(content) > MOST:
        said = f"{len(content)} bytes" if len(content) > MOST or not lines else listed([label, *more]) or "nothing"
        raise DataError(
            "not a label",
            where=str(where),
            found=said,
            expected="one line of text, a class by name or number",
            hint="several labels for each image are not supported" if more else None,
        )
    return label
