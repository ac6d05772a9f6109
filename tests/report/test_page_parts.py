"""The parts of the page: what each says of runs that differ."""

import base64
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pixkit.catalogue.published import PUBLISHED
from pixkit.errors import RecipeError
from pixkit.figures.grids import in_colour
from pixkit.report import page, samples
from pixkit.report import recipes as recipes_of
from pixkit.report.chart import HEIGHT, LEFT, LINE, TOP, WIDTH, Line, chart
from pixkit.report.curve import Curve
from pixkit.report.facts import _count
from pixkit.report.learning import learning
from pixkit.report.markup import beside, element, escaped
from pixkit.report.page import _title
from pixkit.report.scores import _behind, _cells, _here, _running, _so_far, _sorted, _state, recipe_name
from pixkit.report.subject import images_of_step, read_subjects


def test_elements_escape_what_is_put_into_them():
    made = element("td", "a < b & \x00", None, [element("br"), 3], class_="x\"'", aria_label=None, data_n=1.5)
    assert str(made) == '<td class="x&quot;&#x27;" data-n="1.5">a &lt; b &amp; \\x00<br/>3</td>'
    assert str(element("td")) == "<td></td>" and str(element("path", element("title", "<"), d="M0 0")) == (
        '<path d="M0 0"><title>&lt;</title></path>'
    )
    assert escaped("\ud800 ü\n\u202e") == "\\ud800 ü\n\\u202e"


def test_what_is_the_same_of_all_runs_stands_once():
    table = str(beside("c", ["#1", "#2"], [("same", ["x", "x"]), ("own", ["x", ""]), ("none", ["", ""])]))
    assert '<th scope="row">same</th><td colspan="2">x</td>' in table and "none" not in table
    assert '<th scope="row">own</th><td class="own">x</td><td class="own">-</td>' in table
    assert '<th scope="row">own</th><td>x</td>' in str(beside("c", ["#1"], [("own", ["x"])]))


def line(number, values, scores=(), again=()):
    steps = np.arange(1, len(values) + 1)
    raw = Curve(steps.astype(float), np.array(values, float), steps)
    return Line(number, raw, raw, scores, [f"at {x}" for x, _ in scores], again)


def test_a_chart_shows_gaps_crosses_extensions_and_what_is_off_the_axes(parsed):
    values = [1e9, *[2.0] * 38, math.nan, *[1.0] * 60]
    root = parsed(f"<!DOCTYPE html>\n{chart('c', 't', 'd', [line(1, values, [(100, 1.5)], [50])], across='x', up='y')}")
    paths = {kind: [one.get("d") for one in root.iter("path") if one.get("class").split()[0] == kind]
             for kind in ("raw", "lost", "again", "smooth", "scored", "dot")}  # fmt: skip
    assert [len(found) for found in paths.values()] == [1] * 6
    assert paths["raw"] == paths["smooth"] and paths["raw"][0].count("M") == 2, "in two pieces"
    numbers = [float(one) for one in re.findall(r"-?[0-9.]+", paths["raw"][0])]
    assert min(numbers) < TOP - HEIGHT, "cut off by the axes, and not followed further"
    assert max(numbers) <= LEFT + WIDTH and min(numbers) > -4 * HEIGHT
    assert paths["lost"][0].count("M") == 1 and paths["again"][0].startswith(f"M{LEFT + WIDTH * 50 / 101:.1f} ")
    assert [one.text for one in root.iter("title")] == ["t", "at 100"]
    axis = {one.text: one for one in root.iter("text")}
    assert {"1", "1.2", "2", "100", "x", "y", "#1"} <= {*axis} and "1e+09" not in axis
    assert axis["100"].attrib == {"x": f"{LEFT + WIDTH * 100 / 101:.1f}", "y": str(TOP + HEIGHT + 17),
                                  "text-anchor": "middle"}  # fmt: skip
    across, down = map(float, paths["scored"][0].removeprefix("M").split())
    assert across == pytest.approx(LEFT + WIDTH * 100 / 101, abs=0.06)
    one, two = (axis[value].attrib for value in ("1", "2"))
    assert (float(one["y"]) + float(two["y"])) / 2 == pytest.approx(down + 4, abs=0.11), "1.5 is between them"
    assert float(one["y"]) > float(two["y"]) and (one["x"], one["text-anchor"]) == (str(LEFT - 7), "end")
    assert float(axis["#1"].get("y")) == pytest.approx(down + 4, abs=0.11)


def test_marks_at_the_end_of_curves_do_not_overlap(parsed):
    """They end at the lower edge, where there is room for one."""
    lines = [line(number, [2.0, 1.0 + number * 1e-6]) for number in range(1, 13)]
    root = parsed(f"<!DOCTYPE html>\n{chart('c', 't', 'd', lines, across='x', up='y')}")
    ends = [one for one in root.iter("text") if one.get("class", "").startswith("end")]
    places = [float(one.get("y")) for one in ends]
    assert [one.text for one in ends] == [f"#{number}" for number in range(12, 0, -1)]
    assert min(np.diff(places)) >= LINE - 0.11 and places[-1] <= TOP + HEIGHT + 5
    assert ends[-1].get("class") != ends[0].get("class")
    far = [one.get("class") for one in root.iter("path") if "far" in one.get("class").split()]
    assert far.count("smooth c1 far") == 1, "colours come again, with dashes"
    assert chart("c", "t", "d", [line(1, [math.nan])], across="x", up="y") is None


@pytest.mark.parametrize(("hours", "told", "there"), [
    (0.033, "seconds", 118.8), (0.034, "minutes", 2.04), (1.99, "minutes", 119.4), (2.0, "hours", 2.0)])  # fmt: skip
def test_time_is_told_in_units_of_its_size(copied, parsed, hours, told, there):
    """Of a run that was extended at step 8."""
    (one,) = read_subjects(copied("run"))
    times = one.log.hours * hours / one.log.hours[-1]
    one.settings["lock"]["segments"] = [{"step": 0}, {"step": 8}]
    root = parsed(f"<!DOCTYPE html>\n{learning([replace(one, log=replace(one.log, hours=times, scores=()))])}")
    picture = [*root.iter("svg")][1]
    texts = [text.text for text in picture.iter("text")]
    assert f"{told} of steps and scorings, without pauses, samples and checkpoints" in texts
    ticks = [float(text.text) for text in picture.iter("text") if text.get("text-anchor") == "middle"]
    assert 0.75 * there < max(ticks) <= 1.01 * there
    (again,) = [path.get("d") for path in picture.iter("path") if path.get("class") == "again"]
    assert float(again[1:].split()[0]) == pytest.approx(LEFT + WIDTH * times[7] / times[-1] / 1.01, abs=0.06)


def test_of_a_run_without_a_finite_value_no_extremes_are_told(copied, parsed, cells):
    (one,) = read_subjects(copied("run"))
    log = replace(one.log, values=np.full(16, math.nan), scores=())
    root = parsed(f"<!DOCTYPE html>\n{learning([replace(one, log=log)])}")
    assert cells(root, "What the curves show")[1][1:] == ["", "", "", "", "", "16", "0"]
    assert not [*root.iter("figure")]


def test_a_page_of_many_samples_shows_fewer_of_each_step(copied, parsed, monkeypatch):
    """Two runs have three grids each: at 8x8, 6 * 64 sub-pixels for one sample of each."""
    subjects = read_subjects(copied("a", "b"))
    with np.load(subjects[0].run.samples / "step-8.npz") as arrays:
        drawn = in_colour(arrays["samples"], subjects[0].run.spec)[..., 0]
    for budget, count in ((10**6, 4), (6 * 64 * 3 - 1, 2), (1, 1)):
        monkeypatch.setattr(samples, "BUDGET", budget)
        root = parsed(f"<!DOCTYPE html>\n{samples.samples(subjects, print)}")
        assert [one.get("alt").split()[0] for one in root.iter("img")] == [str(count)] * 6
        assert [one.text for one in root.iter("figcaption")] == ["step 8", "step 16", "best"] * 2
        first = next(root.iter("img"))
        grid = np.asarray(Image.open(io.BytesIO(base64.b64decode(first.get("src").partition(",")[2]))))
        assert (int(first.get("width")), int(first.get("height"))) == (grid.shape[1] * 6, grid.shape[0] * 6)
        for place, picture in enumerate(drawn[:count]):
            top, left = divmod(place, 2 if count > 1 else 1)
            assert np.array_equal(grid[9 * top : 9 * top + 8, 9 * left : 9 * left + 8], picture)
        assert set(grid[:, 8:9].ravel().tolist()) == ({128} if count > 1 else set())


def test_samples_that_are_objects_are_not_made(copied, tmp_path):
    class Touching:
        def __reduce__(self):
            return Path.touch, (tmp_path / "touched",)

    (run,) = copied("run")
    np.savez(run / "samples" / "step-8.npz", samples=np.full((1, 1, 8, 8), Touching()))
    told = []
    assert "step-8: cannot be shown" in str(samples.samples(read_subjects([run]), told.append))
    assert len(told) == 1 and not (tmp_path / "touched").exists()


def test_recipes_are_compared_with_the_packaged_one_and_with_each_other(copied, edit, parsed, cells):
    runs = copied("a", "b")
    edit(runs[0] / "recipe.lock.yaml", ("name: digits-tiny", "name: mnist-gated"), ("accumulate: 1", "accumulate: 2"))
    scores = json.loads((runs[0] / "scores.json").read_text())
    for row in scores["scores"]:
        row["bits_per_dim"] += 0.25
    (runs[0] / "scores.json").write_text(json.dumps(scores))
    root = parsed(page(runs, field=False))
    assert [row[4:6] for row in cells(root, "The runs")[1:]] == [
        ["2.8327 bits/dim", "0.2500"], ["2.5827 bits/dim", "0.0000"]]  # fmt: skip
    assert cells(root, "In which keys")[1:] == [["train.accumulate", "2", "1"]]
    own = dict(row[::2] for row in cells(root, "What differs from the packaged recipe mnist-gated")[1:])
    assert own["data.source"] == "digits" and own["train.accumulate"] == "2" and "name" not in own
    assert own["model.backbone.type"] == "pixelcnn"
    ((name, recipe, here, *published),) = cells(root, "Beside published figures")[1:]
    assert name.startswith("#1 ") and recipe == "mnist-gated" and published == [*vars(PUBLISHED[recipe]).values()]
    assert here == "test: 2.8464 bits/dim; 115.179 +- 1.823"  # of averaged weights
    assert "Of a recipe that does not come with pixkit" in "".join(root.itertext())
    assert ["images of a step", "32", "16"] in cells(root, "Time, without")


def test_beside_a_published_figure_stands_what_there_is(copied):
    (one,) = read_subjects(copied("run"))

    def here(*scores, **changes):
        told = [row for row in one.about["scores"] if (row["split"], row["weights"]) in scores]
        return _here(replace(one, about={**one.about, "scores": told}, **changes))

    assert here(("test", "raw"), ("train", "ema")) == "test: 2.5828 bits/dim; 114.578 +- 1.684"
    assert here(("validation", "ema")) == "validation: 2.5827 bits/dim"
    assert here(validation=None) == "not scored yet"


def test_a_part_of_the_page_for_each_fact_that_a_run_may_lack(copied):
    (one,) = read_subjects(copied("run"))
    row = _sorted(one.about["scores"])[0]
    assert _cells({**row, "parts": {"kl_1": 1.5, "more": 2.0}, "samples": 5, "kind": "estimate"})[3:] == (
        "~ 2.5703 bits/dim", "~ 114.023 +- 0.802", "kl_1 1.500, more 2.000; 5 importance samples",
    )  # fmt: skip
    assert _cells({**row, "stderr": None, "bits_per_token": 2.5})[3:5] == ("2.5000 bits/token", "114.023")
    assert _cells({**row, "kind": "none", "parts": {"error": 0.5}})[3:] == ("", "", "error 0.500")
    assert [_state({"state": "stopped", "nonfinite": each}) for each in (True, False)] == [
        "stopped, not finite", "stopped",
    ]  # fmt: skip
    assert _state({"state": "running", "nonfinite": True}) == "running"
    about = {**one.about, "state": "running", "checkpoints": [], "step": 3}
    told = [[*_running([replace(one, about={**about, "builder": by})])] for by in ("4711 on x", None)]
    assert told == [
        [f"#1 is still being trained{by}: this is its state at step 3.", "#1 has no checkpoint yet."]
        for by in (" (4711 on x)", "")
    ]
    order = _sorted([{"split": split} for split in ("other", "train", "test", "validation")])
    assert [each["split"] for each in order] == ["validation", "test", "train", "other"]
    other = one.validation.__class__(**{**vars(one.validation), "unit": "error", "nats": None, "score": 0.25})
    assert _so_far(replace(one, validation=other))[3:] == ("", "", "0.250 error; step 16, as it was logged")


def test_several_runs_have_a_title_their_recipes_and_distances_if_they_compare(copied):
    (one,) = read_subjects(copied("run"))

    def named(name, recipe=""):
        settings = {**one.settings, "name": name, "lock": {**one.settings["lock"], "recipe": recipe}}
        return replace(one, settings=settings, about={**one.about, "name": name})

    titles = [_title([named(str(number)) for number in range(count)]) for count in (4, 5)]
    assert titles == ["0, 1, 2, 3: 4 runs", "0, 1, 2, 3 and 1 more: 5 runs"]
    built = [recipe_name(named("mnist-gated", f"there/{name}.yaml")) for name in ("cifar10-gated", "own")]
    assert built == ["cifar10-gated", "mnist-gated"]
    unlike = replace(one, validation=replace(one.validation, unit="error"))
    assert (_behind([one, unlike]), _behind([one, one])) == ([None, None], [0.0, 0.0])


def test_of_scores_of_a_part_the_images_of_the_whole_are_counted():
    scores = [{"split": "test", "images": count} for count in (300, 100)] + [{"split": "validation", "images": 7}]
    one = SimpleNamespace(about={"scores": scores}, validation=SimpleNamespace(images=9))
    assert [_count(one, split) for split in ("test", "validation", "train")] == [300, 7, None]
    one.about = {"scores": []}
    assert [_count(one, split) for split in ("test", "validation")] == [None, 9]


def test_of_one_run_no_differences_are_told_nor_its_name_and_a_recipe_that_cannot_be_read_is(copied, monkeypatch):
    (one,) = read_subjects(copied("run"))
    assert (recipes_of._between([one]), str(recipes_of._between([one, one]))) == (
        None, "<p>All runs have the same recipe.</p>",
    )  # fmt: skip
    packaged = recipes_of._packaged("mnist-gated")
    lock = {"recipe": "there/mnist-gated.yaml"}
    for name, lr, said in (("own", 0.5, "train.optimizer.lr"), ("mnist-gated", None, "As the packaged recipe")):
        train = packaged["train"]
        changed = train if lr is None else {**train, "optimizer": {**train["optimizer"], "lr": lr}}
        own = replace(one, settings={**packaged, "pixkit": 0, "name": name, "train": changed, "lock": lock})
        text = str(recipes_of._beside_packaged(own, {"mnist-gated": packaged}))
        assert said in text and text.count("<tr>") == (0 if lr is None else 2)

    def fail(path):
        raise RecipeError("no", where=path.stem)

    told = []
    monkeypatch.setattr(recipes_of, "load_recipe", fail)
    why = "the packaged recipe mnist-gated cannot be read: mnist-gated: no"
    shown = str(recipes_of.recipes([own], told.append))
    assert told == [why] and f'<p class="note">T{why[1:]}</p>' in shown


@pytest.mark.parametrize(("train", "images"), [
    ({"batch_size": 6}, 6), ({"batch_size": 6, "accumulate": 2}, 12), ({}, 1), ({"batch_size": 2.5}, 1),
    ({"batch_size": 6, "accumulate": 0}, 6), ({"batch_size": "x", "accumulate": 3}, 3)])  # fmt: skip
def test_a_step_has_the_images_of_all_its_parts(train, images):
    assert images_of_step({"train": train}) == images
