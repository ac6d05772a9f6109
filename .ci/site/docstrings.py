"""Docstrings as pixkit writes them, made reStructuredText: prose, backticks for code, and examples."""

import re

SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields|Note|Example|Examples):$")
CODE = re.compile(r"(`+[^`]+`+)")


def prepare(*event):
    """Change the lines of a docstring, the last that Sphinx tells, in place, before napoleon reads its sections."""
    lines = event[-1]
    lines[:] = list(_marked(lines))


def _marked(lines):
    """Blocks that are indented by four blanks, after an empty line and outside of sections, are code; so is `>>>`."""
    inside, code, session = False, False, False
    for number, line in enumerate(lines):
        before = lines[number - 1] if number else ""
        indented = line.startswith("    ")
        session = bool(line.strip()) and (session or line.lstrip().startswith(">>>"))
        if line and not indented:
            code = False
            inside = bool(SECTION.match(line)) or (inside and line.startswith(" "))
        elif indented and not inside and not code and not before.strip():
            code = True
            yield from (".. code-block:: text", "")
        yield line if code or session else _escaped(line)


def _escaped(line):
    """Code in double backticks; stars, bars and underscores that end a word mean nothing here."""
    parts = CODE.split(line)
    for number, part in enumerate(parts):
        parts[number] = f"``{part.strip('`')}``" if number % 2 else re.sub(r"([*|\\]|_\b)", r"\\\1", part)
    return "".join(parts)
