"""Decode a pickle of plain data and NumPy arrays without running any of it.

A pickle is a program; pickle.load runs it, and the names in it can be any function. Here the program's opcodes, which
the standard library's pickletools lists and reads, build plain values; a name is kept as a text, and a call as a tuple
of its arguments. Only the names used for NumPy's arrays and Python 2's bytes have a meaning, which is defined in this
file.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
VALUES = frozenset(
    (
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINFLOAT",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINSTRING",
        "SHORT_BINSTRING",
    )
)
OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
LENGTHS = {"BINBYTES": 4, "SHORT_BINBYTES": 1, "BINSTRING": 4, "SHORT_BINSTRING": 1}
"""For bytes, and for texts of Python 2, which are bytes, too: how many bytes encode their length."""
LARGE = 2**16
"""From this many bytes on they are not copied."""
SKIPPED = frozenset(("PROTO", "FRAME"))
TYPES = frozenset(("u1", "i1", "i8", "i4", "b1"))
"""NumPy types that arrays may have."""
MOST = 10**7
"""The most opcodes that are followed."""


class NotPlain(Exception):
    """The pickle contains something else, named by the argument."""


@dataclass
class _Made:
    """A name's call with some arguments, and the state that the object would get, instead of the object."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(frozen=True)
class _Name:
    text: str


_MARK = object()


class _Stream:
    """The unread part of a pickle, as `pickletools` reads it."""

    def __init__(self, content: bytes | bytearray) -> None:
        self._content, self._at = content, 0
        self._view = memoryview(content)

    def view(self, count: int) -> memoryview:
        found = self._view[self._at : self._at + max(count, 0)]
        self._at += len(found)
        return found

    def read(self, count: int) -> bytes:
        return bytes(self.view(count))

    def readline(self) -> bytes:
        return self.read(self._content.find(b"\n", self._at) + 1 - self._at)


def plain(content: bytes | bytearray) -> Any:
    """The value of a pickle: dicts, lists, tuples, numbers, bytes, texts and arrays of plain numbers.

    Arrays are views of the content if their values are stored there unencoded.

    Raises:
        NotPlain: for anything else.
        ValueError: if the pickle is damaged.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for number, (name, argument) in enumerate(_steps(content)):
        if number > MOST:
            raise NotPlain(f"more than {MOST} steps")
        try:
            if name == "STOP":
                return _value(stack.pop())
            _follow(name, argument, stack, memo)
        except RecursionError as error:  # for example, of a list that contains itself
            raise NotPlain("values too deep within others") from error
        except (IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"{name} at step {number}: {error}") from error
    raise ValueError("the pickle has no end")


def _steps(content: bytes | bytearray) -> Iterator[tuple[str, Any]]:
    """The opcodes' names and arguments, like `pickletools.genops`, but without copying long bytes."""
    stream = _Stream(content)
    while code := stream.read(1):
        if (opcode := OPCODES.get(code)) is None:
            raise ValueError(f"there is no opcode {code!r}")
        argument: Any = None
        if opcode.name in LENGTHS:
            count = int.from_bytes(stream.read(LENGTHS[opcode.name]), "little")
            argument = stream.view(count)
            if len(argument) < count:
                raise ValueError(f"{opcode.name}: {len(argument)} bytes of {count}")
            argument = argument if count >= LARGE else bytes(argument)
        elif opcode.arg is not None:
            argument = opcode.arg.reader(cast(BinaryIO, stream))
        yield opcode.name, argument


def _follow(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """One step of the program."""
    if name in VALUES:
        stack.append(argument)
    elif name in CONSTANTS:
        stack.append(CONSTANTS[name])
    elif name in ("BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name == "MARK":
        stack.append(_MARK)
    elif name in ("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"):
        _call(name, argument, stack)
    elif name not in SKIPPED:
        _collect(name, stack)


def _call(name: str, argument: Any, stack: list[Any]) -> None:
    """Record what would name, call or fill an object."""
    if name == "GLOBAL":
        stack.append(_Name(argument))
        return
    above = stack.pop()
    if name == "STACK_GLOBAL":
        stack.append(_Name(f"{stack.pop()} {above}"))
    elif name == "REDUCE":
        stack.append(_Made(stack.pop().text, above))
    else:
        stack[-1].state = above


def _collect(name: str, stack: list[Any]) -> None:
    """Lists, tuples and dictionaries."""
    if name in ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE"):
        stack.append({"EMPTY_LIST": [], "EMPTY_DICT": {}, "EMPTY_TUPLE": ()}[name])
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        stack[-count:] = [tuple(stack[-count:])]
    elif name in ("TUPLE", "APPENDS", "SETITEMS"):
        mark = next(place for place in range(len(stack) - 1, -1, -1) if stack[place] is _MARK)
        items = stack[mark + 1 :]
        del stack[mark:]
        if name == "TUPLE":
            stack.append(tuple(items))
        elif name == "APPENDS":
            stack[-1].extend(items)
        else:
            stack[-1].update((_value(key), value) for key, value in zip(items[::2], items[1::2], strict=True))
    elif name == "APPEND":
        item = stack.pop()
        stack[-1].append(item)
    elif name == "SETITEM":
        value, key = stack.pop(), stack.pop()
        stack[-1][_value(key)] = value
    else:
        raise NotPlain(f"the opcode {name}")


def _value(held: Any) -> Any:
    """Replace recorded calls by their values."""
    if isinstance(held, dict):
        return {key: _value(value) for key, value in held.items()}
    if isinstance(held, list | tuple):
        return type(held)(_value(value) for value in held)
    if isinstance(held, _Name):
        raise NotPlain(f"the name {held.text}")
    if not isinstance(held, _Made):
        return held
    where, _, called = held.name.replace(".", " ").rpartition(" ")
    if (where, called) == ("_codecs", "encode") and held.arguments[1:] == ("latin1",):
        return held.arguments[0].encode("latin-1")
    if (where, called, held.arguments) == ("__builtin__", "bytes", ()):
        return b""
    if where in ("numpy core multiarray", "numpy _core multiarray") and called == "_reconstruct":
        return _array(held)
    raise NotPlain(f"a call of {held.name}")


def _array(made: _Made) -> np.ndarray:
    """An array of numbers: version, shape, type, whether columns come first, and its bytes."""
    _, shape, kind, fortran, values = made.state
    if not isinstance(kind, _Made) or kind.name != "numpy dtype":
        raise NotPlain("an array of an unknown type")
    name = kind.arguments[0].decode() if isinstance(kind.arguments[0], bytes) else kind.arguments[0]
    values = _value(values)
    if (
        name not in TYPES
        or not isinstance(values, bytes | memoryview)
        or (kind.state and kind.state[1] not in ("<", "|", b"<", b"|"))
    ):
        raise NotPlain(f"an array of {name}")
    array = np.frombuffer(values, dtype=f"<{name}")
    return array.reshape(shape, order="F" if fortran else "C")
