"""`pixkit docs`."""

from __future__ import annotations

import difflib

import click

from pixkit.catalogue.topics import PAGES, Topic, for_terminals, mentions, topics
from pixkit.cli.options import json_option
from pixkit.cli.output import emit, emit_json, emit_line, emit_markdown, say, table
from pixkit.errors import UsageError, listed


@click.command()
@click.argument("topic", required=False)
@click.option("--path", "as_path", is_flag=True, help="Print the path of the page, or the folder of all pages.")
@json_option
def command(topic: str | None, as_path: bool, as_json: bool) -> None:
    """Read the documentation, page by page.

    Without TOPIC, list the pages. On a terminal a page is formatted and shown by your pager (PAGER, else less);
    elsewhere it is printed as Markdown: `pixkit docs concepts > concepts.md`.
    """
    if as_path and as_json:
        raise click.UsageError("--json includes the path: leave out --path")
    pages = topics()
    if topic is not None:
        show(find(topic, pages), as_path, as_json)
    elif as_path:
        emit_line(PAGES)
    elif as_json:
        emit_json([_facts(page) for page in pages.values()])
    else:
        emit(table(("topic", "what it says"), [(page.name, page.summary) for page in pages.values()]))
        say("pixkit docs TOPIC shows one")


def find(name: str, pages: dict[str, Topic]) -> Topic:
    """The page with that name.

    Raises:
        UsageError: if there is none; suggests the nearest, or the pages that mention it.
    """
    if name in pages:
        return pages[name]
    near = difflib.get_close_matches(name, pages, n=1)
    found = [] if near else mentions(name)
    hint = f"pixkit docs {near[0]}" if near else " or ".join(f"pixkit docs {each}" for each in found)
    said = f"; it occurs in {listed(found)}" if found else f"; did you mean '{near[0]}'?" if near else ""
    raise UsageError(f"no topic '{name}'{said} (there are: {listed(pages)})", hint=hint or "pixkit docs lists them")


def show(page: Topic, as_path: bool, as_json: bool) -> None:
    """Show a page, or its path."""
    if as_path:
        emit_line(page.path)
    elif as_json:
        emit_json({**_facts(page), "text": page.text})
    else:
        emit_markdown(page.text, lambda: for_terminals(page))


def _facts(page: Topic) -> dict[str, str]:
    return {"topic": page.name, "summary": page.summary, "path": str(page.path)}
