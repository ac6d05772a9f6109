"""PyYAML's syntax errors in plain words."""

from __future__ import annotations

import yaml

from pixkit.recipe.source import Mark, Problem

_EXPLAINED = (
    # PyYAML's message, what is wrong, what to do about it
    (
        "mapping values are not allowed here",
        "a ':' where no key can stand",
        "quote text that contains ': ', or check the indentation",
    ),
    (
        "could not find expected ':'",
        "a key without ':' and a value",
        "write 'key: value', with a space after the colon",
    ),
    ("expected <block end>", "this does not line up with what stands above", "indent the keys of one mapping alike"),
    ("expected ',' or ']'", "a list is not closed, or a ',' is missing", "close it with ']'"),
    ("expected ',' or '}'", "a mapping is not closed, or a ',' is missing", "close it with '}'"),
    ("found unexpected end of stream", "a quoted text is not closed", "close the quotes"),
    ("found unknown escape character", "an unknown escape in double quotes", r"write '\\' for a backslash"),
    ("expected escape sequence of", "an escape without its hexadecimal digits", r"write '\\' for a backslash"),
    ("cannot start any token", "a value cannot start with this character", "quote the text"),
    ("sequence entries are not allowed here", "a list cannot start here", "put its '- ' entries on lines of their own"),
    ("expected '<document start>'", "nothing can follow what is complete", "check the brackets and the indentation"),
    ("expected the node content", "a value is missing", "give one, or quote what starts with ',', ':', '?' or '-'"),
    ("found undefined tag handle", "tags are not allowed", "quote the text if it starts with '!'"),
)


def blamed_mark(error: yaml.MarkedYAMLError) -> yaml.Mark | None:
    """The place of the mistake: for something never closed, where it was opened."""
    if error.context_mark and "end" in (said := error.problem or "") and "stream" in said:
        return error.context_mark
    return error.problem_mark or error.context_mark


def explain_syntax(error: yaml.MarkedYAMLError, mark: Mark) -> Problem:
    """The problem for a syntax error."""
    said = error.problem or error.context or "cannot be parsed"
    for sign, message, hint in _EXPLAINED:
        if sign in said:
            return Problem(f"not valid YAML: {message}", mark, hint=hint)
    return Problem(f"not valid YAML: {said}", mark)
