"""metrics.jsonl."""

import json
import os

import pytest

from pixkit.errors import RunError
from pixkit.runs.metrics import TAIL, MetricsLog, last_row, read_rows


def test_rows_are_appended_and_read_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, 0, 0) as log:
        log.add({"step": 1, "loss": 0.1})
        assert [row["loss"] for row in read_rows(path)] == [0.1]
        log.add({"step": 2, "loss": float("nan"), "grad_norm": float("inf")})
        log.sync()
        with pytest.raises(ValueError, match="not JSON compliant"):
            log.add({"step": 3, "several": [float("nan")]})
    with pytest.raises(ValueError, match="closed file"):
        log.add({"step": 3})
    assert list(read_rows(path)) == [{"step": 1, "loss": 0.1}, {"step": 2, "loss": None, "grad_norm": None}]
    assert [json.loads(line) for line in path.read_text().splitlines()] == list(read_rows(path))


def test_the_last_row_is_read_from_the_end(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert last_row(path) is None
    row = '{"step": 8, "loss": 1.5}\n'
    for text, found in (
        ("", None), (row, 8), (row + '{"step": 9', 8), ('{"step": 7}\n' * TAIL + row, 8), (row + '{"no": 1}\n', 8),
        (row + "x" * TAIL + "\n", None),
    ):  # fmt: skip
        path.write_text(text)
        assert (last_row(path) or {}).get("step") == found


@pytest.mark.parametrize("torn", ["", '{"step": 9, "lo', '{"step": 9}', '"step"\n{"step": 9}\n', "\xff\n"])
def test_opened_at_a_step_it_drops_what_came_after(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, 0, 0) as log:
        for step in (1, 2, 3, 4):
            log.add({"step": step})
    path.write_text(path.read_text() + torn, encoding="latin-1")
    with MetricsLog(path, 2, 0) as log:
        log.add({"step": 3, "again": True})
    assert list(read_rows(path)) == [{"step": 1}, {"step": 2}, {"step": 3, "again": True}]


def test_scores_that_will_be_made_again_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [{"event": event, "step": step} for step in (1, 2, 3) for event in ("train", "eval")]
    with MetricsLog(path, 0, 0) as log:
        for row in rows:
            log.add(row)
    with MetricsLog(path, 2, 1):
        assert list(read_rows(path)) == rows[:3]
    with MetricsLog(path, 2, 2):
        assert list(read_rows(path)) == rows[:3]


def test_rows_are_on_the_disk_when_they_were_synced(tmp_path, monkeypatch):
    with MetricsLog(tmp_path / "metrics.jsonl", 0, 0) as log:
        log._file.write('{"step": 1}\n')
        synced = []
        monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor)))
        log.sync()
    assert [(found.st_ino, found.st_size) for found in synced] == [((tmp_path / "metrics.jsonl").stat().st_ino, 12)]


def test_no_file_has_no_rows(tmp_path):
    assert list(read_rows(tmp_path / "metrics.jsonl")) == []


def test_a_full_disk_is_reported(tmp_path):
    with MetricsLog(tmp_path / "metrics.jsonl", 0, 0) as log:
        log._file.close()
        log._file = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115
        with pytest.raises(RunError, match=r"(?s)cannot be written.*No space left"):
            log.add({"step": 1})
        log._file = open(tmp_path / "other", "w", encoding="utf-8")  # noqa: SIM115


@pytest.mark.parametrize(
    ("text", "step", "said"),
    [
        ('{"step": 1}\n{"step": 2}\n', 2, None),
        ('{"step": 1}\n{"step": 2', 1, None),  # as a killed build leaves it
        ('{"step": 1}\n{"step": 2\n', 2, "1 damaged line is"),
        ('\n{"step": 1}\n\x00\n{"step": "2"}\n', 1, "3 damaged lines are"),
        (None, 0, None),
        (None, 1, "is missing: it begins anew after step 1"),
    ],
)
def test_rows_that_are_lost_are_said_to_be(tmp_path, text, step, said):
    path = tmp_path / "metrics.jsonl"
    if text is not None:
        path.write_text(text)
    found = []
    with MetricsLog(path, step, 0, found.append):
        assert len(found) == (said is not None) and all(said in text for text in found)
    with MetricsLog(path, step, 0, pytest.fail):
        pass
