"""`pixkit cache`."""

from __future__ import annotations

import time
from typing import Any

import click

from pixkit.cli.options import json_option
from pixkit.cli.output import emit, emit_json, emit_line, table
from pixkit.data import kept
from pixkit.errors import DataError, reason
from pixkit.memory import in_words


@click.command()
@click.option("--clear", is_flag=True, help="Remove the decoded images; they will be decoded again.")
@json_option
def command(clear: bool, as_json: bool) -> None:
    """List the decoded images in the cache, or remove them.

    Large folders of pictures are decoded once: the levels are kept in the folder named by PIXKIT_CACHE, and are read
    from there as long as no file has changed. PIXKIT_DECODED limits their size (20G, 500M; 0 keeps and reads nothing;
    the default is 10G); the least recently used are removed first.
    """
    entries = kept.entries()
    rows = [
        {"of": kept.facts_of(entry).get("of"), "bytes": entry.size, "used": entry.used, "path": str(entry.path)}
        for entry in entries
    ]
    if clear:
        try:
            kept.clear()
        except OSError as error:
            raise DataError("cannot be removed", where=str(error.filename), found=reason(error)) from error
    total, most = sum(entry.size for entry in entries), kept.most()
    if as_json:
        emit_json({"folder": str(kept.folder()), "most": most, "cleared": clear, "sets": rows})
        return
    if rows:
        emit(table(("images of", "size", "used last"), map(_cells, rows)))
    said = f"{len(rows)} sets, {in_words(total)}" + ("; removed" if clear else f" of at most {in_words(most)}")
    emit_line(f"{said}, in {kept.folder()}")


def _cells(row: dict[str, Any]) -> tuple[str, str, str]:
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["used"]))
    return row["of"] or "(damaged)", in_words(row["bytes"]), used
