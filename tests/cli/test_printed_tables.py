"""Tables and lines that commands print of results made by hand, to the letter, and what few options take."""

import io
import re
from contextlib import redirect_stdout
from types import SimpleNamespace

import click
import pytest

from pixkit.cli.commands import compare
from pixkit.cli.commands.eval import _check
from pixkit.cli.commands.sample import _weights
from pixkit.cli.image_rows import CsvRows, PlainRows
from pixkit.cli.options import Span, Weight
from pixkit.cli.output import (
    colour_wanted,
    emit_json,
    emit_json_line,
    emit_markdown,
    is_terminal,
    table,
    table_with_details,
)
from pixkit.cli.runs import rank_of_score, run_columns, score_line
from pixkit.cli.sweeps import closing
from pixkit.cli.timings import scaling_in_words, training_in_words
from pixkit.errors import UsageError
from pixkit.training.scaling import Fit, Point, Scaling
from pixkit.training.throughput import TrainingRow, TrainingTimes

MACHINE = {"device": "cpu", "threads": 2}


def cells(text):
    """The words of each line."""
    return [[cell for cell in map(str.strip, line.split("  ")) if cell] for line in text.splitlines()]


def test_times_of_training_steps():
    rows = [
        TrainingRow("as the recipe says", 0.123456, 64.98765, 1.0, 0.34567, 3 * 2**20),
        TrainingRow("fuse=on", note="no layer supports it"),
    ]
    given = {"machine": MACHINE, "images": 8, "parameters": 12345, "operations": 2_345_678_901}
    times = TrainingTimes(rows, **given, products={"fp32": 1.23456e11, "bf16": 2e9}, rounds=3, ranks=1)
    assert cells(training_in_words("net\x1b", times)) == [
        ["net\\x1b: 8 images a step, 12,345 parameters, 2.346 GFLOP an image; medians of 3 turns"],
        ["cpu 2; matrix products fp32 123.5, bf16 2 GFLOP/s".replace("cpu 2", "device cpu, threads 2")],
        [],
        ["OPTIONS", "S/STEP", "IMAGES/S", "SPEED", "OF PRODUCTS", "MEMORY", "NOTE"],
        ["as the recipe says", "0.1235", "64.99", "1.00", "34.6%", "3 MiB"],
        ["fuse=on", "no layer supports it"],
    ]
    several = TrainingTimes(rows, **given, products={}, rounds=3, ranks=2)
    assert "GFLOP an image, 2 ranks; medians" in training_in_words("net", several)


def test_how_training_steps_grow():
    points = [Point("side", 8, 0.123456, 64.98765, 3 * 2**20, 2_345_678_901), Point("depth", 2, note="too deep")]
    fits = [Fit("side", "seconds", 1.98765, 0.12345, 3), Fit("side", "memory", 1.0, None, 2)]
    for ranks, said in ((1, ""), (4, ", 4 ranks")):
        first, blank, *rest = cells(scaling_in_words("net", Scaling(points, fits, MACHINE, 5, ranks)))
        assert (first, blank) == ([f"net{said}: medians of 5 turns; device cpu, threads 2"], [])
        assert rest == [
            ["AXIS", "VALUE", "S/STEP", "IMAGES/S", "GFLOP/IMAGE", "MEMORY", "NOTE"],
            ["side", "8", "0.1235", "64.99", "2.346", "3 MiB"],
            ["depth", "2", "too deep"],
            [],
            ["AXIS", "FIGURE", "EXPONENT", "ERROR", "POINTS"],
            ["side", "seconds", "1.99", "0.12", "3"],
            ["side", "memory", "1.00", "2"],
        ]


@pytest.mark.parametrize(("threads", "words"), [(1, "1 thread"), (2, "2 threads")])
def test_the_last_line_of_a_sweep(threads, words):
    rows = [{"state": state} for state in ("done", "failed", "done")]
    assert closing(rows, 2, threads) == f"3 runs: 2 done, 1 failed; 2 at a time, with {words} each"


SCORE = {"unit": "bits_per_dim", "score": 1.23456, "kind": "bound", "nats": 54.321, "stderr": 0.25, "images": 9,
         "weights": "ema", "step": 7}  # fmt: skip


def test_a_score_with_what_it_is_of():
    of = "9 images, ema weights, step 7"
    assert score_line(SCORE) == f"<= 1.2346 bits/dim (nats/image 54.321 +- 0.250, {of})"
    assert score_line({**SCORE, "unit": "error", "stderr": None, "nats": None}) == f"1.235 error ({of})"
    assert score_line(None) is None


def test_the_best_score_comes_first_by_unit_and_none_last():
    given = [None, {**SCORE, "unit": "nats", "score": 0.5}, {**SCORE, "score": 2.0}, SCORE]
    assert sorted(given, key=rank_of_score) == given[::-1]


def test_runs_in_a_table():
    run = {"path": "runs/a", "state": "stopped", "nonfinite": True, "step": 3, "steps": 9, "validation": SCORE,
           "changed": "2020-05-04T03:02:01+00:00", "differs": {"lr": 0.1}}  # fmt: skip
    other = {**run, "state": "done", "validation": None, "differs": {}}
    columns, rows = run_columns([run, other, {"path": "runs/b", "error": "no lock"}])
    assert columns == ["folder", "state", "steps", "validation", "date", "differs"]
    assert [[row[column] for column in columns] for row in rows] == [
        ["runs/a", "stopped, not finite", "3/9", "<= 1.2346 bits/dim", "2020-05-04", "lr=0.1"],
        ["runs/a", "done", "3/9", "", "2020-05-04", ""],
        ["runs/b", "damaged", "", "", "", "no lock"],
    ]
    more = {**run, "nonfinite": False, "validation": {**SCORE, "images": 8}}
    columns, rows = run_columns([run, other, more])
    assert columns[4] == "images" and [row["images"] for row in rows] == ["9", "", "8"]
    assert rows[2]["state"] == "stopped"


def test_runs_that_are_compared():
    def one(**changes):
        about = {
            "path": "p",
            "state": "done",
            "step": 3,
            "steps": 9,
            "parameters": 12345,
            "validation": SCORE,
            **changes,
        }
        score = SimpleNamespace(nats=54.321, stderr=0.25)
        return SimpleNamespace(summary=about, validation=score, differs={})

    two = one(path="q", validation=None)
    two.validation, two.differs = SimpleNamespace(nats=2.0, stderr=None), {"lr": 0.1}
    found = SimpleNamespace(runs=[one(), two], behind=[0.0, None])
    assert compare._scores(found) == [
        ["state", "done", "done"], ["steps", "3/9", "3/9"], ["parameters", "12,345", "12,345"],
        ["validation", "<= 1.2346 bits/dim", ""], ["behind the best", "0.0000", ""],
        ["nats/image", "54.321 +- 0.250", "2.000"], ["best step", "7", ""],
    ]  # fmt: skip
    for each in (None, SimpleNamespace(nats=None, stderr=None)):
        two.validation = each
        assert compare._nats(two) == ""


def test_a_row_for_an_image():
    row = {"image": "a,b", "kind": "bound", "nats": 12.34567, "bits_per_dim": 0.123456, "label": 3, "class": "cat",
           "kl_1": 1.23456, "marked": 5, "flagged": True, "mask": "m.png", "picture_nats": [0, 5.0]}  # fmt: skip
    columns = ["kind", "nats", "bits_per_dim", "label", "class", "kl_1", "picture_nats", "mask", "marked", "flagged"]
    out = io.StringIO()
    with redirect_stdout(out):
        for rows in (PlainRows(columns), CsvRows(columns)):
            rows.add(row)
    head, line, names, values = out.getvalue().splitlines()
    assert cells(head) == [["NATS", "BITS/DIM", "CLASS", "KL 1", "MARKED", "FLAGGED", "IMAGE"]]
    assert cells(line) == [["<= 12.346", "<= 0.1235", "cat", "1.235", "5", "True", "a,b"]]
    assert head.index("BITS/DIM") + 8 == line.index("0.1235") + 6 == 26
    assert names == f"image,{','.join(columns)},error"
    assert values == '"a,b",bound,12.34567,0.123456,3,cat,1.23456,0 5.0,m.png,5,True,'


# Options


def converted(kind, value):
    try:
        return kind.convert(value, None, None)
    except click.UsageError as error:
        return str(error.message)


@pytest.mark.parametrize(("value", "found"), [
    ("100:164", slice(100, 164)), ("100:", slice(100, None)), (":64", slice(None, 64)), (":", slice(None)),
    ("1" * 12 + ":", slice(int("1" * 12), None)), (slice(1, 2), slice(1, 2)), ("1" * 13 + ":", None), ("3", None),
    ("-1:", None), ("1:2:3", None), ("", None),
])  # fmt: skip
def test_spans(value, found):
    said = f"'{value}' is not FIRST:END, such as 100:164" if found is None else found
    assert converted(Span(), value) == said


@pytest.mark.parametrize(("value", "found"), [
    ("1.5", ("", 1.5)), ("-2", ("", -2.0)), ("small=3", ("small", 3.0)), ("a=b=1", ("a=b", 1.0)),
    (("x", 1.0), ("x", 1.0)),
    ("=3", None), ("small=", None), ("small", None), ("", None),
])  # fmt: skip
def test_weights(value, found):
    said = f"'{value}' is neither a number nor CONDITION=NUMBER" if found is None else found
    assert converted(Weight(), value) == said


@pytest.mark.parametrize(("given", "found"), [
    ((), None), ((("", 2.0),), 2.0), ((("a", 2.0),), {"a": 2.0}), ((("a", 2.0), ("b", 0.0)), {"a": 2.0, "b": 0.0}),
    ((("a", 2.0), ("a", 3.0)), "once"), ((("", 2.0), ("", 3.0)), "once"), ((("a", 2.0), ("", 3.0)), "once"),
])  # fmt: skip
def test_what_guidance_is_asked_for(given, found):
    if found == "once":
        with pytest.raises(click.UsageError, match="--guidance names each condition once, or gives one weight for all"):
            _weights(given)
    else:
        assert _weights(given) == found


def test_of_a_run_only_the_data_are_overridden():
    _check(("data.root=x", "data.levels=2"))
    with pytest.raises(UsageError, match="only the data of a run can be overridden") as caught:
        _check(("data.root=x", "database=x"))
    assert (caught.value.where, caught.value.expected) == ('override "database=x"', "data.KEY=VALUE")


# Terminals


@pytest.fixture
def columns(monkeypatch):
    """columns(count): a terminal so wide."""
    monkeypatch.setattr("pixkit.cli.output.is_terminal", lambda stream: True)
    return lambda count: monkeypatch.setenv("COLUMNS", str(count))


def test_a_table_of_three_columns_wraps_where_it_is_a_column_too_wide(columns):
    rows = [("ab", "c" * 10, "d" * 9)]
    columns(2 + 2 + 10 + 2 + 9)
    assert table(("x", "y", "z"), rows) == f"X   Y           Z\nab  {'c' * 10}  {'d' * 9}"
    columns(2 + 2 + 10 + 2 + 9 - 1)
    assert len(table(("x", "y", "z"), rows).split("\n")) == 3


def test_details_stay_in_the_table_where_the_cells_before_them_would_wrap(columns):
    headers, rows = ("folder", "state", "differs"), [("runs/first", "s" * 30, "lr=1 " * 9), ("r", "done", "")]
    columns(20)
    assert table_with_details(headers, rows) == table(headers, rows)
    assert len(table(headers, rows).split("\n")) > 5


def test_a_page_as_long_as_the_terminal_goes_through_the_pager(columns, monkeypatch):
    shown = []
    for way in ("echo", "echo_via_pager"):
        monkeypatch.setattr(f"pixkit.cli.output.click.{way}", lambda text, color, way=way: shown.append((way, color)))
    monkeypatch.setattr("pixkit.cli.output.colour_wanted", lambda: None)
    columns(80)
    for lines in (4, 5, 6):
        monkeypatch.setenv("LINES", str(lines))
        emit_markdown("a", lambda: "one\n\ntwo\n\nthree")
    assert shown == [("echo_via_pager", True), ("echo_via_pager", True), ("echo", True)]
    monkeypatch.setattr("pixkit.cli.output.colour_wanted", lambda: False)
    emit_markdown("a", lambda: "one")
    assert shown[-1] == ("echo", False)


def test_a_link_is_written_out_as_terminals_without_links_need_it(columns, capsys):
    columns(80)
    emit_markdown("a", lambda: "[home](https://example.org)")
    assert "home (" in (text := re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)) and "\x1b" not in text
    assert "https://example.org" in text


# Streams


def test_what_is_a_terminal(monkeypatch):
    stream = SimpleNamespace(closed=False, isatty=lambda: True)
    assert is_terminal(stream) and not is_terminal(None) and not is_terminal(io.StringIO())
    stream.closed = True
    assert not is_terminal(stream)
    for value, wanted in (("1", False), ("", None)):
        monkeypatch.setenv("NO_COLOR", value)
        assert colour_wanted() is wanted


def test_json_is_printable_ascii(capsys):
    given = {1: "é\x7f\n", "p": click.Choice, "n": float("nan")}
    emit_json_line(given)
    said = capsys.readouterr().out
    assert said == '{"1": "\\u00e9\\u007f\\n", "p": "' + str(click.Choice) + '", "n": null}\n'
    emit_json({1: "é\x7f\n", "p": click.Choice})
    assert capsys.readouterr().out == '{\n  "1": "\\u00e9\\u007f\\n",\n  "p": "' + str(click.Choice) + '"\n}\n'
