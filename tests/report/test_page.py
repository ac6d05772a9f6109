"""The page as a whole: strict, by itself, and the same for the same runs, whatever these hold."""

import base64
import hashlib
import json
import re
import shutil

import pytest

from pixkit.errors import CheckpointError, RunError
from pixkit.report import page
from pixkit.report.facts import duration
from pixkit.runs.run import Run

EVIL = "<script>alert('1')</script>&\"\x1b[31m\u202e"
REFERENCES = {"href", "src", "aria-labelledby", "clip-path"}
VOID = {"meta", "img", "br", "col"}
SHAPES = {"path", "rect", "image"}


def references(root):
    """What is referred to within the page: `#name`, `url(#name)` and names with blanks between them."""
    for one in root.iter():
        if one.get("href", "").startswith("#"):
            yield one.get("href")[1:]
        yield from one.get("aria-labelledby", "").split()
        yield from re.findall(r"url\(#(.*)\)", one.get("clip-path", ""))


def test_it_is_strict_and_by_itself(both, parsed):
    root = parsed(both)
    names = [one.get("id") for one in root.iter() if one.get("id") is not None]
    assert len(names) == len(set(names)) > 20
    assert {*references(root)} - {*names} == set() and len({*references(root)}) > 20
    for one in root.iter():
        assert one.tag not in ("script", "link", "iframe", "object", "embed", "form", "base", "foreignObject", "use")
        assert not [key for key in one.attrib if key.startswith("on") or key == "style" or ":" in key]
        loaded = one.get("src") if one.tag in ("img", "image") else None
        for value in filter(None, (loaded, one.get("href") if one.tag != "a" else None)):
            assert base64.b64decode(value.removeprefix("data:image/png;base64,"), validate=True)[1:4] == b"PNG"
    assert all(one.get("href").startswith("#") for one in root.iter("a"))
    assert "http:" not in both and "https:" not in both
    (style,) = root.iter("style")
    assert not re.search(r"url\(|@import|<|&", style.text)
    digest = base64.b64encode(hashlib.sha256(style.text.encode()).digest()).decode()
    policy = root.find("head/meta[@http-equiv='Content-Security-Policy']").get("content").split("; ")
    assert policy[:3] == ["default-src 'none'", "img-src data:", f"style-src 'sha256-{digest}'"]


def test_browsers_read_it_as_it_is_read_as_xml(both):
    """Of HTML's elements those that have nothing within have no end, and all others have one."""
    assert {*re.findall(r"<(\w+)[^<>]*/>", both)} - SHAPES <= VOID
    assert not {*re.findall(r"</(\w+)>", both)} & VOID
    assert {each for each in both if not each.isprintable()} == {"\n"}


def test_what_is_seen_is_also_said(both, parsed):
    root = parsed(both)
    pictures = [one for one in root.iter("svg") if one.get("aria-hidden") is None]
    assert len(pictures) == 4, "curves over steps and over time, what a pixel sees, and the order"
    for one in pictures:
        title, described = one.find("title"), one.find("desc")
        assert one.get("role") == "img" and title.text and described.text
        assert one.get("aria-labelledby") == f"{title.get('id')} {described.get('id')}"
    assert len([*root.iter("img")]) == 6 and all("samples of #" in one.get("alt") for one in root.iter("img"))
    for one in root.iter("table"):
        assert one.find("caption").text and one.find("thead/tr/th").get("scope") == "col"
        assert all(row[0].get("scope") == "row" for row in one.find("tbody"))
    assert root.get("lang") == "en" and next(root.iter("title")).text == "digits-tiny: 2 runs"


def test_tables_say_what_the_files_of_a_run_say(both, parsed, cells):
    root = parsed(both)
    (first, second) = cells(root, "What the curves show, bits/dim")[1:]
    assert first[1:] == ["2.5688", "16", "2.6336", "2.5535 (step 15)", "4.0875 (step 1)", "0", "0"]
    assert first[0].startswith("#1 ") and second[0].startswith("#2 ") and first[1:] == second[1:]
    learnt = "training, smoothed, from 4.087 to 2.634; 2 scores, the best 2.569 at step 16."
    described = {
        one.find("title").text: one.find("desc").text for one in root.iter("svg") if one.find("desc") is not None
    }
    for over in ("steps", "time"):
        assert described[f"bits/dim over {over}"] == f"#1: {learnt} #2: {learnt}"
    assert "seconds of steps and scorings, without" in both and "mean over 1 steps" in both
    assert [row[1:] for row in cells(root, "Scores")[1:7]] == [
        ["validation", "raw", "150", "2.5703 bits/dim", "114.023 +- 0.802"],
        ["validation", "ema", "150", "2.5827 bits/dim", "114.571 +- 0.866"],
        ["test", "raw", "32", "2.5828 bits/dim", "114.578 +- 1.684"],
        ["test", "ema", "32", "2.5964 bits/dim", "115.179 +- 1.823"],
        ["train", "raw", "32", "2.5361 bits/dim", "112.504 +- 1.678"],
        ["train", "ema", "32", "2.5459 bits/dim", "112.938 +- 1.830"],
    ]
    assert [[*row] for row in cells(root, "What the runs were trained on")[1:13]] == [
        ["images", "digits, 17 levels"], ["shape", "1x8x8, K = 17"], ["levels", "17"], ["classes", "10"],
        ["training images", "256"], ["validation images", "150"], ["test images", "32"], ["data.source", "digits"],
        ["data.levels", "null"], ["data.binarise", "null"], ["data.threshold", "0.5"], ["data.validation", "0.1"],
    ]  # fmt: skip
    assert dict(cells(root, "What the runs were made on")[1:])["plugins"] == "vintage-pixels:vintage 1.3.0"
    assert cells(root, "Time, without")[1:] == [
        ["images a second, median", "1,974.5"], ["images of a step", "16"], ["steps and scorings", "0.2 s"],
        ["scorings", "0.0 s"], ["checkpoint", "ema 0.00 MiB, model 0.00 MiB, optimizer 0.01 MiB"],
    ]  # fmt: skip


@pytest.mark.parametrize(("seconds", "words"), [(None, ""), (float("nan"), ""), (119.96, "120.0 s"), (120, "2.0 min"),
                                                (7199, "120.0 min"), (7200, "2.0 h")])  # fmt: skip
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_the_same_runs_give_the_same_page(copied):
    (run,) = copied("run")
    assert page(run, field=False) == page([Run.open(run)], field=False)


def test_whatever_a_run_holds_is_text(copied, parsed, edit):
    (run,) = copied("<script>alert(2)<")
    quoted = json.dumps(EVIL)
    edit(
        run / "recipe.lock.yaml",
        ("name: digits-tiny", f"name: {quoted}"),
        ("description: digits, 17 levels", f"description: {quoted}"),
        ("overrides: []", f"overrides: [{quoted}]"),
        ("changes: []", f"changes: [{quoted}]"),
        ("      train: ", f"      {quoted}: "),
        ("    reason: as the recipe says", f"    reason: {quoted}"),
    )
    edit(run / "env.json", ('"cpu"', quoted), ('"vintage-pixels:vintage"', quoted))
    edit(run / "scores.json", ('"parts": {}', f'"parts": {{{quoted}: 1.0}}'))
    (run / "samples" / "step-8.npz").write_text(EVIL)
    told = []
    text = page(run, field=False, say=told.append)
    root = parsed(text)
    assert "<script" not in text and not [*root.iter("script")]
    said = "".join(root.itertext())
    shown = "<script>alert('1')</script>&\"\\x1b[31m\\u202e"
    assert said.count(shown) >= 9 and "\x1b" not in text and "<script>alert(2)<" in said
    assert root.find("body/header/h1").text == shown
    assert (
        len(told) == 1
        and "#1: the samples step-8 cannot be shown" in told[0]
        and told[0].partition("step-8 ")[2] in said
    )


def test_a_run_that_has_just_begun(copied, parsed, cells):
    (run,) = copied("run")
    for name in ("scores.json", "metrics.jsonl", "best", "last", "env.json"):
        (run / name).unlink()
    for name in ("checkpoints", "samples"):
        shutil.rmtree(run / name)
    text = page(run, field=False)
    root = parsed(text)
    assert cells(root, "The runs")[1][1:5] == ["stopped", "0/16", "705", ""]
    for words in ("has no checkpoint yet", "Nothing is logged yet", "Nothing was scored yet", "No samples were drawn"):
        assert words in text


def test_a_run_that_is_being_trained_is_told_as_far_as_it_is(copied, parsed, cells, edit):
    (run,) = copied("run")
    (run / "scores.json").unlink()
    edit(run / "recipe.lock.yaml", ("  steps: 16", "  steps: 99"))
    with Run.claim(run, resume=True):
        text = page(run, field=False)
    root = parsed(text)
    assert cells(root, "The runs")[1][1:3] == ["running", "16/99"]
    assert "#1 is still being trained" in text and "its state at step 16" in text
    assert cells(root, "Scores")[1][1:] == ["validation", "ema", "32", "2.5688 bits/dim", "113.954 +- 1.585",
                                            "step 16, as it was logged"]  # fmt: skip


def test_what_is_no_run_or_damaged_is_an_error(copied, tmp_path, edit):
    with pytest.raises(RunError, match="not a pixkit run"):
        page(tmp_path / "absent")
    (run,) = copied("run")
    edit(run / "checkpoints" / "step-16" / "manifest.json", ("16", "17"))
    with pytest.raises(CheckpointError, match="damaged"):
        page(run)
