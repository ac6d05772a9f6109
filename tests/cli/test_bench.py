"""`pixkit bench sample`: its rows, and that they are consistent; never how fast."""

import json

import pytest

from pixkit.tasks import timing


@pytest.mark.needs_compiler
def test_json_has_a_row_for_each_way(pixkit, workplace):
    outcome = pixkit("bench", "sample", "tiny.yaml", "--batch", "1,3", "--rounds", "1", "--json", "-q")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert {"cpu", "threads", "torch", "dtype"} <= set(found["machine"])
    assert {"trace", "plan", "reference"} <= set(found["preparation"])
    assert {(row["batch"], row["sampler"], row["executor"]) for row in found["rows"]} == {
        (batch, *way)
        for batch in (1, 3)
        for way in (("ancestral", None), *(("cached", name) for name in ("reference", "eager", "native", "bfloat16")))
    }
    for row in found["rows"]:
        assert row["seconds"] > 0, row["note"]
        assert row["per_forward"] == pytest.approx(row["seconds"] / row["forward_seconds"])
        assert row["speedup"] == pytest.approx(row["ancestral_seconds"] / row["seconds"])
    assert "6 of 64 steps" in found["rows"][0]["note"]


def test_text(pixkit, workplace):
    outcome = pixkit("bench", "sample", "tiny.yaml", "--batch", "2", "--rounds", "1", "--shape", "1,4,4,2", "-q")
    assert outcome.code == 0
    assert "16 steps" in outcome.out and "PER FORWARD" in outcome.out and "native" in outcome.out


def test_what_cannot_be_measured_says_why(pixkit, workplace, monkeypatch):
    monkeypatch.setattr(timing, "TOO_LONG", 0.0)
    arguments = ["--batch", "1", "--rounds", "1", "--json", "-q"]
    rows = json.loads(pixkit("bench", "sample", "tiny.yaml", *arguments).out)["rows"]
    reference = next(row for row in rows if row["executor"] == "reference")
    assert reference["seconds"] is None and reference["per_forward"] is None
    assert "it would take about" in reference["note"]


@pytest.mark.parametrize("batch", ["0", "0,2", "", "1,x"])
def test_batch_sizes_are_checked(pixkit, workplace, batch):
    assert pixkit("bench", "sample", "tiny.yaml", "--batch", batch).code == 2
