"""What a sitting leaves: a line for each thing as soon as it is known, a JSON and a Markdown table, and logs."""

import json
import os
import traceback
from pathlib import Path

from outcomes import FAILED, Row, line, markdown, table


class Report:
    """Rows as they come.

    Attributes:
        folder: where everything is written: report.json and report.md, anew with each row, and what parts log.
    """

    def __init__(self, folder, about, say=print):
        self.folder, self.about, self.rows, self._say = Path(folder), about, [], say
        self.folder.mkdir(parents=True, exist_ok=True)

    def log(self, name):
        """Where something of that name may be logged."""
        path = self.folder / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def take(self, part, rows):
        """Add the rows of a part, each when it comes; what the part raises is a row too, its traceback in a file."""
        try:
            for row in rows:
                self.add(row)
        except Exception as error:
            self.log(part).write_text(traceback.format_exc(), encoding="utf-8")
            self.add(Row(part, "the part itself", FAILED, f"{type(error).__name__}: {error} (see {part}.txt)"))

    def add(self, row):
        """Print a row, and write all that there are."""
        self.rows.append(row)
        self._say(f"{row.part}: {line(row)}")
        self.write()

    def write(self):
        """The files, whole whenever they are read."""
        rows = [row.dump() for row in self.rows]
        texts = {"report.json": json.dumps({**self.about, "rows": rows}, indent=1) + "\n"}
        texts["report.md"] = markdown(self.rows, self.about)
        for name, text in texts.items():
            whole = self.folder / f".{name}"
            whole.write_text(text, encoding="utf-8")
            os.replace(whole, self.folder / name)

    def text(self):
        """All of it, parts apart."""
        return table(self.rows, self.about)
