"""The documentation pages that come with pixkit, as listed in the table in docs/README.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pixkit.errors import DataError

_PACKAGE = Path(__file__).resolve().parent.parent
PAGES = _PACKAGE / "docs"
_ROW = re.compile(r"^\| \[([\w-]+)\]\(([^)#]+\.md)\) \| (.*) \|$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Topic:
    """A page: its name, the question that it answers, and its file."""

    name: str
    summary: str
    path: Path

    @property
    def text(self) -> str:
        """The page, in Markdown.

        Raises:
            DataError: if its file is missing.
        """
        try:
            return self.path.read_text(encoding="utf-8")
        except OSError as error:
            raise DataError(
                "a page of the documentation is missing",
                where=str(self.path),
                hint="reinstall pixkit-models",
            ) from error


def topics() -> dict[str, Topic]:
    """Every page by name, in reading order."""
    index = Topic("", "", PAGES / "README.md").text
    return {name: Topic(name, summary, _place(target)) for name, target, summary in _ROW.findall(index)}


def _place(target: str) -> Path:
    """The file of a link in docs/; in a wheel, READMEs of other folders are next to docs/, under names with a dash."""
    outside = target.removeprefix("../../")
    if outside == target:
        return PAGES / target
    shipped = _PACKAGE / f"_{outside}"
    return shipped if shipped.is_file() else _PACKAGE.parent / outside


def mentions(word: str, most: int = 3) -> list[str]:
    """The names of the pages that mention a word: first those that explain it, then those that use it."""
    asked = rf"(?<!\w){re.escape(word)}(?!\w)"
    explained = re.compile(rf"^#.*{asked}|\*\*[^*\n]*{asked}", re.IGNORECASE | re.MULTILINE)
    used = re.compile(asked, re.IGNORECASE)
    counts = {}
    for name, topic in topics().items():
        text = topic.text
        counts[name] = len(explained.findall(text)) + bool(used.search(topic.summary)), len(used.findall(text))
    return sorted((name for name in counts if counts[name][1]), key=lambda name: counts[name], reverse=True)[:most]


def for_terminals(topic: Topic) -> str:
    """The page with links to other pages as commands, other links as plain words, and without comments."""
    files = {each.path.resolve(): name for name, each in topics().items()}

    def follow(link: re.Match[str]) -> str:
        text, target = link.groups()
        if "://" in target:
            return link[0].removeprefix("!")
        leads = files.get(_place(target.partition("#")[0]).resolve())
        return f"{text} (`pixkit docs {leads}`)" if leads not in (None, topic.name) else text

    text = re.sub(r"<!--.*?-->\n*", "", topic.text, flags=re.DOTALL)
    parts, start = [], 0
    for code in _CODE.finditer(text):  # links are followed outside of code
        parts += [_LINK.sub(follow, text[start : code.start()]), code[0]]
        start = code.end()
    return "".join([*parts, _LINK.sub(follow, text[start:])])
