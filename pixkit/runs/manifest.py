"""The manifest of a checkpoint, which vouches for itself and for the files beside it."""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixkit.errors import CheckpointError
from pixkit.files import open_regular

Migrations = Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]

FORMAT = 1
MANIFEST = "manifest.json"
MIGRATIONS: Migrations = {}
"""From a format to the next: what makes of that version's manifest the following version's."""


@dataclass(frozen=True)
class Manifest:
    """What a manifest says. `files` has, by name without suffix, sha256, bytes and layout of each."""

    step: int
    model: str
    files: dict[str, dict[str, Any]]
    state: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)


def read_manifest(
    folder: Path,
    migrations: Migrations = MIGRATIONS,
    newest: int = FORMAT,
) -> Manifest:
    """Read and check a manifest; the tensors are not read yet.

    Raises:
        CheckpointError: if it is missing, damaged, of a newer format, or of another step than the folder says.
    """
    path = folder / MANIFEST
    if folder.is_symlink() or not folder.is_dir():
        raise CheckpointError("there is no checkpoint", where=str(folder), expected="a folder, not a link")
    body = decode_manifest(read_bytes(path), path)
    body = _migrate(body, path, migrations, newest)
    manifest = _typed(body, path)
    named = re.fullmatch(r"step-(\d+)", folder.name)
    if named and int(named[1]) != manifest.step:
        raise CheckpointError(
            "the manifest belongs to another checkpoint",
            where=str(path),
            found=f"step {manifest.step}",
            expected=folder.name,
        )
    return manifest


def read_bytes(path: Path) -> bytes:
    """The bytes of one of a run's files.

    Raises:
        CheckpointError: if it is missing, or a link, a folder, a pipe or a device.
    """
    try:
        with open_regular(path, links=False) as file:
            return file.read()
    except OSError as error:
        reason = "a link" if error.errno == errno.ELOOP else error.strerror or str(error)
        raise CheckpointError("cannot be read", where=str(path), found=reason, expected="a regular file") from None


def read_line(path: Path, pattern: str) -> str:
    """The one line of a text file that must match `pattern`, a regular expression.

    Raises:
        CheckpointError: if the file is missing or says something else.
    """
    text = read_bytes(path).decode("utf-8", "replace").removesuffix("\n")
    if not re.fullmatch(pattern, text):
        raise CheckpointError("unreadable", where=str(path), found=repr(text[:80]), expected=f"a line like {pattern}")
    return text


def _typed(body: dict[str, Any], path: Path) -> Manifest:
    """The manifest of a body that is intact, but may have been written by anyone."""
    shape = {"step": int, "model": str, "files": dict, "state": dict, "metrics": dict}
    for key, kind in shape.items():
        if not isinstance(body.get(key), kind):
            raise CheckpointError(f"the key '{key}' is missing or wrong", where=str(path), expected=kind.__name__)
    for name, record in body["files"].items():
        if not isinstance(record, dict) or not {"sha256", "bytes", "layout"} <= set(record):
            raise CheckpointError(f"the record of '{name}' is incomplete", where=str(path))
    return Manifest(**{key: body[key] for key in shape})


def encode_manifest(body: dict[str, Any]) -> bytes:
    """The one way to write this content, with its checksum: so that any changed byte shows."""
    bare = {key: value for key, value in body.items() if key != "sha256"}
    return _canonical({**bare, "sha256": sha256(_canonical(bare))})


def decode_manifest(data: bytes, path: Path) -> dict[str, Any]:
    """The content of a manifest's bytes, read from `path`; CheckpointError unless `encode_manifest` wrote them."""
    try:
        body = json.loads(data)
        intact = isinstance(body, dict) and encode_manifest(body) == data
    except (ValueError, RecursionError):
        intact = False
    if not intact:
        raise CheckpointError("damaged: its bytes are not those that were saved", where=str(path))
    return body


def _migrate(body: dict[str, Any], path: Path, migrations: Migrations, newest: int) -> dict[str, Any]:
    while body.get("format") != newest:
        version = body.get("format")
        if not isinstance(version, int) or version not in migrations:
            raise CheckpointError(
                "a checkpoint format that this pixkit does not read",
                where=str(path),
                found=f"format {version}",
                expected=f"format {newest} or older",
                hint="use a newer pixkit",
            )
        body = migrations[version](body)
    return body


def _canonical(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def sha256(data: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(data).hexdigest()
