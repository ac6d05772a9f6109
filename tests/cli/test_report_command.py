"""`pixkit report`."""

import json
import shutil
from pathlib import Path


def test_report(pixkit, built, workplace):
    outcome = pixkit("report", built, "-o", "new/page.html", "--no-field")
    assert (outcome.code, outcome.out, outcome.err) == (0, "new/page.html\n", "")
    text = Path("new/page.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>\n<html lang") and "What a pixel sees" not in text
    (workplace / "report.html").write_text("old")
    outcome = pixkit("report", built, built, "--json")
    found = json.loads(outcome.out)
    text = Path("report.html").read_bytes()
    assert found == {"path": "report.html", "bytes": len(text), "runs": [str(built)] * 2, "missing": []}
    assert b"sees 36 of the 36" not in text and b"blind spot: " in text and outcome.err == ""


def test_what_cannot_be_reported(pixkit, built, workplace):
    assert "page.pdf: name a .html" in pixkit("report", built, "-o", "page.pdf").err
    outcome = pixkit("report", built, "absent")
    assert outcome.code == 2 and "absent: not a pixkit run" in outcome.err
    (workplace / "link.html").symlink_to("target.html")
    outcome = pixkit("report", built, "-o", "link.html")
    assert outcome.code == 2 and "found: a link" in outcome.err
    assert pixkit("report").code == 2
    assert sorted(path.name for path in workplace.iterdir()) == ["link.html", "tiny.yaml"]


def test_what_cannot_be_shown_is_said(pixkit, built, workplace):
    run = shutil.copytree(built, workplace / "run")
    lock = run / "recipe.lock.yaml"
    lock.write_text(lock.read_text().replace("type: pixelcnn", "type: pixelcn"))
    outcome = pixkit("report", "run")
    assert outcome.code == 0 and outcome.out == "report.html\n"
    assert outcome.err.startswith("pixkit: #1: what a pixel sees cannot be shown: run/recipe.lock.yaml, model.backbone")
    assert "This cannot be shown: run/recipe.lock.yaml, model.backbone" in Path("report.html").read_text()
    assert pixkit("report", "run", "-q").err == ""
