"""Read YAML as plain data with positions: mappings, lists and scalars, nothing else.

PyYAML's scanner and parser give the events; their meaning is decided here. Anchors, aliases, tags, merge keys, keys
that are not text, duplicate keys and several documents are refused, so that a recipe is a tree, says each thing once,
and cannot construct objects.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import yaml

from pixkit.errors import shorten
from pixkit.recipe.dump import Scalar, ScalarError, resolve_scalar
from pixkit.recipe.source import InvalidRecipe, Mark, Problem, Source
from pixkit.recipe.syntax import blamed_mark, explain_syntax

MAX_DEPTH = 50
MAX_NODES = 50_000

_UNWANTED_ASCII = re.compile(r"[^\n\x20-\x7E]")
_UNSTORABLE = re.compile(r"[\x00\uD800-\uDFFF]")


@dataclass(eq=False)
class Node:
    """A value and its place.

    `value` is a scalar, a list of nodes, or a dict of them; `text` is a scalar as written; `key` is the place of the
    key under which a mapping holds this node.
    """

    value: Scalar | list[Node] | dict[str, Node]
    mark: Mark
    text: str = ""
    key: Mark | None = None

    @property
    def holder(self) -> Mark:
        """The place of the key, or else of the value."""
        return self.key or self.mark

    # Any: plain data, as YAML has it
    def plain(self) -> Any:
        """The value without positions."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def describe(self) -> str:
        """The value in a few words, for error messages."""
        if isinstance(self.value, dict):
            return "a mapping" if self.value else "an empty mapping"
        if isinstance(self.value, list):
            return "a list" if self.value else "an empty list"
        if isinstance(self.value, str):
            return shorten(f"'{self.value}'", 80)
        return shorten(self.text, 80) or "nothing"


def parse_yaml(text: str, name: str) -> Node:
    """Parse a YAML text; `name` is its name in error messages.

    Raises:
        InvalidRecipe: with every problem up to the first one that ends parsing.
    """
    return parse_source(_source(text, name))


def parse_written(text: str, name: str) -> Any:
    """The plain data of a YAML text written by `dump_yaml`: the same as `parse_yaml`'s, but much faster.

    Uses libyaml, if PyYAML has it; if that finds a fault, `parse_yaml` reports it.
    """
    quick = getattr(yaml, "CSafeLoader", None)
    if quick is not None:
        with suppress(InvalidRecipe, yaml.YAMLError):
            return parse_source(_source(text, name), loader=quick).plain()
    return parse_yaml(text, name).plain()


def _source(text: str, name: str) -> Source:
    return Source(name, text.replace("\r\n", "\n").replace("\r", "\n"))


def parse_source(source: Source, start: int = 0, *, loader: Any = yaml.SafeLoader) -> Node:
    """Parse a source after its first `start` characters (on one line), with one of PyYAML's loaders."""
    _check_characters(source)
    composer = _Composer(source, start, loader)
    root = composer.document()
    if composer.problems:
        raise InvalidRecipe(composer.problems)
    return root


@functools.cache
def _unwanted() -> re.Pattern[str]:
    """Unprintable characters; compiled on demand, since that takes longer than reading a recipe."""
    return re.compile(r"[^\n\x20-\x7E\xA0-\u2027\u202A-\uD7FF\uE000-\uFEFE\uFF00-\uFFFD\U00010000-\U0010FFFF]")


def _check_characters(source: Source) -> None:
    found = (_UNWANTED_ASCII if source.text.isascii() else _unwanted()).search(source.text)
    if found is None:
        return
    mark, code = source.mark(found.start()), ord(found.group())
    if found.group() == "\t":
        problem = Problem("tabs are not allowed", mark, expected="spaces", hint=r'in text, write it as "\t"')
    else:
        problem = Problem("a control character", mark, found=f"U+{code:04X}", expected="printable text")
    raise InvalidRecipe([problem])


class _Composer:
    """Turns PyYAML's events into nodes; errors that allow parsing to continue are collected in `problems`."""

    def __init__(self, source: Source, start: int, loader: Any) -> None:
        self.source = source
        self.loader = loader
        self.start = start
        self.problems: list[Problem] = []
        self.count = 0
        self.events = self._read(source.text[start:])
        self.event: Any = next(self.events)

    def document(self) -> Node:
        """The only document of the stream."""
        self._advance()
        if isinstance(self.event, yaml.StreamEndEvent):
            raise InvalidRecipe([Problem("there is nothing in it", Mark(self.source, 0, self.start))])
        self._check_directives()
        self._advance()
        root = self._node(0)
        self._advance()
        if not isinstance(self.event, yaml.StreamEndEvent):
            self._report("a second document starts here", expected="one document")
        return root

    def _read(self, text: str) -> Iterator[Any]:
        mark = Mark(self.source, 0, self.start)
        try:
            for event in yaml.parse(text, Loader=self.loader):
                mark = self._mark(event.end_mark)
                yield event
        except yaml.MarkedYAMLError as error:
            at = blamed_mark(error)
            problem = explain_syntax(error, self._mark(at) if at else mark)
            raise InvalidRecipe([*self.problems, problem]) from None
        except (ValueError, OverflowError):
            problem = Problem("an escape stands for no character", self._next_escape(mark), expected="at most U+10FFFF")
            raise InvalidRecipe([*self.problems, problem]) from None

    def _advance(self) -> None:
        self.event = next(self.events)

    def _mark(self, mark: Any) -> Mark:
        return Mark(self.source, mark.line, mark.column + (self.start if mark.line == 0 else 0))

    def _next_escape(self, mark: Mark) -> Mark:
        lines = self.source.text.split("\n", mark.line)[: mark.line]
        behind = sum(len(line) + 1 for line in lines) + mark.column
        return self.source.mark(max(behind, self.source.text.find("\\U", behind)))

    def _report(self, message: str, mark: Mark | None = None, **details: Any) -> None:
        self.problems.append(Problem(message, mark or self._mark(self.event.start_mark), **details))

    def _stop(self, message: str, expected: str) -> InvalidRecipe:
        self._report(message, expected=expected)
        return InvalidRecipe(self.problems)

    def _check_directives(self) -> None:
        if self.event.tags:
            self._report("tag directives are not allowed", expected="plain data")
        if self.event.version not in (None, (1, 2)):
            self._report("recipes are YAML 1.2", found="YAML {}.{}".format(*self.event.version), expected="%YAML 1.2")

    def _node(self, depth: int) -> Node:
        """The node that starts at the current event; moves to the event after it."""
        event, mark = self.event, self._mark(self.event.start_mark)
        self.count += 1
        if depth >= MAX_DEPTH and isinstance(event, yaml.CollectionStartEvent):
            raise self._stop("nested too deeply", expected=f"at most {MAX_DEPTH} levels")
        if self.count > MAX_NODES:
            raise self._stop("too many values", expected=f"at most {MAX_NODES}")
        if isinstance(event, yaml.AliasEvent):
            self._report("aliases are not allowed", found=f"*{event.anchor}", hint="write the value out")
            self._advance()
            return Node(None, mark)
        self._check_properties(event)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(mark, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(mark, depth)
        return self._scalar(mark)

    def _check_properties(self, event: Any) -> None:
        if event.anchor is not None:
            self._report(
                "anchors are not allowed", found=f"&{event.anchor}", hint="write the value out where it is used"
            )
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._report("tags are not allowed", found=tag, hint="quote the text if it starts with '!'")

    def _sequence(self, mark: Mark, depth: int) -> Node:
        self._advance()
        items = []
        while not isinstance(self.event, yaml.SequenceEndEvent):
            items.append(self._node(depth + 1))
        self._advance()
        return Node(items, mark)

    def _mapping(self, mark: Mark, depth: int) -> Node:
        self._advance()
        children: dict[str, Node] = {}
        while not isinstance(self.event, yaml.MappingEndEvent):
            event = self.event
            key = self._node(depth + 1)
            name = self._key(event, key, children)
            child = self._node(depth + 1)
            child.key = key.mark
            if name is not None:
                children[name] = child
        self._advance()
        return Node(children, mark)

    def _key(self, event: Any, node: Node, others: dict[str, Node]) -> str | None:
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
            self._report("merge keys are not allowed", node.mark, found="<<", hint="write the keys out")
        elif not isinstance(node.value, str):
            if not isinstance(event, yaml.AliasEvent):
                self._report("keys are text", node.mark, found=node.describe(), expected="a name")
        elif node.value in others:
            first = others[node.value].holder.line + 1
            self._report(f"the key '{shorten(node.value, 60)}' occurs twice", node.mark, found=f"first on line {first}")
        else:
            return node.value
        return None

    def _scalar(self, mark: Mark) -> Node:
        text, is_plain = self.event.value, self.event.implicit[0]
        value: Scalar = text
        try:
            value = resolve_scalar(text) if is_plain else text
        except ScalarError as error:
            found = shorten(text, 60)
            self._report(error.message, mark, found=found, expected=error.expected)
        if _UNSTORABLE.search(text):
            self._report("the text has a character that no file can hold", mark, expected="Unicode text without NUL")
        self._advance()
        return Node(value, mark, text)
