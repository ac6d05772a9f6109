"""What commands print of results that are made by hand, to the letter; and what their options take, at the ends."""

import io
import os
import sys
from types import SimpleNamespace

import click
import pytest
import torch
from PIL import Image

from pixkit.cli import output
from pixkit.cli.building import BuildReporter
from pixkit.cli.commands import bench, complete, upscale, verify
from pixkit.cli.commands.ls import markdown_table
from pixkit.cli.drawing import one_of, picture
from pixkit.cli.options import KIND, Codes, Numbers, Span, Weight, shape_option
from pixkit.cli.progress import Progress, ProgressBar
from pixkit.cli.scores import headline, score_table
from pixkit.image import ImageSpec
from pixkit.orderings.scans import Raster
from pixkit.readiness.report import Sight
from pixkit.tasks.complete import Completion
from pixkit.tasks.timing import Row, SamplingTimes


@pytest.mark.parametrize(("seconds", "text"), [
    (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2.0 h"), (9000, "2.5 h"),
])  # fmt: skip
def test_durations_change_their_unit(seconds, text):
    assert output.duration(seconds) == text


def test_pairs_are_aligned():
    assert output.pairs({"a": "1", "longer": "2"}) == "a       1\nlonger  2"


# Scores


def row(**more):
    plain = {"split": "test", "weights": "ema", "images": 3, "kind": "exact", "nats": 2.0, "bits_per_dim": 0.5}
    return {**plain, "stderr": 0.25, **more}


def lines(text):
    return [line.split("  ") for line in text.splitlines()]


def cells(text):
    return [[cell.strip() for cell in line if cell.strip()] for line in lines(text)]


def test_a_table_of_scores():
    heads = ["SPLIT", "WEIGHTS", "IMAGES", "BITS/DIM", "NATS/IMAGE", "ERROR"]
    assert cells(score_table([row(), row(split="train", stderr=None)])) == [
        heads, ["test", "ema", "3", "0.5000", "2.000", "+- 0.250"], ["train", "ema", "3", "0.5000", "2.000"]
    ]  # fmt: skip
    several = [
        row(kind="bound", parts={"kl_1": 1.0}), row(kind="estimate", samples=7), row(kind="bound", nats=None)
    ]  # fmt: skip
    assert cells(score_table(several)) == [
        [*heads, "KL_1", "BY"],
        ["test", "ema", "3", "<= 0.5000", "<= 2.000", "+- 0.250", "1.000", "one draw"],
        ["test", "ema", "3", "~ 0.5000", "~ 2.000", "+- 0.250", "7 importance samples"],
        ["test", "ema", "3", "<= 0.5000", "not finite", "+- 0.250", "one draw"],
    ]


def test_figures_without_a_likelihood():
    figures = [row(kind="none", parts={"reconstruction": 9.0, "accuracy": 0.5}), row(kind="none", split="train")]
    assert cells(score_table(figures)) == [
        ["SPLIT", "WEIGHTS", "IMAGES", "RECONSTRUCTION", "ACCURACY"], ["test", "ema", "3", "9.000", "0.500"],
        ["train", "ema", "3"],
    ]  # fmt: skip
    assert headline(figures) == "test reconstruction 9.000, accuracy 0.500 (3 images, ema weights)"


# Sampling times


def test_sampling_times():
    rows = [
        Row(
            16,
            "cached",
            "native",
            0.123456,
            0.0345678,
            3.5714,
            9.0,
            72.9012,
            0.0123456,
            1.34567,
            0.1456789,
            "of some steps",
        ),
        Row(1, "ancestral", None, None, 0.5, None, 9.0, None, None, None, None, ""),
    ]
    times = SamplingTimes(rows, {"tracing": 1.25, "planning": 0.004}, {"cpu": "x", "threads": 2}, 64, 3)
    first, second, blank, *table = bench._in_words("net", times).splitlines()
    assert first == "net: 64 steps; medians of 3 turns; cpu x, threads 2"
    assert (second, blank) == ("once: tracing 1.25 s, planning 0.00 s", "")
    assert cells("\n".join(table)) == [
        [
            "BATCH",
            "SAMPLER",
            "EXECUTOR",
            "SECONDS",
            "FORWARD",
            "PER FORWARD",
            "SPEED-UP",
            "PACKING",
            "FIRST CALL",
            "LATER CALLS",
            "NOTE",
        ],
        ["16", "cached", "native", "0.1235", "0.03457", "3.57", "72.9", "0.0123", "1.346", "0.1457", "of some steps"],
        ["1", "ancestral", "0.5"],
    ]


# Builds


class Heard(Progress):
    def __init__(self):
        self.all = []

    def say(self, text):
        self.all.append(text)

    def update(self, *what):
        self.all.append(what)


def test_what_a_build_tells_while_it_trains():
    progress = Heard()
    reporter = BuildReporter(progress)
    reporter.start(100, 3)
    reporter.step(4, {"bits_per_dim": 1.23456, "loss": 0.123456, "nats": 5.0, "images_per_second": 1234.5})
    reporter.step(5, {"a/loss": 2.0, "b/loss": 0.5, "b/other": 1.0, "images_per_second": 10.0})
    reporter.loading("reading", 1, 2)
    reporter.working("drawing", 3, 4)
    assert progress.all == [
        ("training", 3, 100), ("training", 4, 100, "1.235 bits/dim, loss 0.1235, 1234 images/s"),
        ("training", 5, 100, "a loss 2, b loss 0.5, 10 images/s"), ("reading", 1, 2), ("drawing", 3, 4),
    ]  # fmt: skip


@pytest.mark.parametrize(("metrics", "text"), [
    ({"kind": "exact", "bits_per_dim": 1.5}, "1.5000 bits/dim"),
    ({"kind": "bound", "bits_per_dim": 1.5, "bits_per_dim_ema": 1.25, "best": True},
     "<= 1.2500 bits/dim, the best so far"),
    ({"kind": "bound", "bits_per_dim": 1.5, "best": False}, "<= 1.5000 bits/dim"),
    ({"kind": "none", "decides": "error", "error": 0.5, "bits_per_dim": 9.0}, "error 0.5000"),
    ({"kind": "none", "decides": "error", "error": 0.5, "error_ema": None, "best": True},
     "error not finite, the best so far"),
])  # fmt: skip
def test_what_a_build_tells_of_validation(metrics, text):
    progress = Heard()
    reporter = BuildReporter(progress)
    reporter.start(100, 0)
    reporter.evaluated(50, metrics)
    assert progress.all[1:] == [f"step 50/100: validation {text}"]


# Completions


def completion(**attributes):
    spec = ImageSpec(1, 1, 4, 2)
    known = torch.tensor([[[True, False, False, False]]])
    given = {
        "samples": torch.zeros(5, 1, 1, 4), "known": known, "ordering": Raster(Raster.Config(), spec), "exact": True,
        "nats": 3.0, "uncertainty": torch.zeros(1, 4), "entropy": 1.25, "summary": "", "image": torch.zeros(1, 1, 1, 4),
    }  # fmt: skip
    return Completion(**{**given, **attributes})


def test_completions_in_words():
    both = {"ordering": "raster", "missing": "3 sub-pixels"}
    drawn = {"kind": "exact", "completions": "~ 1.250 nats (their entropy, from 5)"}
    assert complete.told(completion(nats=None)) == both | drawn
    words = complete.told(completion())
    assert words == both | drawn | {"true content": "3.000 nats, 1.4427 bits/dim, given what is known"}
    assert list(words) == ["ordering", "missing", "kind", "true content", "completions"]
    clamped = complete.told(completion(exact=False, nats=None, entropy=None))
    assert set(clamped) == {"ordering", "missing", "kind"} and clamped["kind"].startswith("clamped: ")


@pytest.mark.parametrize(("panels", "rows"), [(10, 1), (11, 2)])
def test_up_to_ten_panels_stand_in_a_row(panels, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = SimpleNamespace(
        panels=lambda: torch.zeros(panels, 1, 2, 2, dtype=torch.int64), samples=None, spec=ImageSpec(1, 2, 2, 2)
    )
    upscale._save(found, tmp_path / "x.png")
    width, height = Image.open("x.png").size
    assert (width / height > 9) == (rows == 1)
    upscale._save(found, None)


def test_where_the_results_of_one_of_several_go(tmp_path):
    assert one_of(tmp_path / "x.png", 0, 1) == tmp_path / "x.png"
    assert one_of(tmp_path / "x.png", 3, 4) == tmp_path / "x-3.png"
    assert one_of(tmp_path / "x", 0, 1) == tmp_path / "x"
    assert one_of(tmp_path / "x", 3, 4) == tmp_path / "x" / "00003"


@pytest.mark.parametrize(("no_color", "encoding", "paint"), [
    ("", "utf-8", "truecolour"), ("", "UTF8", "truecolour"), ("1", "utf-8", "shades"), ("", "latin-1", "shades"),
    ("", None, "shades"),
])  # fmt: skip
def test_pictures_are_in_colour_where_the_terminal_has_it_and_leave_room_for_the_prompt(
    monkeypatch, no_color, encoding, paint
):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((50, 24)))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(encoding=encoding))
    seen = []
    monkeypatch.setattr("pixkit.figures.preview", lambda *given, **options: seen.append((given, options)) or "shown")
    assert picture("x", 4) == "shown"
    ((x, levels, painted), size) = seen[0]
    assert (x, levels, painted.__name__, size) == ("x", 4, paint, {"width": 50, "lines": 21})


# Proofs


def report(verdict, blamed=None, **attributes):
    leak = None if blamed is None else SimpleNamespace(blamed=SimpleNamespace(label=blamed))
    return SimpleNamespace(verdict=verdict, leak=leak, proof=None, **attributes)


@pytest.mark.parametrize(("found", "text"), [
    (report("proved"), "proved"), (report("leaks"), "no: it leaks"),
    (report("leaks", "body.1"), "no: it leaks, and body.1 is to blame"),
    (report("unproved"), "not proved, though no leak was seen; it can only be sampled by whole passes"),
    (report("unproved", "body.1"), "not proved, and body.1 is to blame, though no leak was seen; it can only be sampled"
                                   " by whole passes"),
])  # fmt: skip
def test_verdicts(found, text):
    assert verify._verdict(found) == text


def proof(**attributes):
    spec = ImageSpec(2, 1, 3, 2)
    network = SimpleNamespace(ordering=Raster(Raster.Config(), spec), spec=spec, backbone=torch.nn.ReLU())
    sight = torch.tensor([[[Sight.SEEN, Sight.BLIND, Sight.LATER]], [[Sight.SEEN, Sight.LEAK, Sight.ITSELF]]])
    given = {
        "network": network, "trace": SimpleNamespace(operations=[1, 2, 3]), "probes": 16, "seen_leak": None,
        "sight": sight, "pixel": (1, 0, 2), "step": 5, "problem": None,
        "count": lambda kind: int((sight == kind).sum()),
    }  # fmt: skip
    return report(**{"verdict": "proved", **given, **attributes})


def test_a_proof_in_words():
    text = verify._in_words("net", proof())
    facts, drawn = text.split("\n\n", 1)
    assert facts == output.pairs({
        "network": "net: ReLU, 2x1x3, K = 2, 3 operations", "ordering": "Raster, sequential colours, 6 steps",
        "causal": "proved", "probe": "16 sub-pixels changed in float64: no leak seen",
        "pixel": "colour, row, column 1, 0, 2, drawn at step 5",
        "sees": "2 of the 3 sub-pixels drawn before it; blind spot: 1", "sees too early": "1",
    })  # fmt: skip
    assert drawn == "#o.  #!@\n\n# seen  o blind spot  . not yet drawn  @ the pixel  ! seen too early"


def test_a_proof_that_failed_in_words():
    plain = torch.tensor([[[Sight.SEEN]]])
    text = verify._in_words("net", proof(sight=plain, count=lambda kind: int((plain == kind).sum()), problem="a leak"))
    assert "too early" not in text and text.endswith("\n\na leak\n\n#\n\n# seen")
    text = verify._in_words("net", proof(trace=None, sight=None, problem="why", seen_leak="at 1"))
    assert "not traced" in text and "float64: at 1\n" in text and text.endswith("\n\nwhy") and "pixel " not in text


def test_markdown_tables_escape_bars():
    assert markdown_table([{"a": "x|y", "b": 3}], ["a", "b"]) == "| a | b |\n| --- | --- |\n| x\\|y | 3 |"


# Options


def converted(kind, value):
    try:
        return kind.convert(value, None, None)
    except click.UsageError as error:
        return str(error.message)


@pytest.mark.parametrize("value", [
    "0,1,1,2", "1,0,1,2", "1,1,0,2", "1,1,1,1", "1,1,1", "1,1,1,2,3,4", "1,1,1,x", "1,1,1,-2", "1,1,1,\u00b2", "",
    "1,1,1,2,", f"1,1,1,{'9' * 5000}",
])  # fmt: skip
def test_shapes_that_are_none(value):
    assert "is not C,H,W,K" in converted(_shape(), value)


def _shape():
    @shape_option
    def command(shape):
        """Nothing."""

    (option,) = command.__click_params__
    return option.type


def test_shapes_that_are_some():
    assert converted(_shape(), "1,1,1,2") == (1, 1, 1, 2)
    assert converted(_shape(), " 3, 32,32 ,256,10") == (3, 32, 32, 256, 10)
    assert converted(_shape(), (1, 2, 3, 4)) == (1, 2, 3, 4)
    assert converted(_shape(), "1,1,1,999999999999") == (1, 1, 1, 10**12 - 1)


@pytest.mark.parametrize(("value", "found"), [
    ("all", "all"), ("none", "none"), ("3", (3,)), ("3,5", (3, 5)), ("123456789", (123456789,)), ((1, 2), (1, 2)),
    ("1234567890", None), ("3,1234567890", None), ("3,", None), ("3, 5", None), ("-1", None), ("", None), ("ALL", None),
])  # fmt: skip
def test_codes(value, found):
    answer = converted(Codes(), value)
    assert answer == found if found else "neither a code, nor several" in answer


def test_numbers_and_kinds():
    numbers = Numbers(lambda found: len(found) == 2, "two")
    assert (converted(numbers, "1,2"), converted(numbers, "1")) == ((1, 2), "'1' is not two")
    assert converted(numbers, "1,x") == "'1,x' is not two" and converted(numbers, (3,)) == (3,)
    assert (converted(KIND, "run"), converted(KIND, "runs"), converted(KIND, "masks")) == ("run", "run", "mask")
    assert converted(KIND, "runss").startswith("no kind 'runss'. Did you mean 'run'? There are: ordering, mask, ")


@pytest.mark.parametrize(("kind", "value"), [
    (Numbers(bool, "numbers"), "x"), (Codes(), "x"), (Span(), "x"), (Weight(), "x"), (KIND, "x"),
], ids=lambda each: getattr(each, "name", ""))  # fmt: skip
def test_a_value_that_is_refused_is_so_in_the_name_of_its_option(kind, value):
    parameter, context = click.Option(["--it"]), click.Context(click.Command("do"))
    with pytest.raises(click.BadParameter) as caught:
        kind.convert(value, parameter, context)
    assert (caught.value.param, caught.value.ctx) == (parameter, context)


# The bar


def test_the_bar_says_what_and_with_which_note_as_they_are_written(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setenv("COLUMNS", "60")
    bar = ProgressBar()
    try:
        bar.update("reading [x]", 1, 4, "a [y] :smile:")
        (task,) = bar._bar.tasks
        shown = [str(column.render(task)) for column in (bar._bar.columns[0], bar._bar.columns[-1])]
        assert bar._bar.live.transient, "it is removed in the end"
        assert shown == ["reading [x]", "a [y] :smile:"]
        bar.update("reading [x]", 2, 4, "b")
        assert (task.completed, task.total, task.fields["note"]) == (2, 4, "b")
        bar.update("training", 0, 9)
        (task,) = bar._bar.tasks
        assert (task.description, task.total, task.fields["note"]) == ("training", 9, ""), "one at a time"
        long = "a path/with/no/spaces :smile: " + "x" * 90 + " 12 'word'"
        bar.say(long)
        bar.close()
        assert bar._bar.tasks == [] and not bar._bar.live.is_started
        bar.update("training", 3, 9)
        assert [task.completed for task in bar._bar.tasks] == [3], "begun again"
    finally:
        bar.close()
    assert long in written.getvalue()
