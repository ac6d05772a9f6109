"""What can stand where a file of a run should: seeded damage to its bytes, other values, other kinds of file."""

import copy
import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pixkit.recipe import dump_yaml, parse_yaml
from pixkit.runs.contents import LOCK_HEADER
from pixkit.runs.manifest import encode_manifest

DEEP = 20_000
"""Levels of nesting that no parser should follow."""
SPARSE = 2**40
MOVED = "moved"
HUGE = 10**30
ODD = (None, True, -1, 0, 7, 1.5, HUGE, 1e300, "", "x", "\n\x1b[31m", [], [1], {}, {"a": 1})
"""What a value may become."""


@dataclass(frozen=True)
class Mutation:
    """A change to the file `file`, whose path within the run is given; `apply` is called with its full path.

    `sort` is kind, bytes, or saying: it is another kind of file, has other bytes, or is whole and says odd things.
    """

    file: str
    sort: str
    name: str
    apply: Callable[[Path], None]

    def __str__(self):
        return f"{self.file}: {self.name}"


def mutations(run, file):
    """All mutations of a file of a sound run: of its kind, of its bytes, and of what it says."""
    content = (run / file).read_bytes()
    sorts = {
        "kind": _kinds(),
        "bytes": _damaged(content, random.Random(file)),
        "saying": _said(Path(file).name, content),
    }
    return [
        Mutation(file, sort, name, change if callable(change) else _writing(change))
        for sort, found in sorts.items()
        for name, change in found
    ]


def _kinds():
    """What is not the file that it should be."""
    yield "missing", Path.unlink
    yield "a folder", lambda path: (path.unlink(), path.mkdir())
    yield "a pipe", lambda path: (path.unlink(), os.mkfifo(path))
    yield "a device", lambda path: (path.unlink(), path.symlink_to("/dev/zero"))
    yield "a link to nowhere", lambda path: (path.unlink(), path.symlink_to("absent"))
    yield "a link to itself", lambda path: (path.unlink(), path.symlink_to(path.name))
    yield "a link to the same", lambda path: (path.rename(path.with_name(MOVED)), path.symlink_to(MOVED))
    yield "sparse", lambda path: os.truncate(path, SPARSE)
    if os.geteuid() != 0:
        yield "not to be read", lambda path: path.chmod(0)


def _writing(data):
    return lambda path: path.write_bytes(data)


def _revising(value, place, new, encode):
    """Writes a value with another member at a place, or without it; nothing is copied or encoded before that."""
    return lambda path: path.write_bytes(encode(_with(value, place, new)))


def _damaged(content, chance):
    """Bytes with one bit or some more of them changed, fewer or more of them, or in another encoding."""
    yield "empty", b""
    yield "cut in half", content[: len(content) // 2]
    yield "without its last byte", content[:-1]
    yield "twice", content * 2
    yield "with more at its end", content + b"\xff\x00garbage"
    yield "with a byte-order mark", b"\xef\xbb\xbf" + content
    yield "in UTF-16", content.decode("latin-1").encode("utf-16")
    yield "with other line ends", content.replace(b"\n", b"\r\n")
    yield "zeros", bytes(len(content))
    yield "brackets", b"[" * DEEP
    yield "braces", b'{"a":' * DEEP
    yield "a long line", b"x" * 900_000
    yield "many lines", b"x: 1\n" * 150_000
    for _ in range(6):
        flipped = bytearray(content)
        bit = chance.randrange(8 * len(content))
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit} flipped", bytes(flipped)
        at = chance.randrange(len(content))
        yield f"cut at {at}", content[:at]


def _said(name, content):
    """Files that are whole and say something else."""
    if name == "recipe.lock.yaml":
        plain = parse_yaml(content.decode(), name).plain()
        yield from _revised(plain, lambda value: (LOCK_HEADER + dump_yaml(value)).encode())
    elif name == "manifest.json":
        yield from _revised(json.loads(content), _vouched)
    elif name.endswith(".json"):
        yield from _revised(json.loads(content), lambda value: json.dumps(value).encode())
        yield from _as_text(content, b"")
    elif name == "metrics.jsonl":
        first, rest = content.split(b"\n", 1)
        yield from _revised(json.loads(first), lambda value: json.dumps(value).encode() + b"\n" + rest)
        yield from _as_text(first, b"\n" + rest)
    elif name in ("last", "best"):
        lines = (
            "step-9",
            "step-4 ",
            "step-02",
            "step-²",
            "step-" + "9" * 90,
            "../step-2",
            "/etc",
            "best",
            "step-4\n\n",
        )
        yield from ((f"saying {line!r}", f"{line}\n".encode()) for line in lines)


def _vouched(value):
    """A manifest with the checksum of what it says; anything but a mapping has none."""
    return encode_manifest(value) if isinstance(value, dict) else json.dumps(value).encode()


def _as_text(content, rest):
    """JSON that no plain data give."""
    body = content.decode().strip()
    for name, text in (
        ("a key twice", '{"step": 1, "step": 2, '),
        ("NaN", '{"new": NaN, '),
        ("an infinite number", '{"new": 1e999, '),
        ("a number without end", f'{{"new": {"9" * 5000}, '),
        ("half a surrogate pair", '{"\\ud800": "\\udfff", '),
    ):
        yield name, body.replace("{", text, 1).encode() + rest


def _revised(value, encode):
    """Each member odd, missing or deep, and members that are new."""
    for place in [(), *_places(value)]:
        where = ".".join(map(str, place)) or "all"
        for odd in ODD:
            yield f"{where} = {odd!r}", _revising(value, place, odd, encode)
        yield f"{where} nested", _revising(value, place, _nested(40), encode)
        if place:
            yield f"{where} missing", _revising(value, place, KeyError, encode)
        here = _at(value, place)
        if isinstance(here, dict):
            yield f"{where} with a new key", _revising(value, place, {**here, "of_a_newer_pixkit": [1]}, encode)
            yield f"{where} of a newer format", _revising(value, place, {**here, "format": 99}, encode)


def _nested(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def _places(value, place=()):
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield (*place, key)
        yield from _places(member, (*place, key))


def _at(value, place):
    for key in place:
        value = value[key]
    return value


def _with(value, place, new):
    """A copy with another member at a place, or without it (KeyError)."""
    if not place:
        return new
    changed = copy.deepcopy(value)
    holder = _at(changed, place[:-1])
    if new is KeyError:
        del holder[place[-1]]
    else:
        holder[place[-1]] = new
    return changed
