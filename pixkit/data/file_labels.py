"""Labels of image files by path: from a table, or from a file beside each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pixkit.data.folders import Listing
from pixkit.data.labels_beside import match_files, suffix_of
from pixkit.data.reading import left_out
from pixkit.data.table import match_table, parts_of
from pixkit.errors import DataError, listed


def labels_of_files(
    labels: bool | str, parts: dict[str, Listing], resolve: Callable[[str], Path], *, skip: bool
) -> tuple[dict[Path, str] | None, list[str]]:
    """The labels of the files, and notes on them; None if they are not in files.

    Args:
        labels: the recipe's `data.labels`.
        parts: the files by split; reduced to those that have a label.
        resolve: makes a path of the recipe absolute.
        skip: whether files without a label are left out, and named by a note.

    Raises:
        DataError: as for `match_table` and `match_files`; if files have no label and are not left out.
    """
    if not isinstance(labels, str):
        return None, []
    suffix = suffix_of(labels)
    return _of_table(labels, parts, resolve, skip) if suffix is None else _beside(suffix, parts, skip)


def _of_table(
    labels: str, parts: dict[str, Listing], resolve: Callable[[str], Path], skip: bool
) -> tuple[dict[Path, str], list[str]]:
    path = resolve(parts_of(labels)[0])
    matched = match_table(labels, path, [listing.folder / name for listing in parts.values() for name in listing.names])
    notes = [f"{matched.unused} of {matched.rows} rows of {path} match no image here"] if matched.unused else []
    for split, listing in parts.items():
        lacking = _lacking(listing, matched.labels)
        if lacking and not skip:
            raise DataError(
                "images missing from the table of labels",
                where=str(path),
                found=f"{len(lacking)} of {len(listing.names)} in {listing.folder}: {listed(lacking)}",
                expected="a row for each image",
                hint="data.on_bad=skip leaves them out",
            )
        notes += left_out([f"{name} (not in {path.name})" for name in lacking], listing)
        parts[split] = _labelled(listing, matched.labels)
    return matched.labels, notes


def _beside(suffix: str, parts: dict[str, Listing], skip: bool) -> tuple[dict[Path, str], list[str]]:
    found: dict[Path, str] = {}
    notes: list[str] = []
    for split, listing in parts.items():
        own, unused = match_files(listing, suffix)
        found |= own
        lacking = _lacking(listing, own)
        if lacking and not skip:
            raise DataError(
                "images without a file of their label",
                where=str(listing.folder),
                found=f"{len(lacking)} of {len(listing.names)}: {listed(lacking)}",
                expected=f"a file {suffix} beside each image, with the same name",
                hint="data.on_bad=skip leaves them out",
            )
        if unused:
            notes.append(f"{unused} of {len(listing.beside)} files {suffix} in {listing.folder} match no image")
        notes += left_out([f"{name} (no {suffix})" for name in lacking], listing)
        parts[split] = _labelled(listing, own)
    return found, notes


def _lacking(listing: Listing, labels: Mapping[Path, str]) -> list[str]:
    return [name for name in listing.names if listing.folder / name not in labels]


def _labelled(listing: Listing, labels: Mapping[Path, str]) -> Listing:
    return replace(listing, names=[name for name in listing.names if listing.folder / name in labels])
