"""What dump_yaml writes, parse_yaml reads back."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pixkit.recipe import dump_yaml, parse_yaml

NASTY = [
    "",
    " ",
    "yes",
    "No",
    "on",
    "null",
    "~",
    "1e3",
    "1E3",
    "1e999",
    "017",
    "0o17",
    "0x1F",
    "1_000",
    "1:30",
    "2024-01-01",
    "=",
]
NASTY += [
    ".inf",
    "-.NaN",
    "true",
    "TRUE",
    "- a",
    "a: b",
    "a #b",
    "#",
    "&a",
    "*a",
    "!a",
    "%a",
    "@a",
    "`a",
    "{",
    "]",
    ",",
]
NASTY += [
    "|",
    ">",
    "'",
    '"',
    "\\",
    "a\nb",
    "\n",
    "a\tb",
    "\u2028",
    "\x85",
    "\ufeff",
    "\x1b[31m",
    "é漢😀",
    " a ",
    "---",
    "...",
]
NASTY += ["<<", "?", "? a", ":", "-", "9" * 60, "x" * 300, "a\r\nb", "٣"]

texts = st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**39), 10**39),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)
plains = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)


def same(a, b):
    """Equal, with equal types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@settings(deadline=None, max_examples=300)
@given(plains)
def test_round_trip(plain):
    assert same(parse_yaml(dump_yaml(plain), "dump").plain(), plain)


@pytest.mark.parametrize("text", NASTY)
def test_round_trip_of_texts_that_look_like_something_else(text):
    dumped = dump_yaml({text: [text, {text: text}]})
    assert parse_yaml(dumped, "dump").plain() == {text: [text, {text: text}]}
    assert yaml.safe_load(dumped) == {text: [text, {text: text}]}


def test_what_it_looks_like():
    plain = {
        "name": "digits",
        "lr": 1e-5,
        "betas": (0.9, 0.999),
        "empty": {"list": [], "mapping": {}, "none": None},
        "masks": [{"type": "full", "size": 3}, {"type": "row"}],
        "on": "yes",
        "flag": True,
    }
    assert dump_yaml(plain) == (
        "name: digits\n"
        "lr: 1.0e-05\n"
        "betas: [0.9, 0.999]\n"
        "empty:\n"
        "  list: []\n"
        "  mapping: {}\n"
        "  none: null\n"
        "masks:\n"
        "- type: full\n"
        "  size: 3\n"
        "- type: row\n"
        "'on': 'yes'\n"
        "flag: true\n"
    )


def test_a_value_that_stands_twice_is_written_twice():
    shared = [1, 2]
    assert dump_yaml({"a": shared, "b": shared}) == "a: [1, 2]\nb: [1, 2]\n"


def test_only_plain_data():
    with pytest.raises(yaml.representer.RepresenterError):
        dump_yaml({"a": object()})
