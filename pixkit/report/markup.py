"""Elements of a page. All content is escaped when it is inserted, and the result is well-formed XML and HTML.

A template library would also escape, but not close what is opened: an `Element` is always whole.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pixkit.errors import printable

EMPTY = frozenset(("br", "circle", "col", "image", "img", "line", "link", "meta", "path", "rect"))
"""Elements without content: HTML's own, and shapes of SVG without a title."""


@dataclass(frozen=True)
class Element:
    """Complete markup, as text."""

    markup: str

    def __str__(self) -> str:
        return self.markup


Content = Element | str | int | float | None
"""Content of an element: other elements, text, which is escaped, and None, which is nothing."""


def element(name: str, /, *content: Content | Iterable[Content], **attributes: str | int | float | None) -> Element:
    """`element("td", "a < b", class_="number")` is ``<td class="number">a &lt; b</td>``.

    Args:
        name: the element's name.
        content: its content, in order.
        attributes: by name; a trailing underscore is removed, others become hyphens. Those that are None are left out.
    """
    inner = "".join(map(_inner, content))
    outer = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if not inner and name in EMPTY:
        return Element(f"<{name}{outer}/>")
    return Element(f"<{name}{outer}>{inner}</{name}>")


def _inner(content: Content | Iterable[Content]) -> str:
    if content is None:
        return ""
    if isinstance(content, Element):
        return content.markup
    if isinstance(content, str | int | float):
        return escaped(content)
    return "".join(map(_inner, content))


def escaped(value: Any) -> str:
    """Any text, escaped for use between tags or in an attribute."""
    return html.escape(printable(str(value), lines=True))


def section(title: str, name: str, *content: Content | Iterable[Content], level: int = 2) -> Element:
    """A part of the page with its heading, the target of `#name`."""
    heading = element(f"h{level}", title, id=f"{name}-heading")
    return element("section", heading, *content, id=name, aria_labelledby=f"{name}-heading")


def table(caption: str, headers: Sequence[Content], rows: Iterable[Sequence[Content]]) -> Element:
    """A table in which the first cell of each row is its heading."""
    return _table(caption, headers, [(first, [element("td", cell) for cell in rest]) for first, *rest in rows])


def beside(caption: str, marks: Sequence[Content], rows: Iterable[tuple[str, Sequence[str]]]) -> Element:
    """A table with a column for each run; values that are the same for all runs appear once.

    Args:
        caption: the table's caption.
        marks: the runs' names.
        rows: a name, and the value of each run; rows without any value are left out.
    """
    return _table(caption, ("", *marks), [(name, _cells(values)) for name, values in rows if any(values)])


def _cells(values: Sequence[str]) -> list[Element]:
    if len(values) > 1 and len(set(values)) == 1:
        return [element("td", values[0], colspan=len(values))]
    return [element("td", value or "-", class_="own" if len(values) > 1 else None) for value in values]


def _table(caption: str, headers: Sequence[Content], rows: Iterable[tuple[Content, list[Element]]]) -> Element:
    head = element("tr", [element("th", header, scope="col") for header in headers])
    body = [element("tr", element("th", first, scope="row"), cells) for first, cells in rows]
    whole = element("table", element("caption", caption), element("thead", head), element("tbody", body))
    return wide(caption, whole)


def wide(label: str, *content: Content | Iterable[Content]) -> Element:
    """Content that scrolls sideways if there is no room, also with keys."""
    return element("div", *content, class_="wide", tabindex=0, role="region", aria_label=label)
