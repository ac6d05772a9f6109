"""Reading files that nobody vouches for yet."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from pixkit.errors import CheckpointError, RunError


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file; links, folders, pipes and devices are refused without waiting for them.

    Raises:
        CheckpointError: if it is missing, or not a regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        reason = "a link" if error.errno == errno.ELOOP else error.strerror or str(error)
        raise CheckpointError("cannot be read", where=str(path), found=reason, expected="a regular file") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        found = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise CheckpointError("cannot be read", where=str(path), found=found, expected="a regular file")
    with open(descriptor, "rb") as file:
        return file.read()


def read_line(path: Path, pattern: str) -> str:
    """The one line of a text file that must match `pattern`, a regular expression.

    Raises:
        CheckpointError: if the file is missing or says something else.
    """
    text = read_regular(path).decode("utf-8", "replace").removesuffix("\n")
    if not re.fullmatch(pattern, text):
        raise CheckpointError("unreadable", where=str(path), found=repr(text[:80]), expected=f"a line like {pattern}")
    return text


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file of a run says; empty where there is none, as a killed build may leave it.

    Raises:
        RunError: if it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RunError("cannot be read", where=str(path), found=str(error)) from None
