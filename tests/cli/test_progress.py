"""What commands say while they work, and how they lay it out."""

import json
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from pixkit.cli import output
from pixkit.cli.progress import ProgressBar, ProgressLines, show_progress
from pixkit.cli.scores import headline
from pixkit.components.config import ComponentConfig
from pixkit.components.keys import keys_of
from pixkit.components.spec import BackboneRef, HeadRef
from pixkit.runs.figures import number
from pixkit.testing import named


def test_lines_of_progress_come_every_few_seconds(capsys):
    now = 0.0
    line = ProgressLines(clock=lambda: now)
    for second in range(13):
        now = float(second)
        line.update("training", second, 100, "fine")
    line.update("scoring", 1, 2)
    line.update("scoring", 2, 2)
    now = 30.0
    line.update("fetching", 1, 0)
    now = 40.0
    line.update("fetching", 512, 0)
    assert capsys.readouterr().err == "training 5/100  fine\ntraining 10/100  fine\nfetching 512\n"


def test_quiet_progress_says_nothing(capsys):
    with show_progress(quiet=True) as quiet:
        quiet.say("psst")
        quiet.update("training", 100, 100)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_problem_is_said_under_q_too(capsys):
    with show_progress(quiet=True) as quiet:
        quiet.problem("no samples")
    assert capsys.readouterr().err == "pixkit: no samples\n"
    bar = ProgressBar()
    bar.problem("no [x] samples")
    assert "no [x] samples" in capsys.readouterr().err


def test_what_is_printed_meanwhile_goes_to_stderr(capsys):
    with show_progress(quiet=True):
        print("a component says")
    print("data")
    assert capsys.readouterr() == ("data\n", "a component says\n")


def test_without_a_terminal_there_are_lines(capsys):
    with show_progress(quiet=False) as lines:
        lines.say("[B, C] is not markup")
    assert capsys.readouterr().err == "[B, C] is not markup\n"


def test_the_bar_takes_one_task_after_the_other(capsys):
    bar = ProgressBar()
    for what in ("reading [x]", "training"):
        bar.update(what, 0, 0)
        bar.update(what, 1, 2, "fine")
    bar.say("[B, C] is not markup")
    bar.close()
    assert "[B, C] is not markup" in capsys.readouterr().err


def test_the_bar_learns_how_much_there_is():
    bar = ProgressBar()
    totals = []
    for done, total in ((1, 0), (2, 10), (3, 20)):
        bar.update("fetching", done, total)
        (task,) = bar._bar.tasks
        totals.append((task.completed, task.total))
    bar.close()
    assert totals == [(1, None), (2, 10), (3, 20)]


def test_json_has_null_for_what_it_lacks(capsys):
    output.emit_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": ("x", None)})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "c": ["x", None]}


def test_tables_align_and_take_text_as_it_is():
    text = output.table(("name", "what"), [("a", "[bold]x[/bold]"), ("longer", "y")])
    assert text == "NAME    WHAT\na       [bold]x[/bold]\nlonger  y"


CELLS = [["a", "[bold]x[/bold]"], ["", "y  "], ["\u5bbd\u5ea6", "e\u0301 \U0001f600"], ["longer than all", "\x1b[2J\n"]]


@pytest.mark.parametrize("rows", [CELLS, CELLS[:1], []], ids=len)
def test_a_table_with_room_is_laid_out_as_one_that_wraps(monkeypatch, rows):
    """The one is laid out here, at once, and the other by rich."""
    monkeypatch.setattr("pixkit.cli.output.is_terminal", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "200")
    text = output.table(("name", "what"), rows)
    monkeypatch.setattr("pixkit.cli.output._columns", lambda text: 1000)
    assert output.table(("name", "what"), rows) == text


def test_tables_wrap_on_a_terminal(monkeypatch):
    monkeypatch.setattr("pixkit.cli.output.is_terminal", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "30")
    text = output.table(("name", "what"), [("a", "many words " * 8)])
    assert max(map(len, text.split("\n"))) <= 30
    assert text.replace("\n", " ").split().count("words") == 8


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations(seconds, text):
    assert output.duration(seconds) == text


def test_paths_are_shown_as_one_would_type_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert output.shown_path(tmp_path / "runs" / "x") == "runs/x"
    assert output.shown_path("runs/x") == "runs/x"
    assert output.shown_path(tmp_path.parent) == str(tmp_path.parent)


def test_scores_in_words():
    row = {"split": "test", "weights": "raw", "kind": "bound", "images": 3, "bits_per_dim": 1.23456}
    assert number(None, "exact", 2) == "not finite"
    assert headline([row]) == "test <= 1.2346 bits/dim (3 images, raw weights)"
    assert headline([row, {**row, "weights": "ema"}]).endswith("ema weights)")
    assert headline([{**row, "split": "train"}]) == "no test score"


class Inner(BaseModel):
    depth: int = Field(2, gt=1, le=4, description="How deep.")


class Slow(BaseModel):
    type: Literal["slow"]
    rate: float = Field(0.5, ge=0, lt=1, description="How\n    slow.")


class Fast(BaseModel):
    type: Literal["fast", "faster"]
    needed: Inner


class Other:
    class Slow(BaseModel):
        """Of the same name as another."""

        type: Literal["other"] = "other"
        steps: int = 3


class Shade(Enum):
    dark = "dark"
    bright = 2


class Everything(ComponentConfig):
    """One key of each sort."""

    must: str
    needed: Inner
    way: Slow | Fast = Field(default=Slow(type="slow"), discriminator="type")
    backbone: BackboneRef | None = None
    head: HeadRef = Field(default={"type": "softmax"}, validate_default=True)
    whole: HeadRef = Field(default_factory=lambda: named("head", "softmax", independent=True))
    shade: Shade = Shade.dark
    only: Literal["x"] = "x"
    name: str = Field("a", pattern="^[a-z]$", description="Named.")
    anything: Any = None
    several: list[int | float | int] = Field(default_factory=list)
    flag: bool = False
    either: int | None = Field(None, ge=1)
    pair: tuple[int, float] = (1, 2.0)
    many: list[str] = Field(default_factory=list)
    choice: Literal["a", "b", 3] = "a"
    table: dict[str, float] = Field(default_factory=dict)
    inner: Inner = Field(default_factory=Inner)
    slow: Other.Slow = Field(default_factory=Other.Slow)
    slower: Other.Slow


def test_keys_of_a_configuration():
    rows = {row.key: (row.type, row.default, row.range) for row in keys_of(Everything)}
    assert rows == {
        "must": ("str", None, ""),
        "needed": ("Inner", None, ""),
        "way": ("fast | faster | slow", '{"type": "slow", "rate": 0.5}', ""),
        "way[slow].rate": ("float", "0.5", ">= 0, < 1"),
        "way[fast | faster].needed": ("Inner", None, ""),
        "backbone": ("backbone | null", "null", ""),
        "head": ("head", '{"type": "softmax"}', ""),
        "whole": ("head", '{"type": "softmax", "independent": true}', ""),
        "shade": ("dark | 2", "dark", ""),
        "only": ("x", "x", ""),
        "name": ("str", "a", "matches ^[a-z]$"),
        "anything": ("any", "null", ""),
        "several": ("[int | float, ...]", "[]", ""),
        "flag": ("bool", "false", ""),
        "either": ("int | null", "null", ">= 1"),
        "pair": ("[int, float]", "[1, 2.0]", ""),
        "many": ("[str, ...]", "[]", ""),
        "choice": ("a | b | 3", "a", ""),
        "table": ("{name: float}", "{}", ""),
        "inner.depth": ("int", "2", "> 1, <= 4"),
        "slow.type": ("other", "other", ""),
        "slow.steps": ("int", "3", ""),
        "slower": ("Slow", None, ""),
    }
    said = {row.key: row.description for row in keys_of(Everything)}
    assert (said["way[slow].rate"], said["inner.depth"], said["name"], said["must"]) == (
        *("How slow.", "How deep.", "Named.", ""),
    )
