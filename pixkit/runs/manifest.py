"""The manifest of a checkpoint, which vouches for itself and for the files beside it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from pixkit.errors import CheckpointError
from pixkit.files import kind_at
from pixkit.runs.places import MANIFEST, STEP, step_name
from pixkit.runs.runfile import MOST_JSON, RunFile, parse_json
from pixkit.runs.schema import Count, Record, typed

Migrations = Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]

FORMAT = 1
MIGRATIONS: Migrations = {}
"""Functions that turn a manifest of one format version into one of the next."""


class FileRecord(Record):
    """A file beside the manifest: its checksum, size and layout."""

    sha256: str
    bytes: Count
    layout: str


class Manifest(Record):
    """The contents of a manifest; `files` by name without suffix."""

    step: Count
    model: str
    files: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")], FileRecord]
    state: dict[str, Any]
    metrics: dict[str, Any]


def read_manifest(
    folder: Path,
    migrations: Migrations = MIGRATIONS,
    newest: int = FORMAT,
) -> Manifest:
    """Read and check a manifest, but not the tensors.

    Raises:
        CheckpointError: if it is missing, damaged, of a newer format, or of another step than the folder says.
    """
    path = folder / MANIFEST
    if kind_at(folder) != "a folder":
        raise CheckpointError("there is no checkpoint", where=str(folder), expected="a folder, not a link")
    body = decode_manifest(RunFile(path, MOST_JSON, error=CheckpointError).content(), path)
    body = _migrate(body, path, migrations, newest)
    manifest = typed(Manifest, body, str(path), error=CheckpointError)
    if re.fullmatch(STEP, folder.name) and folder.name != step_name(manifest.step):
        raise CheckpointError(
            "the manifest belongs to another checkpoint",
            where=str(path),
            found=f"step {manifest.step}",
            expected=folder.name,
        )
    return manifest


def encode_manifest(body: dict[str, Any]) -> bytes:
    """Encode the content with its checksum in the one canonical way, so that any changed byte is detected."""
    bare = {key: value for key, value in body.items() if key != "sha256"}
    return _canonical({**bare, "sha256": sha256(_canonical(bare))})


def decode_manifest(data: bytes, path: Path) -> dict[str, Any]:
    """The content of a manifest's bytes, read from `path`; CheckpointError unless `encode_manifest` wrote them."""
    try:
        body = parse_json(data)
        intact = isinstance(body, dict) and encode_manifest(body) == data
    except ValueError:
        intact = False
    if not intact:
        raise CheckpointError("damaged: its bytes are not those that were saved", where=str(path))
    out: dict[str, Any] = body
    return out


def _migrate(body: dict[str, Any], path: Path, migrations: Migrations, newest: int) -> dict[str, Any]:
    while type(version := body.get("format")) is not int or version != newest:
        if type(version) is not int or version not in migrations:
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
    """The digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
