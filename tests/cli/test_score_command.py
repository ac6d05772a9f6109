"""`pixkit score`: rows as they come, for people, as JSON Lines and CSV; maps; masks for `complete`."""

import csv
import io
import json
import math
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixkit.cli.image_rows import CsvRows, PlainRows
from pixkit.cli.progress import ProgressBar, ProgressLines, show_progress
from pixkit.figures import save_nats


@pytest.fixture
def pictures(workplace):
    """Two pictures of the digits' size and what is none, in a folder."""
    (workplace / "some").mkdir()
    for name, level in (("a", 0), ("c", 255)):
        Image.new("L", (8, 8), level).save(workplace / "some" / f"{name}.png")
    (workplace / "some" / "b.png").write_bytes(b"no picture")
    return workplace / "some"


def printed(rows, given):
    """The lines that these are printed as."""
    out = io.StringIO()
    with redirect_stdout(out):
        for row in given:
            rows.add(row)
        rows.close()
    return out.getvalue().splitlines()


def test_rows_in_order_with_one_line_for_a_bad_file(pixkit, built, pictures):
    outcome = pixkit("score", built, "test:0", "some")
    assert outcome.code == 3 and "1 of 4 could not be read" in outcome.err
    head, *rows = outcome.out.splitlines()
    assert head.split() == ["NATS", "BITS/DIM", "IMAGE"]
    assert [row.split()[-1] if "error" not in row else "error" for row in rows] == [
        "test:0", "some/a.png", "error", "some/c.png"]  # fmt: skip
    assert "some/b.png: not a readable image" in rows[2]
    assert "3 images, mean" in outcome.err
    nats, bits = map(float, rows[0].split()[:2])
    assert bits == pytest.approx(nats / (64 * math.log(2)), abs=1e-3)


def test_json_lines_and_csv_say_the_same_and_eval_agrees(pixkit, built, pictures):
    outcome = pixkit("score", built, "test::", "some/b.png", "--json", "-q", "--batch-size", 5)
    found = [json.loads(line) for line in outcome.out.splitlines()]
    assert (outcome.code, len(found), [*found[-1]]) == (3, 17, ["image", "error"])
    assert [*found[0]] == ["image", "kind", "nats", "bits_per_dim"] and found[15]["image"] == "test:15"
    mean = np.mean([row["nats"] for row in found[:-1]])
    assert mean == pytest.approx(json.loads(pixkit("eval", built, "--json").out)["nats"], rel=1e-5)
    table = list(csv.DictReader(io.StringIO(pixkit("score", built, "some/b.png", "test:2:4", "--csv", "-q").out)))
    assert [row["image"] for row in table] == ["some/b.png", "test:2", "test:3"]
    assert [float(row["nats"]) for row in table[1:]] == pytest.approx([row["nats"] for row in found[2:4]], rel=1e-6)
    assert (table[0]["nats"], table[0]["error"], table[1]["error"]) == ("", found[-1]["error"], "")


def test_rows_of_unlike_images_have_the_columns_of_all():
    """Those whose label is unknown have a figure that others do not."""
    rows = [{"image": "a", "kind": "exact", "nats": 1.0}, {"image": "b", "error": "bad"},
        {"image": "c", "kind": "exact", "nats": None, "best_label": 2.0}]  # fmt: skip
    columns = ["kind", "nats", "best_label"]
    assert printed(CsvRows(columns), rows) == ["image,kind,nats,best_label,error", "a,exact,1.0,,", "b,,,,bad",
        "c,exact,,2.0,"]  # fmt: skip
    assert [line.split() for line in printed(PlainRows(columns), rows)] == [["NATS", "BEST", "LABEL", "IMAGE"],
        ["1.000", "-", "a"], ["error", "bad"], ["not", "finite", "2.000", "c"]]  # fmt: skip
    assert printed(CsvRows(columns), []) == ["image,kind,nats,best_label,error"]


def test_maps_and_a_mask_that_complete_takes(pixkit, built, workplace):
    outcome = pixkit("score", built, "test:0", "test:1", "--map", "maps", "-o", "mask.png", "--above", "2.7", "--json")
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert outcome.code == 0 and [row["picture_nats"] for row in rows] == [[0, 5.0]] * 2
    for number, row in enumerate(rows):
        sites = np.load(row["map"])
        assert (row["map"], sites.shape) == (f"maps/{number:06d}.npy", (8, 8))
        assert float(sites.sum()) == pytest.approx(row["nats"], rel=1e-5)
        marked = np.asarray(Image.open(f"mask-{number}.png")) == 255
        assert (marked == (sites > 2.7)).all() and row["marked"] == marked.sum() > 0
        save_nats(sites, 5.0, "same.png")
        assert Path(row["picture"]).read_bytes() == Path("same.png").read_bytes()
    assert pixkit("score", built, "test:1", "--map", "second", "-q").code == 0
    assert np.allclose(np.load("second/000000.npy"), np.load("maps/000001.npy"), rtol=1e-5)
    one = pixkit("score", built, "test:0", "--map", "-o", "one.png", "--above", "2.7", "-q")
    assert one.code == 0 and (workplace / "one.png").read_bytes() == (workplace / "mask-0.png").read_bytes()
    assert pixkit("complete", built, "test:0", "--mask", "one.png", "-n", 1, "-o", "done.npz", "-q").code == 0
    done = np.load("done.npz")
    assert (done["known"][0] == (np.load("maps/000000.npy") <= 2.7)).all()


@pytest.mark.parametrize(("options", "code", "text"), [
    (["--json", "--csv"], 2, "not both"), (["--map"], 2, "needs a folder, or a mask"),
    (["--above", "1"], 2, "--above needs a mask"), (["-o", "m.jpg"], 2, "name a .png"),
    (["--map", "some"], 2, "not an empty folder"), (["--labels", "all"], 2, "--labels: the model takes no labels"),
    (["--importance", "2"], 2, "--importance: importance sampling is for"), (["test:9:3"], 2, "no such images"),
    (["test:9:99"], 2, "test:9: is all from there on"),
    (["test:99"], 2, "no image with that number"),
])  # fmt: skip
def test_what_is_refused(pixkit, built, pictures, options, code, text):
    outcome = pixkit("score", built, "test:0", *options)
    assert (outcome.code, text in outcome.err) == (code, True)


def test_only_bad_files_are_told_too(pixkit, built, pictures):
    outcome = pixkit("score", built, "some/b.png", "nothing.png", "-q")
    assert outcome.code == 3 and outcome.out.splitlines()[0].split() == ["NATS", "BITS/DIM", "IMAGE"]
    assert len(outcome.out.splitlines()) == 3


def test_rows_on_a_terminal_leave_no_room_for_a_bar(monkeypatch):
    monkeypatch.setattr("pixkit.cli.progress.is_terminal", lambda stream: True)
    for streaming, kind in ((True, ProgressLines), (False, ProgressBar)):
        with show_progress(False, streaming=streaming) as progress:
            assert type(progress) is kind


def test_a_threshold_is_set_and_applied(pixkit, built, workplace):
    shutil.copytree(built, "run")
    outcome = pixkit("score", "run", "test:0:9", "--set-threshold", "0.1", "--local", "run", "-q")
    limit, alarms = outcome.out.splitlines()
    assert limit.split()[1:] == ["0.000", "of", "local"] and alarms.endswith("at most 0.1, by the score of rank 9 of 9")
    said = json.loads(pixkit("score", "run", "test:0:9", "--set-threshold", "0.1", "--json", "-q").out)
    assert (said["score"], said["rank"], said["images"]) == ("nats", 9, 9)
    rows = [json.loads(line) for line in pixkit("score", "run", "test::", "--flag", "--json", "-q").out.splitlines()]
    assert [row["flagged"] for row in rows] == [row["nats"] > said["limit"] for row in rows]
    assert rows[0]["flagged"] is False and "False" in pixkit("score", "run", "test:0", "--flag").out
    few = pixkit("score", "run", "test:0:8", "--set-threshold", "0.1")
    assert few.code == 2 and "--set-threshold: too few images" in few.err
    assert pixkit("score", "run", "test:0", "--set-threshold", "0.5", "--flag").code == 2
