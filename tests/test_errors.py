"""What errors say holds nothing that a terminal would obey, whatever was put into them."""

import pytest

from pixkit.errors import CausalityError, UsageError, dotted, listed, message, printable, quoted, shorten
from pixkit.recipe.source import Mark, Problem, Source

SHOWN = {
    "\x1b[31mred\x1b[0m": r"\x1b[31mred\x1b[0m",
    "a\x00\x07\x08\x7f\x85\x9bb": r"a\x00\x07\x08\x7f\x85\x9bb",
    "one\ntwo\r\nthree\tfour\u2028five": r"one\ntwo\r\nthree\tfour\u2028five",
    "gnp.\u202efdp": r"gnp.\u202efdp",
    "\u2066a\u2069\u200e\u061c": r"\u2066a\u2069\u200e\u061c",
    "ras\u200bter\ufeff\u2060\xad\U000e0041": r"ras\u200bter\ufeff\u2060\xad\U000e0041",
    "not utf-8: \udc80\udcff": r"not utf-8: \udc80\udcff",
    "ras\u200cter \u200d": r"ras\u200cter \u200d",
    "क\u200d": r"क\u200d",
    "\u200dक": r"\u200dक",
}
KEPT = (
    "plain, [red]text[/red] :smile: \\x1b {}",
    "Größe, Ελληνικά, 画像\u3000集合, עברית, عربى, हिन्दी, a\u0301, 25\xa0%",
    "👩\u200d👩\u200d👧 क\u200dष",
    "xक\u200dषx",
)


@pytest.mark.parametrize(("text", "shown"), SHOWN.items(), ids=SHOWN.values())
def test_what_a_terminal_would_obey_or_hide_is_escaped(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown
    assert str(UsageError(text, where=text, found=text)) == f"{shown}: {shown}\n  found: {shown}"


@pytest.mark.parametrize("text", KEPT)
def test_what_people_write_stays(text):
    assert printable(text) == printable(text, lines=True) == text


def test_a_layout_keeps_its_lines():
    assert printable("a\r\n\tb\rc\x1b\n", lines=True) == "a\n\tb\\rc\\x1b\n"


def test_the_parts_of_an_error_stay_what_they_are_and_its_text_has_a_line_for_each():
    error = CausalityError("a\nb", where="c\nd", found="e\nf", expected="g\nh", hint="i\nj", lines=["k\nl", "  m"])
    assert error.found == "e\nf" and error.hint == "i\nj"
    assert str(error).split("\n") == [
        *(r"c\nd: a\nb", r"  found: e\nf", r"k\nl", "  m", r"  expected: g\nh", r"  try: i\nj")
    ]


def test_the_caret_of_a_problem_stays_below_what_it_points_to():
    problem = Problem("wrong", Mark(Source("a\x1b.yaml", "x: \x1b\u202e y"), 0, 6), found="\x1b")
    head, line, caret, found = str(problem).split("\n")
    assert (head, found) == (r"a\x1b.yaml:1:7: wrong", r"  found: \x1b")
    assert line.index("y") == caret.index("^")


@pytest.mark.parametrize(("length", "shown"), [(8, "xxxxxxxx"), (9, "xxxxx..."), (500, "xxxxx...")])
def test_a_text_is_cut_to_its_limit(length, shown):
    assert shorten("x" * length, 8) == shown


@pytest.mark.parametrize(("names", "text"), [
    ([], ""), (["a"], "a"), (["a", "b", 3], "a, b, 3"), (["x" * 5000], "x" * 77 + "..."),
    (range(60_000), ", ".join(map(str, range(142))) + " and 59,858 more"),
])  # fmt: skip
def test_a_list_of_names_is_short(names, text):
    assert listed(names) == text


def test_so_is_each_line_of_an_error():
    error = UsageError("no", where="w" * 5000, found="\x1b" * 5000)
    assert [len(line) for line in str(error).split("\n")] == [2000, 2000]
    assert len(error.found) == 5000


def test_keys_are_said_with_dots_and_numbers_in_brackets():
    assert dotted(("train", "optimizer", "betas", 1)) == "train.optimizer.betas[1]"
    assert (
        dotted((0, "x" * 81, 2, 3)) == f"[0].{'x' * 77}...[2][3]" and dotted(("x" * 80,)) == "x" * 80 and not dotted(())
    )


def test_what_an_error_says_is_one_line():
    class Mute(Exception):
        def __str__(self):
            raise ValueError

    assert message(UsageError("no", found="a \n\n b")) == r"no; found: a \n\n b"
    assert message(ValueError("  two\n\n   lines ")) == "two lines" and message(Mute()) == ""


def test_what_another_program_says_is_quoted_to_some_length():
    assert quoted(ValueError("a\n b")) == "a b" and quoted(ValueError("ab" * 500)) == "ab" * 150
