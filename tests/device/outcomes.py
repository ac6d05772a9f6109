"""What was tried, whether it holds, and the tables of it."""

from dataclasses import asdict, dataclass, field

OK, FAILED, UNCOMPARED = "ok", "FAILED", "not compared"


@dataclass(frozen=True)
class Row:
    """One thing that was tried.

    `verdict` is "ok", "FAILED" or "not compared"; what is `needed` must be compared if all is to hold.
    """

    part: str
    what: str
    verdict: str
    note: str = ""
    figures: dict = field(default_factory=dict)
    needed: bool = True

    def dump(self):
        """As plain data."""
        return asdict(self)


def exit_code(rows):
    """0 if all holds, 1 if something does not, 3 if something was not compared that has to be."""
    if not rows or any(row.verdict == FAILED for row in rows):
        return 1
    return 3 if any(row.verdict == UNCOMPARED and row.needed for row in rows) else 0


def table(rows, about):
    """Rows as text, one a line, parts apart."""
    lines = [", ".join(f"{key} {value}" for key, value in about.items())]
    width = max((len(row.what) for row in rows), default=0)
    for part in dict.fromkeys(row.part for row in rows):
        lines += ["", part]
        lines += [f"  {line(row, width)}" for row in rows if row.part == part]
    held = sum(row.verdict == OK for row in rows)
    return "\n".join([*lines, "", f"{held} of {len(rows)} hold"])


def line(row, width=0):
    """A row as text."""
    figures = "; ".join(f"{name} {shown(value)}" for name, value in row.figures.items())
    said = "; ".join(filter(None, (figures, " ".join(row.note.split()))))
    return f"{row.what:{width}}  {row.verdict:12}  {said}".rstrip()


def markdown(rows, about):
    """The figures that are judged, as a table for README, and below it what else was found."""
    device = about.get("device", "")
    lines = [f"On one {device}, torch {about.get('torch')}:", ""]
    lines += ["| what | before | now | of it | at most |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        if "new" in row.figures:
            cells = [row.figures.get(name) for name in (_other(row), "new", "ratio", "at most")]
            lines.append(f"| {row.what} | " + " | ".join("" if one is None else shown(one) for one in cells) + " |")
    rest = [row for row in rows if "new" not in row.figures]
    failed = [f"- {row.part}, {line(row)}" for row in rest if row.verdict == FAILED]
    held = f"{sum(row.verdict == OK for row in rest)} of {len(rest)} other things hold."
    return "\n".join([*lines, "", held, *failed, ""])


def _other(row):
    """What this build was compared with."""
    return next((name for name in ("old", "plain", "without") if name in row.figures), "old")


def shown(value):
    """A number with three digits, all else as it is."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
