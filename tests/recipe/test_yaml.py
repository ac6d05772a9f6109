"""YAML 1.2 scalars, positions, and everything that is refused."""

import pytest

from pixkit.errors import RecipeError
from pixkit.recipe import InvalidRecipe, parse_yaml


def plain(text):
    return parse_yaml(text, "r.yaml").plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("+12", 12),
        ("12.", 12.0),
        ("017", 17),
        ("0o17", 15),
        ("0xFf", 255),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("~", None),
        ("null", None),
        ("NULL", None),
        ("'null'", "null"),
        ('"1"', "1"),
        ('"\\t"', "\t"),
        ("e3", "e3"),
        (".", "."),
        ("-", [None]),
        ("1e", "1e"),
        ("\u0661", "\u0661"),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    found = plain(f"- {text}") if text != "-" else [plain(text)]
    assert found == [value]
    assert type(found[0]) is type(value)


def test_nodes_know_where_they_and_their_keys_stand():
    root = parse_yaml("a:\n  b: [1, {c: x}]\n  'd e': |\n    text\n", "r.yaml")
    outer = root.value["a"]
    item = outer.value["b"].value[1].value["c"]
    assert (outer.key.line, outer.key.column) == (0, 0)
    assert (item.key.line, item.key.column, item.mark.line, item.mark.column) == (1, 10, 1, 13)
    assert (outer.value["d e"].key.line, outer.value["d e"].key.column) == (2, 2)
    assert outer.value["d e"].value == "text\n"
    assert item.mark.where == "r.yaml:2:14"


REFUSED = [
    ("a: 1\nb: 2\na: 3\n", 3, 1, "the key 'a' occurs twice"),
    ("a: {b: 1, 'b': 2}", 1, 11, "the key 'b' occurs twice"),
    ("1: x", 1, 1, "keys are text"),
    ("a: {true: x}", 1, 5, "keys are text"),
    ("? [a]\n: x", 1, 3, "keys are text"),
    ("~: x", 1, 1, "keys are text"),
    ("a: &x 1", 1, 4, "anchors are not allowed"),
    ("&x a: 1", 1, 1, "anchors are not allowed"),
    ("a: [&x b]", 1, 5, "anchors are not allowed"),
    ("a: *x", 1, 4, "aliases are not allowed"),
    ("*x : 1", 1, 1, "aliases are not allowed"),
    ("a: !!int 3", 1, 4, "tags are not allowed"),
    ("a: !python/object/apply:os.system [id]", 1, 4, "tags are not allowed"),
    ("a: ! x", 1, 4, "tags are not allowed"),
    ("a: !e!x 1", 1, 4, "not valid YAML: tags are not allowed"),
    ("%TAG !e! tag:e\n---\na: 1", 1, 1, "tag directives are not allowed"),
    ("%YAML 1.1\n---\na: 1", 1, 1, "recipes are YAML 1.2"),
    ("<<: {a: 1}", 1, 1, "merge keys are not allowed"),
    ("a: 1\n---\nb: 2", 2, 1, "a second document starts here"),
    ("a:\t1", 1, 3, "tabs are not allowed"),
    ("a: 1 # x\n\tb: 2", 2, 1, "tabs are not allowed"),
    ("a: 'x\x07y'", 1, 6, "a control character"),
    ("a: \x85", 1, 4, "a control character"),
    ("a: b\u2028c", 1, 5, "a control character"),
    ("a: \ufeffb", 1, 4, "a control character"),
    ("a: \udc80b", 1, 4, "a control character"),
    ('a: "\\uD800"', 1, 4, "the text has a character that no file can hold"),
    ('a: "\\0"', 1, 4, "the text has a character that no file can hold"),
    ('a: 1\nb: "\\UFFFFFFFF"', 2, 5, "an escape stands for no character"),
    ('a: "\\U0001F600"\nc: 1\nb: "\\UFFFFFFFF"', 3, 5, "an escape stands for no character"),
    ("a: .nan", 1, 4, "the number is not finite"),
    ("a: [1, -.INF]", 1, 8, "the number is not finite"),
    ("a: 1e999", 1, 4, "the number is too large for a float"),
    ("a: " + "9" * 5000, 1, 4, "the integer has 5000 digits"),
    ("a: 0x" + "f" * 5000, 1, 4, "the integer has 5002 digits"),
    ("", 1, 1, "there is nothing in it"),
    ("# only this\n", 1, 1, "there is nothing in it"),
    ("a: b: c", 1, 5, "not valid YAML: a ':' where no key can stand"),
    ("a:\n  - 1\n b: 2", 3, 2, "not valid YAML: this does not line up with what stands above"),
    ("a: 1\nb: [1, 2", 2, 4, "not valid YAML: a list is not closed, or a ',' is missing"),
    ("a: {b: 1", 1, 4, "not valid YAML: a mapping is not closed, or a ',' is missing"),
    ('a: "b\nc: 1\n', 1, 4, "not valid YAML: a quoted text is not closed"),
    ("{a: 1}}", 1, 7, "not valid YAML: nothing can follow what is complete"),
    ('a: "\\q"', 1, 6, "not valid YAML: an unknown escape in double quotes"),
    ("a: @b", 1, 4, "not valid YAML: a value cannot start with this character"),
    ("[" * 10_000, 1, 51, "nested too deeply"),
    ("{a: " * 10_000, 1, 201, "nested too deeply"),
    ("- " * 10_000, 1, 101, "nested too deeply"),
    ("? " * 10_000, 1, 101, "nested too deeply"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), REFUSED, ids=lambda value: repr(value)[:40])
def test_refused_with_the_exact_position(text, line, column, message):
    with pytest.raises(InvalidRecipe) as caught:
        parse_yaml(text, "r.yaml")
    problem = caught.value.problems[0]
    assert problem.message == message
    assert problem.mark.where == f"r.yaml:{line}:{column}"
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, RecipeError)


def test_values_are_counted_to_the_limit(monkeypatch):
    monkeypatch.setattr("pixkit.recipe.yaml.MAX_NODES", 5)
    assert plain("[1, 2, 3, 4]") == [1, 2, 3, 4]
    with pytest.raises(InvalidRecipe) as caught:
        plain("[1, 2, 3, 4, 5]")
    (problem,) = caught.value.problems
    assert (problem.message, problem.expected, problem.mark.column) == ("too many values", "at most 5", 13)


def test_fifty_levels_are_read():
    text = "[" * 50 + "1" + "]" * 50
    assert str(plain(text)) == text


def test_what_can_be_passed_over_is_reported_together():
    with pytest.raises(InvalidRecipe) as caught:
        parse_yaml("a: &x 1\na: .inf\nb: !t 3\nc: [", "r.yaml")
    lines = [problem.mark.line for problem in caught.value.problems]
    assert lines == [0, 1, 1, 2, 3]
    assert str(caught.value).endswith("5 errors")


def test_only_so_many_problems_are_printed():
    with pytest.raises(InvalidRecipe) as caught:
        parse_yaml("\n".join(f"- &x{index} 1" for index in range(200)), "r.yaml")
    assert len(caught.value.problems) == 200
    assert str(caught.value).endswith("200 errors; the first 50 are shown")
    assert str(caught.value).count("anchors are not allowed") == 50
    with pytest.raises(InvalidRecipe) as caught:
        parse_yaml("\n".join(f"- &x{index} 1" for index in range(50)), "r.yaml")
    assert str(caught.value).endswith("\n\n50 errors")


def test_the_line_is_shown_with_a_caret_under_the_column():
    with pytest.raises(InvalidRecipe) as caught:
        parse_yaml("a: 1\nbcd: !t 2\n", "r.yaml")
    assert str(caught.value).split("\n")[:3] == [
        "r.yaml:2:6: tags are not allowed",
        "     2 | bcd: !t 2",
        "       |      ^",
    ]


def test_the_caret_minds_wide_characters_and_long_lines():
    with pytest.raises(InvalidRecipe) as caught:
        parse_yaml("漢字: !t 2\n", "r.yaml")
    assert str(caught.value).split("\n")[2] == "       | " + " " * 6 + "^"
    with pytest.raises(InvalidRecipe) as caught:
        parse_yaml("e\u0301: !t 2\n", "r.yaml")
    assert str(caught.value).split("\n")[2] == "       | " + " " * 3 + "^"


@pytest.mark.parametrize(("before", "after", "start"), [(60, 39, 0), (60, 40, 10), (10_000, 0, 9_950), (30, 200, 0)])
def test_of_a_line_a_hundred_characters_are_shown_with_the_place_in_the_middle(before, after, start):
    """A line of a hundred is shown from its beginning."""
    line = "a: " + "".join(str(number % 10) for number in range(before - 3)) + "\t" + "z" * after
    with pytest.raises(InvalidRecipe) as caught:
        parse_yaml(line, "r.yaml")
    _, shown, caret = str(caught.value).split("\n")[:3]
    assert shown == "     1 | " + line[start : start + 100].replace("\t", " ")
    assert caret.index("^") == len("     1 | ") + before - start


def test_errors_carry_nothing_that_a_terminal_obeys():
    with pytest.raises(InvalidRecipe) as caught:
        parse_yaml("a: \x1b[31m\n", "r.yaml")
    assert "\x1b" not in str(caught.value)
    with pytest.raises(InvalidRecipe) as caught:
        parse_yaml('"\\e[31m": 1\n"\\e[31m": 2\n', "r.yaml")
    assert "\x1b" not in str(caught.value)


def test_line_ends_of_every_system():
    assert plain("a: 1\r\nb: 2\rc: 3\n") == {"a": 1, "b": 2, "c": 3}


def test_an_explicit_1_2_directive_and_a_quoted_merge_key_are_plain_data():
    assert plain("%YAML 1.2\n---\na: 1\n...\n") == {"a": 1}
    assert plain("'<<': 1") == {"<<": 1}


def test_the_line_in_which_a_key_stood_first_is_told():
    with pytest.raises(RecipeError) as caught:
        parse_yaml("x: 0\na: 1\nb: 2\na: 3\n", "r.yaml")
    assert caught.value.found == "first on line 2"
