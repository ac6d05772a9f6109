"""Reading a recipe's text: a regular file, not too large, in UTF-8."""

from __future__ import annotations

import codecs
import difflib
from pathlib import Path
from typing import BinaryIO

from pixkit.catalogue.recipes import packaged_recipes
from pixkit.errors import RecipeError, listed, reason, shorten
from pixkit.files import NotRegular, TooLarge, open_regular
from pixkit.recipe.source import InvalidRecipe, Problem, Source

MAX_BYTES = 1_000_000

_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def read_recipe(path: Path) -> str:
    """The text of a recipe file, without a byte-order mark.

    Raises:
        RecipeError: if it is missing, unreadable, not a regular file, larger than 1 MB, empty, or not UTF-8.
    """
    where = shorten(str(path), 300)
    try:
        raw = _read(path, where)
    except FileNotFoundError:
        raise RecipeError("there is no such file", where=where, hint=_suggestion(path)) from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"cannot be read: {reason(error)}", where=where, expected="a recipe file") from None
    return _decode(raw, where)


def read_stream(stream: BinaryIO, where: str) -> str:
    """The text of a recipe from a stream, up to its end.

    Raises:
        RecipeError: if it cannot be read, is empty, larger than 1 MB, or not UTF-8.
    """
    try:
        raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise RecipeError(f"cannot be read: {reason(error)}", where=where, expected="a recipe") from None
    if len(raw) > MAX_BYTES:
        raise _too_large(where, f"more than {MAX_BYTES} bytes")
    if not raw.strip():
        raise RecipeError(
            "nothing was received", where=where, expected="a recipe, as of: pixkit validate - < recipe.yaml"
        )
    return _decode(raw, where)


def _read(path: Path, where: str) -> bytes:
    try:
        file = open_regular(path, most=MAX_BYTES)
    except TooLarge as error:
        raise _too_large(where, str(error.strerror)) from None
    except NotRegular as error:
        if error.strerror != "a folder":
            raise RecipeError(
                "this is not a regular file (a pipe or a device)",
                where=where,
                expected="a recipe file",
                hint="on the command line, - reads a recipe from standard input",
            ) from None
        inside = path / "recipe.yaml"
        hint = str(inside) if inside.is_file() else None
        raise RecipeError("this is a folder", where=where, expected="a recipe file", hint=hint) from None
    with file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise _too_large(where, f"more than {MAX_BYTES} bytes")
    return raw


def _too_large(where: str, found: str) -> RecipeError:
    return RecipeError("too large for a recipe", where=where, found=found, expected=f"at most {MAX_BYTES} bytes")


def _decode(raw: bytes, where: str) -> str:
    for mark, name in _OTHER_ENCODINGS:
        if raw.startswith(mark):
            raise RecipeError("recipes are UTF-8", where=where, found=name, hint="save the file as UTF-8")
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if b"\0" in raw:
        raise RecipeError("this is a binary file", where=where, found="a NUL byte", expected="YAML text")
    if not raw.strip():
        raise RecipeError("the file is empty", where=where, expected="a recipe")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        source = Source(where, raw.decode("utf-8", errors="replace"))
        place = source.mark(len(raw[: error.start].decode("utf-8")))
        found = f"the byte 0x{raw[error.start]:02x}"
        raise InvalidRecipe([Problem("this is not UTF-8", place, found=found, hint="save the file as UTF-8")]) from None


def _suggestion(path: Path) -> str:
    """The nearest file next to the missing one, or the nearest packaged recipe, or where to look."""
    try:
        siblings = [item.name for item in path.parent.iterdir() if item.suffix in (".yaml", ".yml")]
    except (OSError, ValueError):
        siblings = []
    near = difflib.get_close_matches(path.name, siblings, n=1)
    if near:
        return f"did you mean {path.with_name(near[0])}?"
    packaged = packaged_recipes()
    named = difflib.get_close_matches(path.name.removesuffix(".yaml"), packaged, n=1)
    if named:
        return f"did you mean the packaged recipe '{named[0]}'?"
    return f"a file's path, or a packaged recipe: {listed(packaged) or 'none is installed'}"
